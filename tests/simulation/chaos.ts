/** What goes wrong inside of devices and the node, and how often; nothing once it is calmed. */
import { PadlockError } from '../../src/errors.ts'
import { type Features, nodeClockLimitMs } from './features.ts'
import type { Journal } from './journal.ts'
import type { Random } from './random.ts'

/** Of so many storage operations one fails. */
const storageFaultEvery = 150

export class Chaos {
  readonly #random: Random
  readonly #journal: Journal
  readonly #features: Features
  #isCalm = false

  constructor(random: Random, journal: Journal, features: Features) {
    this.#random = random
    this.#journal = journal
    this.#features = features
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

  /** Why a storage operation fails, undefined if it does not. */
  storageFault(name: string): PadlockError | undefined {
    if (this.#isCalm || !this.#features.hasStorageFaults) return undefined
    if (!this.#random.chance(1 / storageFaultEvery)) return undefined
    this.#journal.fault('storage fails', name)
    return new PadlockError(this.#random.pick(['storage_failed', 'storage_full'] as const))
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

  /** How wrong a device's clock is: minutes, or hours. */
  clockAheadMs(): number {
    const hourMs = 3_600_000
    const spread = this.#random.fraction() - 0.5
    return Math.round(this.#random.pick([0, spread * 4 * 60_000, spread * 20 * hourMs]))
  }

  /** How wrong the node's clock is. */
  nodeClockAheadMs(): number {
    if (!this.#features.hasNodeClock) return 0
    return this.#random.between(-nodeClockLimitMs, nodeClockLimitMs)
  }
}
