/**
 * Whether a clock may be believed where belief deletes: the machine's, or the database's. A clock that
 * is days ahead of the last sweep is right after a long pause, and wrong on a machine that was just
 * started or set; once it has run for an hour, somebody would have set it right.
 */
import { dayNs } from '../clock.ts'

/** Further ahead than this is believed only later. */
const leapNs = dayNs
/** For so long nobody set the clock. */
const steadyMs = 60 * 60_000
/** Smaller corrections are everyday ones. */
const settingMs = 60 * 60_000
const nsPerMs = 1_000_000n

export class ClockWatch {
  #offsetMs: number | undefined
  #steadySinceMs = performance.now()

  /** @throws Error if it is too early to believe that it is this time, so long after the last sweep. */
  assertBelieved(nowNs: bigint, sweptNs: bigint): void {
    const offsetMs = Number(nowNs / nsPerMs) - performance.now()
    if (this.#offsetMs === undefined) this.#offsetMs = offsetMs
    else if (Math.abs(offsetMs - this.#offsetMs) > settingMs) {
      this.#offsetMs = offsetMs
      this.#steadySinceMs = performance.now()
    }
    if (nowNs - sweptNs <= leapNs || performance.now() - this.#steadySinceMs >= steadyMs) return
    const days = (nowNs - sweptNs) / dayNs
    throw new Error(
      `the clock is ${days} days ahead of the last time that old data was dropped; it is believed once it has run for an hour`,
    )
  }
}
