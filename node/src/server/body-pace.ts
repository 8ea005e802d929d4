/**
 * Ends requests whose body comes too slowly: the time limit is for silence, so what arrives at a
 * minimum speed may take as long as it needs.
 */

/** 16 kB/s: half of the slowest line that clients count on. */
const slowestBytesPerMs = 16

/** The longest that a body may take. */
export const longestBodyMs = (limitMs: number, bytes: number): number =>
  Math.ceil(limitMs + bytes / slowestBytesPerMs)

export interface BodyPace {
  onBytes(bytes: number): void
  /** The body has arrived, or the request is over; may be called again. */
  end(): void
}

/** @param late called once, if the body is behind the minimum speed after `limitMs` */
export const paceBody = (limitMs: number, late: () => void): BodyPace => {
  const sinceMs = performance.now()
  let received = 0
  const check = () => {
    const leftMs = sinceMs + longestBodyMs(limitMs, received) - performance.now()
    if (leftMs > 0) timer = setTimeout(check, leftMs)
    else late()
  }
  let timer = setTimeout(check, limitMs)
  return {
    onBytes: (bytes) => {
      received += bytes
    },
    end: () => clearTimeout(timer),
  }
}
