/**
 * Revokes installations of our own account with one wallet signature (docs/protocol.md sections 3
 * and 9).
 */

import { PadlockError } from '../../errors.ts'
import { parseContactBundle } from '../../protocol/contact.ts'
import { type IdentityKeys, type InstallationId, parseInstallationId } from '../../protocol/ids.ts'
import { revocationLimitBytes } from '../../protocol/limits.ts'
import { buildRevocation } from '../../protocol/revocation.ts'
import { buildRevocationText, formatCurrentTime } from '../../protocol/signing-texts.ts'
import { revokedTopic } from '../../protocol/topics.ts'
import { chainOf } from '../../protocol/wallet-association.ts'
import type { Store } from '../../store/store.ts'
import { tables } from '../../store/tables.ts'
import type { Directory } from '../membership/directory.ts'
import type { Context } from '../runtime/context.ts'
import { type Signer, signAs } from './signing.ts'

/**
 * Revokes these forever, and returns when the node has the revocation. Those already revoked are
 * skipped; if none is left, the wallet is not asked.
 *
 * @throws PadlockError invalid_argument for an id that the account never granted, wallet_*,
 * network_unavailable and the node's refusals
 */
export const revokeInstallations = async (
  { account, network, platform, closing, store }: Context,
  directory: Directory,
  signer: Signer,
  ids: readonly string[],
  signal: AbortSignal,
): Promise<void> => {
  const { address } = account
  await directory.reread(address)
  const known = await directory.account(address)
  const chosen = new Map<InstallationId, IdentityKeys>()
  for (const text of ids) {
    const id = parseInstallationId(text)
    const installation = id.ok ? known.get(id.value) : undefined
    if (!installation) {
      throw new PadlockError('invalid_argument', {
        message: 'This account has no such installation. Pass ids that `installations()` lists.',
      })
    }
    if (installation.revokedNs === 0n) chosen.set(installation.id, installation.keys)
  }
  if (chosen.size === 0) return

  // In ascending order of id, as the signed text and the message require.
  const installations = [...chosen].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, keys]) => keys)
  const currentTime = formatCurrentTime(platform.nowMs())
  const buildText = (chainId: bigint | undefined) => {
    const text = buildRevocationText({ address, currentTime, installations, chainId })
    if (!text.ok) throw new PadlockError('internal')
    return text.value
  }
  const signing = { address, currentTime, buildText }
  const signature = await signAs(signer, signing, await ownChain(store), signal)
  const fields = { address, currentTime, installations, signature }
  const message = buildRevocation(fields)
  if (message.length > revocationLimitBytes) {
    throw new PadlockError('too_large', { message: 'Revoke fewer installations at once.' })
  }
  try {
    await network.publish([{ topic: revokedTopic(address), message }], closing)
  } catch (error) {
    // Another installation revoked them meanwhile.
    if (!(error instanceof PadlockError) || error.code !== 'already_revoked') throw error
  }
  await directory.reread(address)
}

/** The chain whose contract signed our own grant; undefined if the wallet's key signed it. */
const ownChain = async (store: Store): Promise<bigint | undefined> => {
  const identity = await store.get(tables.identity, 'identity')
  const bundle = identity && parseContactBundle(identity.value.contactBundle)
  if (!bundle?.ok) throw new PadlockError('storage_damaged')
  return chainOf(bundle.value.signature)
}
