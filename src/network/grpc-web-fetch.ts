/**
 * The `fetch` below Connect. Connect takes any response for gRPC-web and allocates as many bytes as
 * a frame announces, up to 4 GiB; this lets through only what a node may send. Failures in transit
 * become UNAVAILABLE here, so that every other failure means that the answer was wrong.
 */

import { Code, ConnectError } from '@connectrpc/connect'
import { pageLimitBytes } from '../protocol/limits.ts'
import { readRetryAfter } from './retry-after.ts'

/**
 * A page of envelopes is at most `pageLimitBytes` (docs/protocol.md section 5); no node sends four
 * times that.
 */
const maxFrameBytes = 4 * pageLimitBytes
const headerBytes = 5
const trailerFlag = 0x80

/** What a server in front of the node refuses with, by HTTP status. */
const proxyCodes: ReadonlyMap<number, ProxyRefusal['code']> = new Map([
  [413, 'too_large'],
  [429, 'rate_limited'],
  [503, 'unavailable'],
])

/** The cause of a ConnectError: a server in front of the node refused. */
export class ProxyRefusal extends Error {
  readonly code: 'too_large' | 'rate_limited' | 'unavailable'
  /** What its Retry-After asked for; absent without one that can be read. */
  readonly retryAfterMs: number | undefined

  constructor(code: ProxyRefusal['code'], { headers }: Response) {
    super()
    this.code = code
    // Pages see it of another origin only if the proxy names it in Access-Control-Expose-Headers.
    this.retryAfterMs = readRetryAfter(headers.get('retry-after'), Date.now())
  }
}

/**
 * @throws ConnectError UNAVAILABLE without an answer or when a server failed, RESOURCE_EXHAUSTED
 * when one limits, INTERNAL when the answer is not gRPC-web; what `fetch` throws when aborted
 */
export const fetchGrpcWeb: typeof fetch = async (input, init) => {
  const signal = init?.signal ?? undefined
  const response = await fetch(input, init).catch((cause: unknown) => {
    if (signal?.aborted) throw cause
    throw new ConnectError('no answer', Code.Unavailable, undefined, undefined, cause)
  })
  // Mostly said by what stands in front of a node; Connect would call these unknown and unavailable.
  const { status } = response
  const refused = proxyCodes.get(status)
  const cause = refused && new ProxyRefusal(refused, response)
  if (status === 413 || status === 429) {
    const words = status === 413 ? 'the request is too large' : 'too many requests'
    throw new ConnectError(words, Code.ResourceExhausted, undefined, undefined, cause)
  }
  if (status >= 500) {
    throw new ConnectError('a server failed', Code.Unavailable, undefined, undefined, cause)
  }
  // Every node has this call, whatever its release: where it is missing there is no node.
  if (response.status === 404 && String(input).endsWith('/GetInfo')) {
    throw new ConnectError('status 404', Code.Internal)
  }
  // Connect translates the other statuses and leaves their bodies alone.
  if (!response.ok || !response.body) return response
  const type = response.headers.get('content-type') ?? ''
  if (!/^application\/grpc-web(\+proto)?\s*(;|$)/i.test(type)) {
    throw new ConnectError('the answer is not gRPC-web', Code.Internal)
  }
  return new Response(boundFrames(response.body, signal), response)
}

/** Passes the bytes on until a frame is too long or the body ends where no node would end it. */
const boundFrames = (
  body: ReadableStream<Uint8Array<ArrayBuffer>>,
  signal: AbortSignal | undefined,
): ReadableStream<Uint8Array<ArrayBuffer>> => {
  const reader = body.getReader()
  const header = new Uint8Array(headerBytes)
  let headerLength = 0
  let left = 0
  let lastFlags: number | undefined
  let isTooLong = false

  /** @returns how much of the chunk comes before a frame that is too long. */
  const follow = (chunk: Uint8Array): number => {
    for (let at = 0; at < chunk.length; ) {
      const skipped = Math.min(left, chunk.length - at)
      left -= skipped
      at += skipped
      if (at === chunk.length) break
      header[headerLength++] = chunk[at++] ?? 0
      if (headerLength < headerBytes) continue
      headerLength = 0
      lastFlags = header[0]
      left = new DataView(header.buffer).getUint32(1)
      isTooLong = left > maxFrameBytes
      if (isTooLong) return Math.max(0, at - headerBytes)
    }
    return chunk.length
  }

  const pull = async (controller: ReadableStreamDefaultController<Uint8Array<ArrayBuffer>>) => {
    if (isTooLong) throw new ConnectError('a frame is too long', Code.Internal)
    const { done, value } = await reader.read().catch((cause: unknown) => {
      if (signal?.aborted) throw cause
      throw new ConnectError('the connection broke', Code.Unavailable, undefined, undefined, cause)
    })
    if (!done) {
      // A frame that is too long fails the next pull, once the frames before it have been read.
      return controller.enqueue(value.subarray(0, follow(value)))
    }
    // A broken connection that ends normally looks as if the answer were complete.
    const isWhole =
      headerLength === 0 &&
      left === 0 &&
      (lastFlags === undefined || (lastFlags & trailerFlag) !== 0)
    if (!isWhole) throw new ConnectError('the answer was cut', Code.Unavailable)
    controller.close()
  }

  // An error drops what is queued, which is nothing: there is no read-ahead.
  return new ReadableStream(
    { pull, cancel: (reason) => reader.cancel(reason) },
    { highWaterMark: 0 },
  )
}
