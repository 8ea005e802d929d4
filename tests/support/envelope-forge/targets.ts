/** Whom one can write to: the installations of an account, as anyone reads them from a node. */

import type { Network } from '../../../src/network/network.ts'
import { parseContactBundle } from '../../../src/protocol/contact.ts'
import type { Address } from '../../../src/protocol/ids.ts'
import { contactTopic } from '../../../src/protocol/topics.ts'
import { passed } from '../checked.ts'
import type { Target } from './forge.ts'

export const targetsAt = async (network: Network, address: Address): Promise<readonly Target[]> => {
  const { envelopes } = await network.query([{ topic: contactTopic(address), afterSequence: 0n }])
  const newest = new Map(
    envelopes.map(({ message }) => {
      const bundle = passed(parseContactBundle(message))
      return [bundle.installationId, bundle]
    }),
  )
  return [...newest.values()].map(({ installationId: id, keys, sealingKey }) => ({
    address,
    id,
    keys,
    sealingKeys: [sealingKey.key],
  }))
}
