/**
 * How many bytes to put into one request: what the line carries in a few seconds. A request that is
 * too large for the line, or for a proxy on the way, would otherwise be repeated forever.
 */

import { requestLimitBytes } from '../../protocol/limits.ts'

/** Before anything is known of the line. */
const startBytes = 256 * 1024
const leastBytes = 16 * 1024
/** How long a request should take. */
const targetMs = 5_000

export class RequestSize {
  #bytes = startBytes

  /** The most that the next request should hold; one envelope always goes. */
  get bytes(): number {
    return this.#bytes
  }

  /** A request of so many bytes was answered after so long. */
  onCarried(bytes: number, ms: number): void {
    // A small one says nothing about the line.
    if (bytes < this.#bytes / 2) return
    const perTarget = (bytes * targetMs) / Math.max(ms, 1)
    this.#set(Math.min(perTarget, this.#bytes * 2))
  }

  /** A request of so many bytes did not get through. */
  onFailed(bytes: number): void {
    this.#set(Math.min(this.#bytes, bytes) / 2)
  }

  #set(bytes: number): void {
    this.#bytes = Math.round(Math.min(requestLimitBytes, Math.max(leastBytes, bytes)))
  }
}
