/** Peer installations, granted by wallets of their own. */

import type { PrivateKeyAccount } from 'viem/accounts'
import { buildContactBundle, grantText } from '../../../src/protocol/contact.ts'
import { deriveInstallationId, parseAddress } from '../../../src/protocol/ids.ts'
import { sealingKeySigningBytes } from '../../../src/protocol/signing-bytes.ts'
import { must, passed } from '../checked.ts'
import { never, signWith } from '../engine.ts'
import { crypto } from './basics.ts'
import type { Sender } from './forge.ts'

/** An installation of a wallet, and the bundle that it publishes. */
export const makeSender = async (wallet: PrivateKeyAccount) => {
  const { identity, ...keys } = crypto.createIdentity()
  const [prekey, sealing] = crypto.createKeyPairs(2)
  const address = passed(parseAddress(wallet.address))
  const id = passed(deriveInstallationId(keys))
  const createdNs = BigInt(Date.now()) * 1_000_000n
  const sealingKey = must(sealing).publicKey
  const [signature] = crypto.sign(identity, [
    sealingKeySigningBytes({ address, installationId: id, createdNs, key: sealingKey }),
  ])
  const bundle = {
    keys,
    address,
    currentTime: '2026-11-20T08:13:00.000Z',
    signature: { kind: 'eip191' as const, signature: new Uint8Array(65) },
    sealingKey: { key: sealingKey, createdNs, signature: must(signature) },
  }
  const granted = await signWith(wallet)(grantText(bundle), never)
  const sender: Sender = { address, id, keys, identity, prekey: must(prekey) }
  return {
    sender,
    /** Of its sealing key. */
    sealing: must(sealing),
    bundle: buildContactBundle({
      ...bundle,
      signature: { kind: 'eip191' as const, signature: granted },
    }),
    /** The same as a contract account's: only its chain can tell whether it is good. */
    contract: buildContactBundle({
      ...bundle,
      signature: { kind: 'erc1271' as const, chainId: 1n, signature: granted },
    }),
  }
}
