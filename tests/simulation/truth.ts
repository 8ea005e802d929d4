/** What the node holds of everyone's topics: when installations came and went. */

import type { Network, NodeEnvelope } from '../../src/network/network.ts'
import { parseContactBundle } from '../../src/protocol/contact.ts'
import type { IdentityKeys, InstallationId } from '../../src/protocol/ids.ts'
import { parseRevocation } from '../../src/protocol/revocation.ts'
import { contactTopic, revokedTopic } from '../../src/protocol/topics.ts'
import type { Stage } from './stage.ts'

export interface Registered {
  readonly keys: IdentityKeys
  readonly address: string
  /** Node time of its first bundle. */
  readonly sinceNs: bigint
  /** Node time of its revocation. */
  readonly revokedNs: bigint | undefined
}

export const readTruth = async ({
  people,
  node: { network },
}: Pick<Stage, 'people' | 'node'>): Promise<ReadonlyMap<InstallationId, Registered>> => {
  const found = new Map<InstallationId, Registered>()
  for (const { address } of people) {
    for (const { message, nodeNs } of await readTopic(network, contactTopic(address))) {
      const bundle = parseContactBundle(message)
      if (!bundle.ok) throw new Error('the node holds a bundle that does not parse')
      const { installationId: id, keys } = bundle.value
      if (!found.has(id)) found.set(id, { keys, address, sinceNs: nodeNs, revokedNs: undefined })
    }
    for (const { message, nodeNs } of await readTopic(network, revokedTopic(address))) {
      const revocation = parseRevocation(message)
      if (!revocation.ok) throw new Error('the node holds a revocation that does not parse')
      for (const id of revocation.value.installationIds) {
        const before = found.get(id)
        if (before) found.set(id, { ...before, revokedNs: nodeNs })
      }
    }
  }
  return found
}

/** How many envelopes all contact and revoked topics have. */
export const countEnvelopes = async ({
  people,
  node: { network },
}: Pick<Stage, 'people' | 'node'>): Promise<number> => {
  let count = 0
  for (const { address } of people) {
    for (const topic of [contactTopic(address), revokedTopic(address)]) {
      count += (await readTopic(network, topic)).length
    }
  }
  return count
}

const readTopic = async (network: Network, topic: string): Promise<readonly NodeEnvelope[]> => {
  const all: NodeEnvelope[] = []
  for (;;) {
    const { envelopes } = await network.query([
      { topic, afterSequence: all.at(-1)?.sequence ?? 0n },
    ])
    if (envelopes.length === 0) return all
    all.push(...envelopes)
  }
}
