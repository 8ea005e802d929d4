/**
 * Looks up senders that the subscription does not cover (docs/protocol.md section 8, step 3).
 * Anyone can cause look-ups, so they are limited; if there are too many, accounts with a
 * conversation go first.
 */

import type { Platform } from '../../platform/platform.ts'
import type { Address } from '../../protocol/ids.ts'
import type { Directory } from '../membership/directory.ts'
import type { Conversations } from '../messages/conversations.ts'
import type { Context } from '../runtime/context.ts'

const perMinute = 50
const maxRemembered = 10_000
/** How many accounts with a conversation have priority. */
const maxPeersFirst = 5_000

export class SenderLookup {
  readonly #directory: Directory
  readonly #conversations: Conversations
  readonly #limiter: LookupLimiter

  constructor({ platform }: Context, directory: Directory, conversations: Conversations) {
    this.#directory = directory
    this.#conversations = conversations
    this.#limiter = new LookupLimiter(platform)
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

  /** Queries as many as the limit allows now. @returns those queried @throws PadlockError */
  async refresh(addresses: readonly Address[]): Promise<readonly Address[]> {
    const isTooMany = addresses.length > this.#limiter.left
    const first = isTooMany ? await this.#conversations.peers(maxPeersFirst) : undefined
    const allowed = this.#limiter.take(addresses, first)
    if (allowed.length > 0) await this.#directory.refresh(allowed)
    return allowed
  }
}

/** Limits look-ups per minute, and decides whose turn it is. */
export class LookupLimiter {
  readonly #platform: Platform
  /** When the last look-ups were taken, newest last; at most `perMinute`. */
  #takenMs: readonly number[] = []
  /** Counts up; the account looked up longest ago comes first. */
  #turn = 0
  readonly #lastTurn = new Map<Address, number>()

  constructor(platform: Platform) {
    this.#platform = platform
  }

  /** How many accounts may be looked up now. */
  get left(): number {
    const oldestMs = this.#platform.monotonicMs() - 60_000
    this.#takenMs = this.#takenMs.filter((ms) => ms > oldestMs)
    return perMinute - this.#takenMs.length
  }

  /**
   * The addresses that may be looked up now: accounts with a conversation first, then in turn, so
   * that no account starves the others.
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
