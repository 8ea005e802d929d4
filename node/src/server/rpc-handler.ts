/**
 * Passes HTTP requests of both versions to the RPCs, each with its caller. `connectNodeAdapter` does
 * the same, but prints every broken connection, and an invalid Host header ends the process.
 */
import type http from 'node:http'
import http2 from 'node:http2'
import { type ConnectRouter, createConnectRouter, createContextValues } from '@connectrpc/connect'
import {
  universalRequestFromNodeRequest,
  universalResponseToNodeResponse,
} from '@connectrpc/connect-node'
import { type AnswerMemory, answerShareKey } from '../limits/answer-memory.ts'
import { timeTaking } from './answer-pace.ts'
import type { BodyBudget } from './body-budget.ts'
import { type CallGate, noPlaceKey } from './call-gate.ts'
import { callerKey, callerOf, isForwarded } from './caller.ts'
import { dropEndlessDeadlines } from './deadlines.ts'
import { inspectBody } from './inspection.ts'
import { isTrusted, type TrustedProxies } from './proxies.ts'
import { Turns } from './turns.ts'

export type Request = http.IncomingMessage | http2.Http2ServerRequest
export type Response = http.ServerResponse | http2.Http2ServerResponse

export interface RpcHandlerOptions {
  readonly routes: (router: ConnectRouter) => void
  /** Who is trusted to name callers. */
  readonly proxies: TrustedProxies
  readonly calls: CallGate
  readonly bodies: BodyBudget
  readonly answers: AnswerMemory
  /** How long the reader of an answer may take for one part of it. */
  readonly idleTimeoutMs: number
  /** Called once if a request was passed on by a proxy that is not trusted. */
  readonly onUntrustedProxy?: () => void
}

type Universal = ReturnType<typeof universalRequestFromNodeRequest>
/** A call whose turn it is. */
interface Begun {
  readonly request: Request
  readonly response: Response
  readonly handler: UniversalHandler
  readonly caller: string
  readonly isRefused: boolean
  /** Ends it without an answer. */
  readonly cut: () => void
}

type UniversalHandler = ConnectRouter['handlers'][number]
type Answer = Parameters<typeof universalResponseToNodeResponse>[0]

/** Answers every request; a path without an RPC gets 404. */
export function createRpcHandler(
  options: RpcHandlerOptions,
): (request: Request, response: Response) => void {
  const router = createConnectRouter({
    // What is carried is ciphertext, which does not shrink; what inflates is an attack.
    acceptCompression: [],
    // Unknown fields are never read, and each would be an object.
    binaryOptions: { readUnknownFields: false },
  })
  options.routes(router)
  const handlers = new Map(router.handlers.map((handler) => [handler.requestPath, handler]))

  let hasWarned = false
  const callerBehind = ({ socket, headers }: Request): string => {
    const { remoteAddress } = socket
    // A connection that is gone has no address.
    const isKnown = remoteAddress !== undefined
    if (
      !hasWarned &&
      isKnown &&
      isForwarded(headers) &&
      !isTrusted(remoteAddress, options.proxies)
    ) {
      hasWarned = true
      options.onUntrustedProxy?.()
    }
    return callerOf(socket, headers, options.proxies)
  }

  const turns = new Turns()

  return (request, response) => {
    const [path = ''] = (request.url ?? '').split('?', 1)
    const handler = handlers.get(path)
    if (handler === undefined) {
      answerPlainly(
        response,
        404,
        'This is a Padlock node; it answers gRPC, gRPC-web and Connect.\n',
      )
      return
    }
    const cut = (): void => {
      if ('stream' in response) {
        response.stream.close(http2.constants.NGHTTP2_CANCEL)
        // What was written and not sent goes too, also on a connection whose peer reads nothing.
        response.stream.destroy()
      } else response.destroy()
    }
    const caller = callerBehind(request)
    const place = options.calls.open(caller, cut)
    response.once('close', place.release)
    if (place.kind === 'cut') cut()
    else {
      const isRefused = place.kind === 'refused'
      const leave = turns.take(caller, () =>
        begin({ request, response, handler, caller, isRefused, cut }),
      )
      // Who cancels many calls must not leave them behind.
      response.once('close', leave)
    }
  }

  function begin({ request, response, handler, caller, isRefused, cut }: Begun): void {
    const room = options.answers.open(caller, cut)
    response.once('close', room.release)
    const values = createContextValues()
      .set(callerKey, caller)
      .set(answerShareKey, room)
      .set(noPlaceKey, isRefused)
    let universal: Universal
    try {
      universal = universalRequestFromNodeRequest(request, response, undefined, values)
    } catch {
      // The Host header is missing or does not make a URL.
      answerPlainly(response, 400, 'The request names no host.\n')
      return
    }
    dropEndlessDeadlines(universal.header)
    const share = options.bodies.open(caller, cut)
    response.once('close', share.release)
    // The reader must take the last part too.
    response.once('finish', () => {
      const timer = setTimeout(cut, options.idleTimeoutMs)
      response.once('close', () => clearTimeout(timer))
    })
    const inspected = {
      schema: handler.method.input,
      contentType: request.headers['content-type'] ?? '',
      share,
    }
    // Refusals are answers. Only a connection that its peer broke fails here.
    handler(withInspectedBody(universal))
      .then((answer) => universalResponseToNodeResponse(timed(answer), response))
      .catch(() => response.destroy())

    function withInspectedBody(call: Universal): Universal {
      const { body } = call
      const isStream = typeof body === 'object' && body !== null && Symbol.asyncIterator in body
      return isStream ? { ...call, body: inspectBody(body, inspected) } : call
    }

    // A subscription stays open long after its request was read.
    function timed(answer: Answer): Answer {
      const { body } = answer
      if (body === undefined) return answer
      const taking = {
        limitMs: options.idleTimeoutMs,
        begun: share.release,
        moved: room.moved,
        stalled: cut,
      }
      return { ...answer, body: timeTaking(body, taking) }
    }
  }
}

function answerPlainly(response: Response, status: number, text: string): void {
  response.statusCode = status
  response.setHeader('content-type', 'text/plain; charset=utf-8')
  response.end(text)
}
