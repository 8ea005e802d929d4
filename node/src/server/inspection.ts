/**
 * Inspects requests before they are parsed, in every protocol and inside compression: counts their
 * bytes, also inflated, and their parts.
 */
import { AsyncLocalStorage } from 'node:async_hooks'
import type { DescMessage } from '@bufbuild/protobuf'
import type { Compression } from '@connectrpc/connect/protocol'
import { compressionGzip } from '@connectrpc/connect-node'
import { requestLimitBytes } from '../../../src/protocol/limits.ts'
import { refusal } from '../refusal.ts'
import type { BodyShare } from './body-budget.ts'
import { problemOfFields, problemOfMembers } from './parts.ts'

/** No valid request is longer: the largest as base64, and 4 MiB around it. */
const bodyLimitBytes = Math.ceil((requestLimitBytes * 4) / 3) + 4 * 1024 * 1024
/** After how long a caller may retry when the memory for bodies is full. */
const retryAfterMs = 1_000
/** The prefix of a message in gRPC, gRPC-web and Connect's streams: flags and length. */
const prefixBytes = 5
const compressedFlag = 1

export interface Inspected {
  readonly schema: DescMessage
  readonly contentType: string
  /** As in the header; absent without one. */
  readonly contentEncoding: string | undefined
  readonly share: BodyShare
}

const underWay = new AsyncLocalStorage<Inspected>()

/** Runs a call, and inspects what is inflated in it too. */
export const inspecting = <T>(inspected: Inspected, call: () => T): T =>
  underWay.run(inspected, call)

/** gzip that counts and inspects inflated bytes. */
export const inspectedGzip: Compression = {
  ...compressionGzip,
  async decompress(bytes, readMaxBytes) {
    const inflated = await compressionGzip.decompress(bytes, readMaxBytes)
    const inspected = underWay.getStore()
    if (inspected !== undefined) {
      count(inspected.share, inflated.length)
      inspect(inspected, inflated)
    }
    return inflated
  },
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

/** The uncompressed messages of a body; compressed ones are inspected when they are inflated. */
function* messagesOf(body: Uint8Array, { contentType, contentEncoding }: Inspected) {
  if (!/^application\/(?:grpc|connect\+)/.test(contentType)) {
    if (contentEncoding === undefined || contentEncoding === 'identity') yield body
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
