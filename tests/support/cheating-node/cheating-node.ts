/**
 * A node that cheats on demand: the real service behind a front that changes what passes, by the
 * tricks that are being played. It listens on loopback, so its victims use the network of production.
 * The tricks themselves are in `tricks.ts`.
 */

import { createServer, type RequestListener, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { create, type MessageInitShape } from '@bufbuild/protobuf'
import {
  type ConnectRouter,
  createClient,
  createConnectRouter,
  createContextValues,
} from '@connectrpc/connect'
import {
  universalRequestFromNodeRequest,
  universalResponseToNodeResponse,
} from '@connectrpc/connect-node'
import { onTestFinished } from 'vitest'
import type { InProcessNode } from '../../../node/src/testing.ts'
import {
  type ClaimPrekeysRequest,
  type ClaimPrekeysResponse,
  type Envelope,
  type GetInfoResponse,
  NodeService,
  type PublishRequest,
  type PublishResponse,
  type QueryRequest,
  type QueryResponse,
  type SubscribeRequest,
  type SubscribeResponse,
  SubscribeResponseSchema,
} from '../../../src/gen/padlock/v1/node_pb.ts'
import { connectNode } from '../../../src/network/connect.ts'
import type { Network } from '../../../src/network/network.ts'

type Answered<Request, Response> = (
  request: Request,
  real: (request: Request) => Promise<Response>,
) => Promise<Response>

/** What a trick may change; what it leaves out is honest. Of several, the first one played comes first. */
export interface Trick {
  readonly info?: (info: GetInfoResponse) => GetInfoResponse
  readonly publish?: Answered<PublishRequest, PublishResponse>
  readonly query?: Answered<QueryRequest, QueryResponse>
  readonly claim?: Answered<ClaimPrekeysRequest, ClaimPrekeysResponse>
  /** What a subscription asks for. */
  readonly subscribe?: (request: SubscribeRequest) => SubscribeRequest
  /** Every event of a stream; what it gives is sent instead. */
  readonly event?: (event: SubscribeResponse) => readonly SubscribeResponse[]
  /** The envelopes of every page and frame, in their order. */
  readonly envelopes?: (envelopes: readonly Envelope[]) => readonly Envelope[]
  /** Where the bytes of a stream's frame end in the middle, with its connection; absent: they do not. */
  readonly cutAt?: (frame: Uint8Array) => number | undefined
}

type Event = NonNullable<MessageInitShape<typeof SubscribeResponseSchema>['event']>

/** A stream that is open, with what waits to be sent. */
class OpenStream {
  readonly #events: SubscribeResponse[] = []
  #isOver = false
  #error: unknown
  #wake: () => void = () => undefined

  push(event: SubscribeResponse): void {
    this.#events.push(event)
    this.#wake()
  }

  /** @param error what the reader gets at the end; nothing if it ends well. */
  end(error?: unknown): void {
    this.#error ??= error
    this.#isOver = true
    this.#wake()
  }

  async *read(): AsyncGenerator<SubscribeResponse> {
    for (;;) {
      const [event] = this.#events.splice(0, 1)
      if (event) yield event
      else if (this.#error !== undefined) throw this.#error
      else if (this.#isOver) return
      else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve
        })
      }
    }
  }
}

export class CheatingNode {
  readonly #real
  readonly #tricks = new Set<Trick>()
  readonly #streams = new Set<OpenStream>()
  /** How often each call came, and what was published on which topics. */
  readonly calls = { info: 0, publish: 0, query: 0, claim: 0, subscribe: 0 }
  readonly published: { readonly topic: string; readonly message: Uint8Array }[] = []

  /** @param real the node that stores and serves, and knows nothing of all this. */
  constructor(real: InProcessNode) {
    this.#real = createClient(NodeService, real.transport)
  }

  /** Plays it from now on. @returns what ends it */
  play(trick: Trick): () => void {
    this.#tricks.add(trick)
    return () => this.#tricks.delete(trick)
  }

  /** Ends all tricks. */
  behave(): void {
    this.#tricks.clear()
  }

