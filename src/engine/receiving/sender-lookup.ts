/**
 * Looks up senders that the subscription does not cover (docs/protocol.md section 8, step 3).
 * Anyone can cause look-ups, so the queries for them are limited, and those of accounts that were
 * accepted have a limit of their own.
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
  /** Strangers cannot use up the look-ups of accounts that were accepted. */
  readonly #ofAccepted: LookupLimiter
  readonly #ofOthers: LookupLimiter

  constructor({ platform }: Context, directory: Directory, consents: Pick<Consents, 'allowed'>) {
    this.#directory = directory
    this.#consents = consents
    this.#ofAccepted = new LookupLimiter(platform)
    this.#ofOthers = new LookupLimiter(platform)
  }

  /** How long until senders may be looked up again, in milliseconds; at least 1. */
  get restMs(): number {
    return Math.max(1, this.#ofAccepted.restMs, this.#ofOthers.restMs)
  }

  /**
   * Queries at once those of accepted accounts that the subscription does not cover. Others wait for
   * their turn apart: whatever lies on their topics holds up nobody's messages.
   *
   * @returns those that were not looked up: an installation revoked meanwhile must not get in because
   * another sender used up the look-ups, or because the query failed
   */
  async lookUp(addresses: Iterable<Address>): Promise<ReadonlySet<Address>> {
    const unsure = new Set(
      [...addresses].filter((one) => !this.#directory.coverage.isFollowed(one)),
    )
    try {
      const accepted = await this.#consents.allowed(unsure)
      for (const address of await this.refresh([...accepted], 'accepted')) unsure.delete(address)
    } catch {
      // Their envelopes are parked and looked up again: nothing waits for the network here.
    }
    return unsure
  }

  /**
   * Queries as many as the limit allows now.
   *
   * @param who these are, all of them
   * @returns those whose topics were read to their ends
   * @throws PadlockError
   */
  async refresh(
    addresses: readonly Address[],
    who: 'accepted' | 'others',
  ): Promise<readonly Address[]> {
    const limiter = who === 'accepted' ? this.#ofAccepted : this.#ofOthers
    if (addresses.length === 0 || limiter.restMs > 0) return []
    return this.#directory.lookUp(limiter.choose(addresses), () => limiter.take())
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

  /** The addresses of one query, in turn, so that no account starves the others. */
  choose(addresses: readonly Address[]): readonly Address[] {
    const turnOf = (address: Address) => this.#lastTurn.get(address) ?? 0
    const chosen = [...addresses].sort((a, b) => turnOf(a) - turnOf(b)).slice(0, lookupAddresses)
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
