/** Bounds look-ups of unknown senders: anyone can cause them (docs/protocol.md section 8, step 3). */

import type { Platform } from '../platform/platform.ts'
import type { Address } from '../protocol/ids.ts'

const perMinute = 50

export class Lookups {
  readonly #platform: Platform
  #left = perMinute
  #sinceMs: number

  constructor(platform: Platform) {
    this.#platform = platform
    this.#sinceMs = platform.monotonicMs()
  }

  /** Those of the addresses, in order, that may be looked up now. */
  take(addresses: readonly Address[]): readonly Address[] {
    const now = this.#platform.monotonicMs()
    if (now - this.#sinceMs >= 60_000) {
      this.#sinceMs = now
      this.#left = perMinute
    }
    const taken = addresses.slice(0, this.#left)
    this.#left -= taken.length
    return taken
  }
}
