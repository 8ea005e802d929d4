/** Bounds look-ups of unknown senders: anyone can cause them (docs/protocol.md section 8, step 3). */

import type { Platform } from '../platform/platform.ts'
import type { Address } from '../protocol/ids.ts'

const perMinute = 50
const maxRemembered = 10_000

export class Lookups {
  readonly #platform: Platform
  #left = perMinute
  #sinceMs: number
  /** Counts up; those who were asked for longest ago come first. */
  #turn = 0
  readonly #lastTurn = new Map<Address, number>()

  constructor(platform: Platform) {
    this.#platform = platform
    this.#sinceMs = platform.monotonicMs()
  }

  /** Those of the addresses that may be looked up now, in turn: no one starves the others. */
  take(addresses: readonly Address[]): readonly Address[] {
    const now = this.#platform.monotonicMs()
    if (now - this.#sinceMs >= 60_000) {
      this.#sinceMs = now
      this.#left = perMinute
    }
    const turnOf = (address: Address) => this.#lastTurn.get(address) ?? 0
    const taken = [...addresses].sort((a, b) => turnOf(a) - turnOf(b)).slice(0, this.#left)
    this.#left -= taken.length
    this.#turn += 1
    if (this.#lastTurn.size > maxRemembered) this.#lastTurn.clear()
    for (const address of taken) this.#lastTurn.set(address, this.#turn)
    return taken
  }
}
