/** An installation that is registered at a node, and what its store then holds. */

import type { PrivateKeyAccount } from 'viem/accounts'
import { makePrekeys } from '../../../src/engine/keys/prekey-uploads.ts'
import type { Account } from '../../../src/engine/runtime/context.ts'
import type { Network } from '../../../src/network/network.ts'
import { contactTopic } from '../../../src/protocol/topics.ts'
import type { Store } from '../../../src/store/store.ts'
import { put, tables } from '../../../src/store/tables.ts'
import { crypto } from './basics.ts'
import { makeSender } from './sender.ts'

/** Registers with two sealing secrets of earlier times beside the current one. */
export const register = async (network: Network, store: Store, wallet: PrivateKeyAccount) => {
  const { sender: own, bundle, sealing } = await makeSender(wallet)
  const { address, keys, identity } = own
  await network.publish([{ topic: contactTopic(address), message: bundle }])
  const account: Account = { address, installationId: own.id, keys, identity }
  const secrets = [sealing, ...crypto.createKeyPairs(2)].map((pair) => ({ ...pair, createdNs: 1n }))
  const prekeys = makePrekeys({ crypto, ...account, createdNs: 1n }, { count: 50, kind: 'first' })
  const { oneTime, fallback: fallbacks } = prekeys
  const { nodeId } = await network.getInfo()
  await store.transaction([], () => ({
    writes: [
      put(tables.identity, 'identity', {
        address,
        state: identity,
        ...keys,
        contactBundle: bundle,
        prekeyUpload: prekeys.upload,
        registered: true,
        nodeId,
      }),
      put(tables.sealing, 'sealing', { secrets }),
      put(tables.prekeys, 'prekeys', { oneTime, fallback: fallbacks }),
      put(tables.times, 'times', { lastCreatedNs: 1n }),
    ],
    result: undefined,
  }))
  return { account, secrets, oneTime, fallbacks }
}
