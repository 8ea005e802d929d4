/** Grants and revocations of plain and contract accounts, as they lie on their topics. */

import { type PrivateKeyAccount, privateKeyToAccount } from 'viem/accounts'
import type { Account } from '../../src/engine/runtime/context.ts'
import { buildContactBundle, grantText } from '../../src/protocol/contact.ts'
import type { Address } from '../../src/protocol/ids.ts'
import { buildRevocation, revocationText } from '../../src/protocol/revocation.ts'
import { sealingKeySigningBytes } from '../../src/protocol/signing-bytes.ts'
import type { WalletSignature } from '../../src/protocol/wallet-association.ts'
import { loadTestCrypto, never, signWith } from './engine.ts'

const crypto = await loadTestCrypto()
const currentTime = '2026-11-20T08:13:00.000Z'

/** Signs with its key. */
const theKey: PrivateKeyAccount = privateKeyToAccount(`0x${'7'.repeat(64)}`)
export const theAddress = theKey.address.toLowerCase() as Address

/** Who signs: the account's key, or a contract on a chain with this signature. */
export type By = 'key' | { readonly chainId: bigint; readonly signature?: Uint8Array }

const contracts = ({ chainId, signature }: Exclude<By, 'key'>): WalletSignature => ({
  kind: 'erc1271',
  chainId,
  signature: signature ?? Uint8Array.of(1, 2, 3),
})

const unsigned: WalletSignature = { kind: 'eip191', signature: new Uint8Array(65) }

const byKey = async (text: string): Promise<WalletSignature> => ({
  kind: 'eip191',
  signature: await signWith(theKey)(text, never),
})

export interface GrantOptions {
  readonly createdNs?: bigint
  /** Instead of the installation itself. */
  readonly sealedBy?: Account
}

/** A contact bundle of an installation, and its sealing key. The key is that of `theAddress` only. */
export const aGrant = async (
  device: Account,
  by: By,
  { createdNs = 1n, sealedBy = device }: GrantOptions = {},
) => {
  const { address, installationId, keys } = device
  const [pair] = crypto.createKeyPairs(1)
  if (!pair) throw new Error('no key pair')
  const key = pair.publicKey
  const signed = sealingKeySigningBytes({ address, installationId, createdNs, key })
  const [signature] = crypto.sign(sealedBy.identity, [signed])
  if (!signature) throw new Error('no signature')
  const sealingKey = { key, createdNs, signature }
  const association = { address, currentTime, keys }
  const wallets =
    by === 'key' ? await byKey(grantText({ ...association, signature: unsigned })) : contracts(by)
  return { message: buildContactBundle({ ...association, signature: wallets, sealingKey }), key }
}

/** A revocation of installations of an account. */
export const aRevocation = async (
  devices: readonly Account[],
  by: By,
  address = theAddress,
): Promise<Uint8Array> => {
  const installations = [...devices]
    .sort((a, b) => (a.installationId < b.installationId ? -1 : 1))
    .map(({ keys }) => keys)
  const fields = { address, currentTime, installations, signature: unsigned }
  if (by !== 'key') return buildRevocation({ ...fields, signature: contracts(by) })
  const text = revocationText(fields)
  if (!text.ok) throw new Error(text.why)
  return buildRevocation({ ...fields, signature: await byKey(text.value) })
}
