/** Bounds look-ups of unknown senders: anyone can cause them (docs/protocol.md section 8, step 3). */

import type { Platform } from '../../platform/platform.ts'
import type { Address } from '../../protocol/ids.ts'

const perMinute = 50
const maxRemembered = 10_000

export class LookupLimiter {
  readonly #platform: Platform
  /** When the last ones were taken, the newest last; at most `perMinute`. */
  #takenMs: readonly number[] = []
  /** Counts up; those who were asked for longest ago come first. */
  #turn = 0
  readonly #lastTurn = new Map<Address, number>()

  constructor(platform: Platform) {
    this.#platform = platform
  }

  /** How many may be looked up now. */
  get left(): number {
    const oldestMs = this.#platform.monotonicMs() - 60_000
    this.#takenMs = this.#takenMs.filter((ms) => ms > oldestMs)
    return perMinute - this.#takenMs.length
  }

  /**
   * Those of the addresses that may be looked up now: accounts with a conversation first, then in turn,
   * so that no one starves the others.
   */
  take(
    addresses: readonly Address[],
    withConversation: ReadonlySet<Address> = new Set(),
  ): readonly Address[] {
    const turnOf = (address: Address) => this.#lastTurn.get(address) ?? 0
    const taken = [...addresses]
      .sort(
        (a, b) =>
          Number(withConversation.has(b)) - Number(withConversation.has(a)) ||
          turnOf(a) - turnOf(b),
      )
      .slice(0, this.left)
    const now = this.#platform.monotonicMs()
    this.#takenMs = [...this.#takenMs, ...taken.map(() => now)]
    this.#turn += 1
    if (this.#lastTurn.size > maxRemembered) this.#lastTurn.clear()
    for (const address of taken) this.#lastTurn.set(address, this.#turn)
    return taken
  }
}
