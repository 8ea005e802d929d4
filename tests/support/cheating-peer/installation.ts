/** The keys, the grant and the prekeys of a cheating peer: as good as anybody's, or granted by another wallet. */

import type { PrivateKeyAccount } from 'viem/accounts'
import { makePrekeys, type PrekeySecret } from '../../../src/engine/keys/prekey-uploads.ts'
import { buildContactBundle, grantText, type SealingKey } from '../../../src/protocol/contact.ts'
import {
  type Address,
  deriveInstallationId,
  type IdentityKeys,
  type InstallationId,
} from '../../../src/protocol/ids.ts'
import { sealingKeySigningBytes } from '../../../src/protocol/signing-bytes.ts'
import { addressOf, passed } from '../checked.ts'
import { type EngineWorld, never, signWith } from '../engine.ts'

/** An installation with all its secrets; nothing of it is published. */
export interface MadeInstallation {
  readonly account: PrivateKeyAccount
  readonly id: InstallationId
  readonly keys: IdentityKeys
  readonly identity: Uint8Array
  readonly sealingSecret: Uint8Array
  readonly prekeys: readonly PrekeySecret[]
  /** Contact bundle, and the upload of its prekeys. */
  readonly bundle: Uint8Array
  readonly upload: Uint8Array
}

/** @param wallet who signs the grant. */
export const makeInstallation = async (
  world: EngineWorld,
  account: PrivateKeyAccount,
  wallet: PrivateKeyAccount,
): Promise<MadeInstallation> => {
  const { crypto } = world
  const address = addressOf(account)
  const { identity, ...keys } = crypto.createIdentity()
  const id = passed(deriveInstallationId(keys))
  const { secret, sealingKey } = makeSealingKey(world, { address, id, identity })
  const grant = {
    keys,
    address,
    currentTime: '2026-11-21T08:13:00.000Z',
    signature: { kind: 'eip191', signature: new Uint8Array(65) } as const,
    sealingKey,
  }
  const signature = await signWith(wallet)(grantText(grant), never)
  const prekeys = makePrekeys(
    { crypto, identity, installationId: id, createdNs: sealingKey.createdNs },
    { count: 20, kind: 'first' },
  )
  return {
    account,
    id,
    keys,
    identity,
    sealingSecret: secret,
    prekeys: [...prekeys.oneTime, ...prekeys.fallback],
    bundle: buildContactBundle({ ...grant, signature: { kind: 'eip191', signature } }),
    upload: prekeys.upload,
  }
}

/** A sealing key of now; `key` stands in for its public half. */
export const makeSealingKey = (
  { crypto, node }: EngineWorld,
  owner: {
    readonly address: Address
    readonly id: InstallationId
    readonly identity: Uint8Array
  },
  key?: Uint8Array,
): { readonly secret: Uint8Array; readonly sealingKey: SealingKey } => {
  const [pair] = crypto.createKeyPairs(1)
  if (!pair) throw new Error('no key')
  const fields = { key: key ?? pair.publicKey, createdNs: BigInt(node.clock()) }
  const { address, id: installationId } = owner
  const [signature] = crypto.sign(owner.identity, [
    sealingKeySigningBytes({ address, installationId, ...fields }),
  ])
  if (!signature) throw new Error('no signature')
  return { secret: pair.secret, sealingKey: { ...fields, signature } }
}
