/**
 * Counts by code the envelopes that were not kept; they are never stored and never answered.
 * Reported once per batch, as garbage comes in volume.
 */

import type { PadlockErrorCode } from '../../errors.ts'
import { outcomeOf } from '../../protocol/outcomes.ts'
import type { Context } from '../runtime/context.ts'

export class RejectionCounts {
  readonly #context: Context
  readonly #counts = new Map<PadlockErrorCode, number>()
  #unopened = 0

  constructor(context: Context) {
    this.#context = context
  }

  /** Call this when a subscription begins. */
  begin(): void {
    this.#unopened = 0
  }

  /** Envelopes that none of our sealing keys opened, since `begin`. */
  get unopened(): number {
    return this.#unopened
  }

  count(code: PadlockErrorCode): void {
    if (code === 'unsealing_failed') this.#unopened += 1
    this.#counts.set(code, (this.#counts.get(code) ?? 0) + 1)
  }

  /** Reports to the application, and resets the counts. */
  report(): void {
    for (const [code, count] of this.#counts) {
      const { kind } = outcomeOf(code)
      const outcome = code === 'duplicate_message' ? 'duplicate' : kind
      if (outcome === 'kept' || outcome === 'parked') continue
      this.#context.status.warn(code, count)
      this.#context.emit({ kind: 'envelopes', outcome, code, count })
    }
    this.#counts.clear()
  }
}
