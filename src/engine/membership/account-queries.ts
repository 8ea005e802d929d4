/**
 * Asks the node for the topics of accounts that the subscription does not carry, page by page, and
 * hands over what came, in bounds whatever the node answers.
 */

import { PadlockError } from '../../errors.ts'
import type { NodeEnvelope } from '../../network/network.ts'
import type { Address } from '../../protocol/ids.ts'
import { contactTopic, parseTopic, revokedTopic } from '../../protocol/topics.ts'
import type { Context } from '../runtime/context.ts'
import type { Cursors } from '../runtime/cursors.ts'

/** Pages of one look-up; pages that were read are kept, so the next look-up resumes from there. */
const maxPages = 100

interface Page {
  readonly envelopes: readonly NodeEnvelope[]
  readonly hasMore: boolean
}

export class AccountQueries {
  readonly #context: Context
  readonly #cursors: Cursors
  readonly #apply: (envelopes: readonly NodeEnvelope[]) => Promise<boolean>

  /** @param apply processes envelopes, and says whether any was new */
  constructor(
    context: Context,
    cursors: Cursors,
    apply: (envelopes: readonly NodeEnvelope[]) => Promise<boolean>,
  ) {
    this.#context = context
    this.#cursors = cursors
    this.#apply = apply
  }

  /** Reads the topics of at most 500 accounts to their ends. @throws PadlockError */
  async readAll(addresses: readonly Address[]): Promise<void> {
    for (let hasMore = true, pages = 0; hasMore; pages += 1) {
      // Nor may a node that always has something new keep us here.
      if (pages === maxPages) throw new PadlockError('bad_response')
      const page = await this.#page(addresses)
      if (page) hasMore = page.hasMore
      else pages = -1
    }
  }

  /**
   * Reads the topics of at most 500 accounts, and leaves out whoever has so much on theirs that the
   * answer takes another page: they are read on at the next look-up.
   *
   * @param takePage whether there may be one more page
   * @returns those that were read to the ends of their topics
   * @throws PadlockError
   */
  async readLight(
    addresses: readonly Address[],
    takePage: () => boolean,
  ): Promise<readonly Address[]> {
    const open = new Set(addresses)
    for (let hasMore = true; hasMore; ) {
      if (open.size === 0 || !takePage()) return []
      const page = await this.#page([...open])
      hasMore = page?.hasMore !== false
      const heaviest = page?.hasMore ? heaviestOf(page.envelopes) : undefined
      if (heaviest) open.delete(heaviest)
    }
    return [...open]
  }

  /** @returns undefined if the connection moved to another node meanwhile */
  async #page(addresses: readonly Address[]): Promise<Page | undefined> {
    const { network, closing } = this.#context
    const topics = addresses.flatMap((address) => [contactTopic(address), revokedTopic(address)])
    const asked = new Set<string>(topics)
    const { nodeId } = this.#cursors
    const positions = await Promise.all(
      topics.map(async (topic) => ({ topic, afterSequence: await this.#cursors.load(topic) })),
    )
    const page = await network.query(positions, closing)
    // This answer is not for the cursors of another node.
    if (this.#cursors.nodeId !== nodeId) return undefined
    // Topics that were not asked for could fill the store with unknown accounts.
    const envelopes = page.envelopes.filter(({ topic }) => asked.has(topic))
    const isNews = await this.#apply(envelopes)
    // A node that promises more and sends nothing new would keep us here forever.
    return { envelopes, hasMore: page.hasMore && isNews }
  }
}

/** Whose topics most bytes are of. */
const heaviestOf = (envelopes: readonly NodeEnvelope[]): Address | undefined => {
  const bytesOf = new Map<Address, number>()
  let heaviest: Address | undefined
  for (const { topic, message } of envelopes) {
    const parsed = parseTopic(topic)
    if (!parsed.ok || !('address' in parsed.value)) continue
    const { address } = parsed.value
    const bytes = (bytesOf.get(address) ?? 0) + message.length
    bytesOf.set(address, bytes)
    if (heaviest === undefined || bytes > (bytesOf.get(heaviest) ?? 0)) heaviest = address
  }
  return heaviest
}
