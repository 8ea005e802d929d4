/** What strangers may not learn: whether anybody is there. Nothing is written to them, and no key of theirs is asked for. */

import { messageTopic } from '../../../src/protocol/topics.ts'
import type { World } from '../world.ts'
import { strangersPrekeys } from './stranger.ts'

export const judgePresence = async ({ crowd, node, journal }: World): Promise<void> => {
  for (const { installationId } of crowd?.members ?? []) {
    const topic = messageTopic(installationId)
    const limit = { envelopes: 500, bytes: 1e9 }
    const { envelopes } = await node.store.page([{ topic, afterSequence: 0n }], limit)
    if (envelopes.length > 0) {
      journal.problem(`${envelopes.length} envelopes were written to a stranger`)
    }
    const { oneTimeLeft } = await node.store.stock(installationId)
    if (oneTimeLeft !== strangersPrekeys) {
      journal.problem(`${strangersPrekeys - oneTimeLeft} keys of a stranger were claimed`)
    }
  }
}
