/**
 * Revokes installations of an account with one wallet signature (docs/protocol.md sections 3 and
 * 9).
 */

import { PadlockError } from '../../errors.ts'
import type { Network } from '../../network/network.ts'
import type { Platform } from '../../platform/platform.ts'
import {
  type Address,
  type IdentityKeys,
  type InstallationId,
  parseInstallationId,
} from '../../protocol/ids.ts'
import { dayMs, revocationLimitBytes } from '../../protocol/limits.ts'
import { buildRevocation } from '../../protocol/revocation.ts'
import { buildRevocationText, formatCurrentTime } from '../../protocol/signing-texts.ts'
import { revokedTopic } from '../../protocol/topics.ts'
import { contractChainOf, type KnownAccount } from '../membership/known-installations.ts'
import { type Signer, signAsWallet } from './signing.ts'

export interface Revoking {
  readonly address: Address
  /** The account as its topics list it now. */
  readonly known: KnownAccount
  readonly signer: Signer
}

/**
 * Revokes these forever, and returns when the node has the revocation. Those already revoked are
 * skipped; if none is left, the wallet is not asked.
 *
 * @param closing ends publishing; giving up before that ends only the wait for the wallet
 * @throws PadlockError invalid_argument for an id that the account never granted, wallet_*,
 * network_unavailable and the node's refusals
 */
export const revokeInstallations = async (
  { network, platform }: { readonly network: Network; readonly platform: Platform },
  { address, known, signer }: Revoking,
  ids: readonly string[],
  signal: AbortSignal,
  closing: AbortSignal,
): Promise<void> => {
  const chosen = choose(known, ids)
  if (chosen.length === 0) return
  // The wallet may be on another chain now than when it granted.
  const contractChainId = signer.contractChainId ?? contractChainOf(known)
  const isContracts = contractChainId !== undefined
  const nowMs = platform.nowMs()
  // The owners of a contract may sign one after the other: for a day each try has the same text.
  const currentTime = formatCurrentTime(isContracts ? nowMs - (nowMs % dayMs) : nowMs)
  const buildText = (chainId: bigint | undefined) => {
    const text = buildRevocationText({ address, currentTime, installations: chosen, chainId })
    if (!text.ok) throw new PadlockError('internal')
    return text.value
  }
  const signing = { address, currentTime, buildText, wasAsked: isContracts }
  const signature = await signAsWallet({ ...signer, contractChainId }, signing, signal)
  const message = buildRevocation({ address, currentTime, installations: chosen, signature })
  if (message.length > revocationLimitBytes) {
    throw new PadlockError('too_large', { message: 'Revoke fewer installations at once.' })
  }
  try {
    await network.publish([{ topic: revokedTopic(address), message }], closing)
  } catch (error) {
    // Another installation revoked them meanwhile.
    if (!(error instanceof PadlockError) || error.code !== 'already_revoked') throw error
  }
}

/** In ascending order of id, as the signed text and the message require. */
const choose = (known: KnownAccount, ids: readonly string[]): readonly IdentityKeys[] => {
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
  return [...chosen].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, keys]) => keys)
}
