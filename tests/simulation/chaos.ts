/** What goes wrong inside of devices, and how often; nothing once it is calmed. */
import type { Journal } from './journal.ts'
import type { Random } from './random.ts'

export class Chaos {
  readonly #random: Random
  readonly #journal: Journal
  #isCalm = false

  constructor(random: Random, journal: Journal) {
    this.#random = random
    this.#journal = journal
  }

  calm(): void {
    this.#isCalm = true
  }

  /** After how many storage transactions a program crashes. */
  commitsOfALife(): number {
    if (this.#isCalm || this.#random.chance(0.2)) return Number.POSITIVE_INFINITY
    // Some die young: a registration has only a few transactions.
    return 1 + Math.floor(this.#random.wait(this.#random.chance(0.4) ? 4 : 60))
  }

  walletRefuses(): boolean {
    if (this.#isCalm || !this.#random.chance(0.1)) return false
    this.#journal.fault('wallet refuses', 'a wallet')
    return true
  }

  /** How long a tab does not notice that its database was taken over. */
  staleMs(): number {
    return this.#random.between(0, 120_000)
  }

  clockAheadMs(): number {
    const hourMs = 3_600_000
    return Math.round(
      this.#random.pick([
        0,
        (this.#random.fraction() - 0.5) * 4 * 60_000,
        (this.#random.fraction() - 0.5) * 20 * hourMs,
      ]),
    )
  }
}
