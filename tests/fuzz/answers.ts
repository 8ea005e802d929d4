/**
 * Reads an answer, in whichever protocol it came, and judges whether a node may give it: a success,
 * a refusal with a code of docs/protocol.md section 13, or a closed connection where HTTP is
 * broken.
 */
import { fromBinary, fromJsonString, type Message } from '@bufbuild/protobuf'
import { Code, ConnectError } from '@connectrpc/connect'
import { endStreamFromJson, errorFromJsonBytes } from '@connectrpc/connect/protocol-connect'
import { findTrailerError } from '@connectrpc/connect/protocol-grpc'
import { trailerParse } from '@connectrpc/connect/protocol-grpc-web'
import {
  ErrorDetailSchema,
  NodeService,
  PublishRequestSchema,
  type PublishResponse,
  PublishResponseSchema,
} from '../../src/gen/padlock/v1/node_pb.ts'
import { isNodeCode, nodeCodes } from '../../src/protocol/node-codes.ts'
import type { Call } from './calls.ts'
import type { Rpc } from './samples.ts'
import type { RawAnswer } from './transports.ts'

export type Outcome =
  | { readonly kind: 'success'; readonly message: Message | undefined }
  | { readonly kind: 'refused'; readonly status: Code; readonly code: string | undefined }
  | { readonly kind: 'http'; readonly status: number }
  | { readonly kind: 'closed' }
  | { readonly kind: 'wrong'; readonly why: string }

const responseSchemas = {
  Publish: PublishResponseSchema,
  Query: NodeService.method.query.output,
  Subscribe: NodeService.method.subscribe.output,
  ClaimPrekeys: NodeService.method.claimPrekeys.output,
  GetInfo: NodeService.method.getInfo.output,
} as const

const wrong = (why: string): Outcome => ({ kind: 'wrong', why })

const refused = (error: ConnectError): Outcome => {
  if (/\n\s+at |\.ts:\d|node_modules/.test(error.message)) return wrong(`a stack: ${error.message}`)
  const [detail] = error.findDetails(ErrorDetailSchema)
  const incoming = error.details.find((one) => 'type' in one)
  const code =
    detail?.code ??
    (incoming !== undefined && 'type' in incoming && incoming.value instanceof Uint8Array
      ? fromBinary(ErrorDetailSchema, incoming.value).code
      : undefined)
  return { kind: 'refused', status: error.code, code }
}

const readMessage = (rpc: Rpc, bytes: Uint8Array, json: boolean): Outcome => {
  try {
    const schema = responseSchemas[rpc]
    const message = json
      ? fromJsonString(schema, Buffer.from(bytes).toString())
      : fromBinary(schema, bytes)
    return { kind: 'success', message }
  } catch (error) {
    return wrong(`a success that is no ${rpc} response: ${String(error)}`)
  }
}

interface Frame {
  readonly flags: number
  readonly data: Uint8Array
}

function framesOf(body: Buffer): Frame[] {
  const frames: Frame[] = []
  for (let at = 0; at + 5 <= body.length; ) {
    const end = at + 5 + body.readUInt32BE(at + 1)
    frames.push({ flags: body[at] ?? 0, data: body.subarray(at + 5, end) })
    at = end
  }
  return frames
}

/** What came back for a call. */
export function readOutcome(rpc: Rpc, answer: RawAnswer): Outcome {
  const { status, headers, trailers, body, ending } = answer
  if (ending === 'late') return wrong('no answer within the bound')
  if (ending === 'broken' && status === undefined) return { kind: 'closed' }
  if (status === undefined) return wrong('an answer without a status')
  const type = headers.get('content-type') ?? ''
  const json = type.includes('json')
  if (/^application\/(?:grpc|connect\+)/.test(type) && status === 200) {
    const frames = framesOf(body)
    const last = frames.find(({ flags }) => (flags & 0x82) !== 0)
    const endings = [headers, trailers]
    if (last !== undefined && type.includes('grpc')) endings.push(trailerParse(last.data))
    const error =
      last !== undefined && type.includes('connect')
        ? endStreamFromJson(last.data).error
        : endings.map((one) => findTrailerError(one)).find((one) => one !== undefined)
    if (error !== undefined) return refused(error)
    if (ending === 'broken') return { kind: 'closed' }
    const [first] = frames
    if (first === undefined || first === last) return wrong('neither a message nor an error')
    const ended = last !== undefined || endings.some((one) => one.get('grpc-status') === '0')
    if (ending === 'whole' && !ended) return wrong('an end without a status')
    return readMessage(rpc, first.data, json)
  }
  if (ending === 'broken') return { kind: 'closed' }
  if (type === 'application/json' && status !== 200) {
    const fallback = new ConnectError('no error in it', Code.Unknown)
    return refused(errorFromJsonBytes(body, undefined, fallback))
  }
  if (status === 200 && /^application\/(?:json|proto)$/.test(type)) {
    return readMessage(rpc, body, json)
  }
  return { kind: 'http', status }
}

