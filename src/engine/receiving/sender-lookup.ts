/**
 * Looks up senders that the subscription does not cover (docs/protocol.md section 8, step 3). Anyone can
 * cause look-ups, so they are limited; where there are too many, accounts with a conversation go first.
 */

import type { Address } from '../../protocol/ids.ts'
import type { Directory } from '../membership/directory.ts'
import type { Conversations } from '../messages/conversations.ts'
import type { Context } from '../runtime/context.ts'
import { LookupLimiter } from './lookup-limiter.ts'

/** Accounts with a conversation that go before others. */
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
   * One query for all of these that the subscription does not cover.
   *
   * @returns those that could not be asked about: nobody who was revoked meanwhile must get in because
   * somebody else used up the look-ups, or because the query failed.
   */
  async lookUp(addresses: Iterable<Address>): Promise<ReadonlySet<Address>> {
    const unsure = new Set(
      [...addresses].filter((one) => !this.#directory.coverage.isFollowed(one)),
    )
    try {
      for (const address of await this.refresh([...unsure])) unsure.delete(address)
    } catch {
      // They are parked and looked up again: nothing waits here for the network.
    }
    return unsure
  }

  /** Asks the node about as many as may be asked about now. @returns which @throws PadlockError */
  async refresh(addresses: readonly Address[]): Promise<readonly Address[]> {
    const isTooMany = addresses.length > this.#limiter.left
    const first = isTooMany ? await this.#conversations.peers(maxPeersFirst) : undefined
    const allowed = this.#limiter.take(addresses, first)
    if (allowed.length > 0) await this.#directory.refresh(allowed)
    return allowed
  }
}
