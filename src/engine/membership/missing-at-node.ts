/**
 * Detects installations that a node never had, because it lost its data and they have not
 * registered again yet (docs/protocol.md section 10), as opposed to those that a node denies.
 */

import { equalBytes } from '../../protocol/bytes.ts'
import { parseContactBundle } from '../../protocol/contact.ts'
import { emptyHead, nextHead } from '../../protocol/heads.ts'
import { digestEnvelope } from '../../protocol/ids.ts'
import { contactTopic } from '../../protocol/topics.ts'
import type { Context } from '../runtime/context.ts'
import type { Cursors } from '../runtime/cursors.ts'
import type { KnownInstallation } from './known-installations.ts'

/** An account has at most a thousand installations, whose sealing keys change once a month. */
const maxEnvelopes = 100_000
/** A page has at least 256 envelopes, but a cheating node makes pages smaller. */
const maxPages = 400

/**
 * Whether the node, under its current id, never had a bundle of this installation: the topic, read
 * from its beginning, has none, and its history is the one that the node showed before. Also false
 * if the node shows another history, or too much.
 *
 * @throws PadlockError if the node cannot be queried
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