// What gRPC and Connect have a status for: any compression, a second message where one is due, and a
// time limit of the caller's own that has passed.
function mayBeBare({ expects, headers, carrier }: Call, status: Code): boolean {
  if (status === Code.DeadlineExceeded) return expects === 'http'
  const isCompressed = carrier.encodingHeader in headers
  return (
    status === Code.Unimplemented && (isCompressed || expects === 'status' || expects === 'http')
  )
}

/** What is wrong with an outcome; nothing if it may be. */
export function faultOf(call: Call, outcome: Outcome): string | undefined {
  switch (outcome.kind) {
    case 'wrong':
      return outcome.why
    case 'success': {
      if (call.expects === 'refusal') return 'accepted'
      return call.rpc === 'Publish' ? receiptFault(call, outcome.message) : undefined
    }
    case 'closed':
      return call.breaksHttp ? undefined : 'closed without an answer'
    case 'http': {
      const allowed = call.expects === 'http' && isHttpRefusal(outcome.status)
      return allowed ? undefined : `HTTP ${outcome.status} without a code`
    }
    case 'refused': {
      const { status, code } = outcome
      const said = `${Code[status] ?? status} ${code ?? 'without a code'}`
      if (call.expects === 'success') return `refused: ${said}`
      if (code === undefined) return mayBeBare(call, status) ? undefined : said
      if (!isNodeCode(code)) return `a code that nobody knows: ${said}`
      const statusOfCode: number = nodeCodes[code]
      if (statusOfCode !== status) return `a code with another's status: ${said}`
      if (code === 'unavailable') return said
      return call.code === undefined || call.code === code ? undefined : `not ${call.code}: ${said}`
    }
  }
}

// 1xx never end an answer; 5xx but these would be the node's own failures.
const isHttpRefusal = (status: number): boolean =>
  (status >= 200 && status < 300) || (status >= 400 && status < 500) || status === 501

/** What was published by a call, as the node must have understood it. */
export function envelopesIn({ rpc, payload, carrier }: Call) {
  if (rpc !== 'Publish' || payload === undefined) return undefined
  try {
    const read = carrier.json
      ? // As Connect reads it: what it does not know it leaves out.
        fromJsonString(PublishRequestSchema, new TextDecoder().decode(payload), {
          ignoreUnknownFields: true,
        })
      : fromBinary(PublishRequestSchema, payload)
    return read.envelopes
  } catch {
    return undefined
  }
}

function receiptFault(call: Call, message: Message | undefined): string | undefined {
  if (!call.exact) return undefined
  const envelopes = envelopesIn(call)
  if (envelopes === undefined) return 'accepted what cannot be read'
  const count = isPublished(message) ? message.receipts.length : undefined
  return count === envelopes.length ? undefined : `${count} receipts for ${envelopes.length}`
}

const isPublished = (message: Message | undefined): message is PublishResponse =>
  message?.$typeName === PublishResponseSchema.typeName

/** What is wrong with what came back for bytes on a bare connection. */
export function rawFault(answer: RawAnswer): string | undefined {
  if (answer.ending === 'late') return 'the connection stays open'
  const text = answer.body.toString('latin1')
  if (/\n\s+at .*:\d+:\d+/.test(text)) return 'a stack'
  const { status } = answer
  // HTTP's own refusals are whatever Node says; a failure of ours would be one of these.
  return status === 500 || status === 502 ? `HTTP ${status}` : undefined
}
