/**
 * Inspects requests before they are parsed, in every protocol: counts their bytes and their parts.
 * None is compressed, as the node accepts no compression: a few kilobytes would inflate to megabytes
 * before anybody could count them.
 */
import type { DescMessage } from '@bufbuild/protobuf'
import { requestLimitBytes } from '../../../src/protocol/limits.ts'
import { refusal } from '../refusal.ts'
import type { BodyShare } from './body-budget.ts'
import { problemOfFields, problemOfMembers } from './parts.ts'

/** No valid request is longer: the largest as base64, and 4 MiB around it. */
export const bodyLimitBytes = Math.ceil((requestLimitBytes * 4) / 3) + 4 * 1024 * 1024
/** After how long a caller may retry when the memory for bodies is full. */
const retryAfterMs = 1_000
/** The prefix of a message in gRPC, gRPC-web and Connect's streams: flags and length. */
const prefixBytes = 5
const compressedFlag = 1

export interface Inspected {
  readonly schema: DescMessage
  readonly contentType: string
  readonly share: BodyShare
}

/**
 * The body as one piece, counted as it arrives.
 * @throws ConnectError `rate_limited` if there is no room for it, `too_large` if it is too long or
 * has too many parts, `malformed` if it is not a message.
 */
export async function* inspectBody(
  body: AsyncIterable<Uint8Array>,
  inspected: Inspected,
): AsyncGenerator<Uint8Array> {
  const chunks: Uint8Array[] = []
  let length = 0
  for await (const chunk of body) {
    count(inspected.share, chunk.length)
    length += chunk.length
    if (length > bodyLimitBytes) throw refusal('too_large')
    chunks.push(chunk)
  }
  inspected.share.arrived()
  const [only] = chunks
  if (only === undefined) return
  const whole = chunks.length === 1 ? only : Buffer.concat(chunks)
  for (const message of messagesOf(whole, inspected)) inspect(inspected, message)
  yield whole
}

function count(share: BodyShare, bytes: number): void {
  if (!share.take(bytes)) throw refusal('rate_limited', { retryAfterMs })
}

function inspect({ schema, contentType }: Inspected, message: Uint8Array): void {
  const isJson = contentType.includes('json')
  const problem = isJson ? problemOfMembers(message) : problemOfFields(schema, message)
  if (problem !== undefined) throw refusal(problem)
}

/** The messages of a body. Connect refuses one that says it is compressed. */
function* messagesOf(body: Uint8Array, { contentType }: Inspected) {
  if (!/^application\/(?:grpc|connect\+)/.test(contentType)) {
    yield body
    return
  }
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength)
  for (let at = 0; at + prefixBytes <= body.length; ) {
    const end = at + prefixBytes + view.getUint32(at + 1)
    if ((view.getUint8(at) & compressedFlag) === 0) {
      yield body.subarray(at + prefixBytes, Math.min(end, body.length))
    }
    at = end
  }
}