  /** Sends an event of its own in every open stream. */
  say(event: Event): void {
    const message = create(SubscribeResponseSchema, { event })
    for (const stream of this.#streams) stream.push(message)
  }

  /** Ends every open stream, so that victims come again. */
  hangUp(): void {
    for (const stream of this.#streams) stream.end()
  }

  /** How many streams are open now. */
  get open(): number {
    return this.#streams.size
  }

  /** Listens until the test ends. */
  async listen(): Promise<Network> {
    const router = createConnectRouter({ grpc: false, connect: false })
    router.service(NodeService, {
      getInfo: () => this.#info(),
      publish: (request) => this.#publish(request),
      query: (request) => this.#query(request),
      claimPrekeys: (request) => this.#claim(request),
      subscribe: (request, { signal }) => this.#subscribe(request, signal),
    })
    const server = createServer(this.#cutting(adapt(router)))
    onTestFinished(async () => {
      this.hangUp()
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as AddressInfo
    return connectNode(`http://127.0.0.1:${port}`)
  }

  async #info(): Promise<GetInfoResponse> {
    this.calls.info += 1
    const info = await this.#real.getInfo({})
    return [...this.#tricks].reduce((told, { info: change }) => change?.(told) ?? told, info)
  }

  #publish(request: PublishRequest): Promise<PublishResponse> {
    this.calls.publish += 1
    this.published.push(...request.envelopes.map(({ topic, message }) => ({ topic, message })))
    const chain = this.#chain<PublishRequest, PublishResponse>(
      ({ publish }) => publish,
      (asked) => this.#real.publish(asked),
    )
    return chain(request)
  }

  async #query(request: QueryRequest): Promise<QueryResponse> {
    this.calls.query += 1
    const chain = this.#chain<QueryRequest, QueryResponse>(
      ({ query }) => query,
      async (asked) => {
        const page = await this.#real.query(asked)
        return { ...page, envelopes: this.#changed(page.envelopes) }
      },
    )
    return chain(request)
  }

  #claim(request: ClaimPrekeysRequest): Promise<ClaimPrekeysResponse> {
    this.calls.claim += 1
    const chain = this.#chain<ClaimPrekeysRequest, ClaimPrekeysResponse>(
      ({ claim }) => claim,
      (asked) => this.#real.claimPrekeys(asked),
    )
    return chain(request)
  }

  /** The real call, behind every trick that answers it. */
  #chain<Request, Response>(
    of: (trick: Trick) => Answered<Request, Response> | undefined,
    real: (request: Request) => Promise<Response>,
  ): (request: Request) => Promise<Response> {
    return [...this.#tricks].reduceRight((next, trick) => {
      const answer = of(trick)
      return answer ? (request: Request) => answer(request, next) : next
    }, real)
  }

  #changed(envelopes: readonly Envelope[]): Envelope[] {
    return [
      ...[...this.#tricks].reduce(
        (changed, { envelopes: change }) => change?.(changed) ?? changed,
        envelopes,
      ),
    ]
  }

  async *#subscribe(asked: SubscribeRequest, signal: AbortSignal) {
    this.calls.subscribe += 1
    const request = [...this.#tricks].reduce(
      (changed, { subscribe }) => subscribe?.(changed) ?? changed,
      asked,
    )
    const stream = new OpenStream()
    this.#streams.add(stream)
    const real = new AbortController()
    const stop = () => stream.end()
    signal.addEventListener('abort', stop, { once: true })
    void (async () => {
      try {
        for await (const event of this.#real.subscribe(request, { signal: real.signal })) {
          stream.push(event)
        }
        stream.end()
      } catch (error) {
        stream.end(error)
      }
    })()
    try {
      for await (const event of stream.read()) {
        for (const told of this.#told(event)) yield told
      }
    } finally {
      signal.removeEventListener('abort', stop)
      this.#streams.delete(stream)
      real.abort()
    }
  }

  #told(event: SubscribeResponse): readonly SubscribeResponse[] {
    const events = [...this.#tricks].reduce<readonly SubscribeResponse[]>(
      (told, { event: change }) => (change ? told.flatMap((one) => change(one)) : told),
      [event],
    )
    return events.map((one) => {
      if (one.event.case !== 'envelopes') return one
      const envelopes = this.#changed(one.event.value.envelopes)
      return create(SubscribeResponseSchema, { event: { case: 'envelopes', value: { envelopes } } })
    })
  }

  /** Lets frames of streams end in the middle, together with their connection. */
  #cutting(listener: RequestListener): RequestListener {
    return (request, response) => {
      if (request.url?.endsWith('/Subscribe')) {
        const write = response.write.bind(response) as (...args: unknown[]) => boolean
        const cut = (frame: unknown, ...rest: unknown[]): boolean => {
          const bytes = frame instanceof Uint8Array ? frame : new Uint8Array()
          const ends = [...this.#tricks].map(({ cutAt }) => cutAt?.(bytes))
          const end = ends.find((at) => at !== undefined)
          if (end === undefined) return write(frame, ...rest)
          // The rest of it never comes.
          return write(bytes.subarray(0, end), () => response.socket?.destroy())
        }
        response.write = cut as ServerResponse['write']
      }
      listener(request, response)
    }
  }
}

/** As `connectNodeAdapter`, without a word about readers that leave, which victims do. */
const adapt = ({ handlers }: ConnectRouter): RequestListener => {
  const byPath = new Map(handlers.map((handler) => [handler.requestPath, handler]))
  return (request, response) => {
    const handler = byPath.get(request.url ?? '')
    if (!handler) return void response.writeHead(404).end()
    const values = createContextValues()
    handler(universalRequestFromNodeRequest(request, response, undefined, values))
      .then((answer) => universalResponseToNodeResponse(answer, response))
      .catch(() => response.destroy())
  }
}
