/**
 * Installations that a node never had, because it lost its data and they have not come back to it yet
 * (docs/protocol.md section 10); in contrast to those that a node denies.
 */

import { equalBytes } from '../../protocol/bytes.ts'
import { parseContactBundle } from '../../protocol/contact.ts'
import { emptyHead, nextHead } from '../../protocol/heads.ts'
import { digestEnvelope } from '../../protocol/ids.ts'
import { contactTopic } from '../../protocol/topics.ts'
import type { Context } from '../runtime/context.ts'
import type { Cursors } from '../runtime/cursors.ts'
import type { KnownInstallation } from './known-installations.ts'

/** An account has a thousand installations at most, whose sealing keys change once a month. */
const maxEnvelopes = 100_000
/** Of 256 envelopes at least, but a node that cheats makes them smaller. */
const maxPages = 400

/**
 * Whether the node never had a bundle of this installation under its present id: none is in the topic
 * from its beginning, and that is the very topic that the node has shown before. False also if the
 * node shows another one, or too much.
 *
 * @throws PadlockError if the node cannot be asked
 */
export const isMissingAtNode = async (
  { network, closing }: Context,
  cursors: Cursors,
  { address, id }: Pick<KnownInstallation, 'address' | 'id'>,
): Promise<boolean> => {
  const { nodeId } = cursors
  const topic = contactTopic(address)
  const heads = [emptyHead]
  let pages = 0
  for (let hasMore = true; hasMore && heads.length <= maxEnvelopes; pages += 1) {
    if (pages === maxPages) return false
    const afterSequence = BigInt(heads.length - 1)
    const page = await network.query([{ topic, afterSequence }], closing)
    for (const { sequence, message } of page.envelopes) {
      const bundle = parseContactBundle(message)
      if (bundle.ok && bundle.value.installationId === id) return false
      if (sequence !== BigInt(heads.length)) return false
      heads.push(nextHead(heads.at(-1) ?? emptyHead, digestEnvelope(message)))
    }
    hasMore = page.hasMore && page.envelopes.length > 0
  }
  const { sequence, head } = await cursors.position(topic)
  const shown = heads[Number(sequence)]
  return equalBytes(nodeId, cursors.nodeId) && shown !== undefined && equalBytes(shown, head)
}
