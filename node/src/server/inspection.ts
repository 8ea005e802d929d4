/**
 * Looks at requests before they are parsed, in every protocol and behind compression: how many bytes
 * they have, also once inflated, and of how many parts they are made.
 */
import { AsyncLocalStorage } from 'node:async_hooks'
import type { DescMessage } from '@bufbuild/protobuf'
import type { Compression } from '@connectrpc/connect/protocol'
import { compressionGzip } from '@connectrpc/connect-node'
import { requestLimitBytes } from '../../../src/protocol/limits.ts'
import { refusal } from '../refusal.ts'
import type { BodyShare } from './body-budget.ts'
import { problemOfFields, problemOfMembers } from './parts.ts'

/** More than any request that is read to its end: the largest as base64, and 4 MiB around it. */
const bodyLimitBytes = Math.ceil((requestLimitBytes * 4) / 3) + 4 * 1024 * 1024
/** When a node that has too much in memory is asked to be tried again. */
const retryAfterMs = 1_000
/** What gRPC, gRPC-web and Connect's streams put before a message: flags and length. */
const prefixBytes = 5
const compressedFlag = 1

export interface Inspected {
  readonly schema: DescMessage
  readonly contentType: string
  /** As the header says it; absent: none. */
  readonly contentEncoding: string | undefined
  readonly share: BodyShare
}

const underWay = new AsyncLocalStorage<Inspected>()

/** Runs a call; what is inflated in it is inspected too. */
export const inspecting = <T>(inspected: Inspected, call: () => T): T =>
  underWay.run(inspected, call)

/** gzip, whose results count as what they are. */
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
 * @throws ConnectError `rate_limited` when there is no room for it, `too_large` when it is too long, or
 * made of too many parts, `malformed` when it is no message.
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

/** The messages in a body that are not compressed; those that are come by when they are inflated. */
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
