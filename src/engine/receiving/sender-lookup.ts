/**
 * Looks up senders that the subscription does not cover (docs/protocol.md section 8, step 3).
 * Anyone can cause look-ups, so the queries for them are limited; if there are too many senders,
 * accounts that were accepted go first.
 */

import type { Platform } from '../../platform/platform.ts'
import type { Address } from '../../protocol/ids.ts'
import { lookupAddresses, lookupQueriesAtOnce, lookupQueryEveryMs } from '../../protocol/limits.ts'
import type { Consents } from '../consent/consents.ts'
import type { Directory } from '../membership/directory.ts'
import type { Context } from '../runtime/context.ts'

const maxRemembered = 10_000

export class SenderLookup {
  readonly #directory: Directory
  readonly #consents: Pick<Consents, 'allowed'>
  readonly #limiter: LookupLimiter

  constructor({ platform }: Context, directory: Directory, consents: Pick<Consents, 'allowed'>) {
    this.#directory = directory
    this.#consents = consents
    this.#limiter = new LookupLimiter(platform)
  }

  /** How long until senders may be looked up again, in milliseconds; at least 1. */
  get restMs(): number {
    return Math.max(1, this.#limiter.restMs)
  }

  /**
   * Queries all of these that the subscription does not cover, at once.
   *
   * @returns those that could not be looked up: an installation revoked meanwhile must not get in
   * because another sender used up the look-ups, or because the query failed
   */
  async lookUp(addresses: Iterable<Address>): Promise<ReadonlySet<Address>> {
    const unsure = new Set(
      [...addresses].filter((one) => !this.#directory.coverage.isFollowed(one)),
    )
    try {
      for (const address of await this.refresh([...unsure])) unsure.delete(address)
    } catch {
      // Their envelopes are parked and looked up again: nothing waits for the network here.
    }
    return unsure
  }

  /**
   * Queries as many as the limit allows now.
   *
   * @returns those whose topics were read to their ends
   * @throws PadlockError
   */
  async refresh(addresses: readonly Address[]): Promise<readonly Address[]> {
    if (addresses.length === 0 || this.#limiter.restMs > 0) return []
    const isTooMany = addresses.length > lookupAddresses
    const first = isTooMany ? await this.#consents.allowed(addresses) : undefined
    const chosen = this.#limiter.choose(addresses, first)
    return this.#directory.lookUp(chosen, () => this.#limiter.take())
  }
}

/** Limits the queries of look-ups, and decides whose turn it is. */
export class LookupLimiter {
  readonly #platform: Platform
  /** Saved up, in milliseconds; one query takes `lookupQueryEveryMs` of them. */
  #savedMs = lookupQueriesAtOnce * lookupQueryEveryMs
  #countedMs: number
  /** Counts up; the account looked up longest ago comes first. */
  #turn = 0
  readonly #lastTurn = new Map<Address, number>()

  constructor(platform: Platform) {
    this.#platform = platform
    this.#countedMs = platform.monotonicMs()
  }

  /** How long until the next query, in milliseconds; 0 if it may go now. */
  get restMs(): number {
    this.#count()
    return Math.max(0, Math.ceil(lookupQueryEveryMs - this.#savedMs))
  }

  /** Takes one query. @returns false if there is none left now */
  take(): boolean {
    if (this.restMs > 0) return false
    this.#savedMs -= lookupQueryEveryMs
    return true
  }

  /**
   * The addresses of one query: accounts that were accepted first, then in turn, so that no
   * account starves the others.
   */
  choose(
    addresses: readonly Address[],
    accepted: ReadonlySet<Address> = new Set(),
  ): readonly Address[] {
    const turnOf = (address: Address) => this.#lastTurn.get(address) ?? 0
    const chosen = [...addresses]
      .sort((a, b) => Number(accepted.has(b)) - Number(accepted.has(a)) || turnOf(a) - turnOf(b))
      .slice(0, lookupAddresses)
    this.#turn += 1
    if (this.#lastTurn.size > maxRemembered) this.#lastTurn.clear()
    for (const address of chosen) this.#lastTurn.set(address, this.#turn)
    return chosen
  }

  #count(): void {
    const nowMs = this.#platform.monotonicMs()
    const passedMs = Math.max(0, nowMs - this.#countedMs)
    this.#savedMs = Math.min(lookupQueriesAtOnce * lookupQueryEveryMs, this.#savedMs + passedMs)
    this.#countedMs = nowMs
  }
}
