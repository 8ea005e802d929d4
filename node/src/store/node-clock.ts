/**
 * The time of a store whose database has a clock that counts: what the database said last, and what has
 * passed since by a clock that nobody sets. So the machine's own clock may be wrong, and may be set.
 */
import type { Clock } from '../clock.ts'

const nsPerMs = 1_000_000

export class DatabaseClock {
  #readNs: bigint
  #readAtMs: number
  readonly #elapsedMs: () => number

  constructor(nowNs: bigint, elapsedMs: () => number = () => performance.now()) {
    this.#elapsedMs = elapsedMs
    this.#readNs = nowNs
    this.#readAtMs = elapsedMs()
  }

  readonly now: Clock = () =>
    this.#readNs + BigInt(Math.round((this.#elapsedMs() - this.#readAtMs) * nsPerMs))

  /** The database said that it is this time now. */
  set(nowNs: bigint): void {
    this.#readNs = nowNs
    this.#readAtMs = this.#elapsedMs()
  }
}
