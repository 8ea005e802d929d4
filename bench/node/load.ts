/**
 * Concurrent callers: each waits for its answer before its next request, so the number of callers
 * is the number of requests under way.
 */
import { watchCpu } from './children.ts'
import { Http2Connection } from './http2-connection.ts'
import { headersOf, type Rpc } from './requests.ts'

export interface LoadResult {
  readonly requestsPerSecond: number
  /** Items that a request brings: envelopes, keys. */
  readonly perSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
  /** What the callers themselves used, in cores. */
  readonly cores: number
}

export interface Load {
  readonly port: number
  readonly rpc: Rpc
  readonly callers: number
  readonly seconds: number
  /** The next request's body. */
  readonly body: () => Buffer
  /** How much an answer brought; 0 fails the run. Gets the message without its gRPC head. */
  readonly count: (message: Buffer) => number
  /** Called when the warm-up is over. */
  readonly begin: () => void
}

/** Most callers on one connection; a node accepts 256 concurrent requests on one. */
const callersOfConnection = 50
/** The unmeasured warm-up, as a share of the measured time. */
const warmUpShare = 0.25

/** @throws Error if any request is not answered as it should be. */
export async function load(options: Load): Promise<LoadResult> {
  const { rpc, callers, seconds, body, count } = options
  const headers = headersOf(rpc)
  const connections = await Promise.all(
    Array.from({ length: Math.ceil(callers / callersOfConnection) }, () =>
      Http2Connection.open(options.port),
    ),
  )
  const delays: number[] = []
  const beginMs = performance.now() + seconds * 1_000 * warmUpShare
  const endMs = beginMs + seconds * 1_000
  let requests = 0
  let brought = 0
  const caller = (connection: Http2Connection): Promise<void> =>
    new Promise((resolve, reject) => {
      const ask = (): void => {
        const startedMs = performance.now()
        let pieces: Buffer[] = []
        connection.request(headers, body(), {
          data: (bytes) => pieces.push(Buffer.from(bytes)),
          end() {
            const nowMs = performance.now()
            const [first] = pieces
            const answer = first && pieces.length === 1 ? first : Buffer.concat(pieces)
            pieces = []
            const value = answer.length > 5 ? count(answer.subarray(5)) : 0
            if (value === 0) {
              reject(new Error(`${rpc} was answered with an error, or with nothing`))
              return
            }
            if (nowMs >= beginMs && nowMs < endMs) {
              requests += 1
              brought += value
              delays.push(nowMs - startedMs)
            }
            if (nowMs < endMs) ask()
            else resolve()
          },
          failed: (reason) => reject(new Error(`${rpc}: ${reason}`)),
        })
      }
      ask()
    })
  let cores: (() => number) | undefined
  const timer = setTimeout(() => {
    cores = watchCpu()
    options.begin()
  }, beginMs - performance.now())
  let took = 0
  const ending = setTimeout(() => {
    took = cores?.() ?? 0
  }, endMs - performance.now())
  try {
    await Promise.all(
      Array.from({ length: callers }, (_, index) => {
        const connection = connections[index % connections.length]
        return connection ? caller(connection) : undefined
      }),
    )
  } finally {
    clearTimeout(timer)
    clearTimeout(ending)
    for (const connection of connections) connection.close()
  }
  const of = percentiles(delays)
  return {
    requestsPerSecond: requests / seconds,
    perSecond: brought / seconds,
    p50Ms: of(0.5),
    p99Ms: of(0.99),
    cores: took === 0 ? (cores?.() ?? 0) : took,
  }
}

/** @returns a share's value, 0 if there is none. */
export const percentiles = (values: number[]): ((share: number) => number) => {
  const sorted = Float64Array.from(values).sort()
  return (share) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0
}
