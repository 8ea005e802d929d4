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

/** @param late called once, when a period of `limitMs` brought less than the minimum speed would */
export const paceBody = (limitMs: number, late: () => void): BodyPace => {
  let received = 0
  const timer = setInterval(() => {
    if (received >= limitMs * slowestBytesPerMs) received = 0
    else {
      clearInterval(timer)
      late()
    }
  }, limitMs)
  return {
    onBytes: (bytes) => {
      received += bytes
    },
    end: () => clearInterval(timer),
  }
}
