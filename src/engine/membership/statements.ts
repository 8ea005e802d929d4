/**
 * What grants, vouches and revocations change of an account: rules without I/O (docs/protocol.md
 * section 3). A contract account's signature waits for its chain; until the chain confirms it, a grant
 * is `unverified`, and so is every installation that a revocation names.
 */

import type { Crypto } from '../../crypto/crypto.ts'
import { countsAsContract } from '../../protocol/account-rules.ts'
import {
  type ContactBundle,
  parseContactBundle,
  sealingKeySignature,
  verifyGrant,
} from '../../protocol/contact.ts'
import type { Address, IdentityKeys, InstallationId } from '../../protocol/ids.ts'
import { grantedInstallationsLimit } from '../../protocol/limits.ts'
import {
  type ParsedRevocation,
  parseRevocation,
  verifyRevocation,
} from '../../protocol/revocation.ts'
import { isVouch, parseVouch, vouchSignature } from '../../protocol/vouch.ts'
import { chainOf } from '../../protocol/wallet-association.ts'
import { type ContractStatement, isWorthVerifying, mayCount } from './contract-statements.ts'
import {
  type KnownAccount,
  type KnownInstallation,
  ownKey,
  signersOf,
} from './known-installations.ts'

/** What an envelope changes; `asks`: keep the envelope, as its chain must confirm it. */
export interface ReadEnvelope {
  readonly updates: readonly KnownInstallation[]
  readonly asks: boolean
}

/**
 * Installations that revocations alone may add to an account: whoever has its wallet can make them up,
 * and a node can make up unconfirmed ones. More than an account may ever grant (section 11), as a
 * revocation may be read before its grant.
 */
const maxRevokedUnknown = 1_500
const maxContested = 1_500
/** Grants that no chain confirmed yet; a node can make them up. */
const maxUnverified = grantedInstallationsLimit
const maxContestingChains = 16
/** A node keeps one for each installation; another node may have another. */
const maxVouches = 8

const nothing: ReadEnvelope = { updates: [], asks: false }

/** Reads a contact bundle. A sealing key is only ever replaced by a newer one (section 9). */
export const readBundle = (
  crypto: Crypto,
  address: Address,
  message: Uint8Array,
  nodeNs: bigint,
  account: KnownAccount,
): ReadEnvelope => {
  const parsed = parseContactBundle(message)
  if (!parsed.ok || parsed.value.address !== address) return nothing
  const bundle = parsed.value
  const isByKey = bundle.signature.kind === 'eip191'
  const chainId = chainOf(bundle.signature) ?? ownKey
  if (!isByKey && !mayCount(account, chainId)) return nothing
  const known = account.get(bundle.installationId)
  // It may be one of those whose revocation found no room.
  if (!known && isFullOfRevoked(account)) return nothing
  const isNewer = hasNewerKey(bundle, known)
  // For a valid grant only a newer sealing key is news; but the wallet's key overrides a chain.
  const isGranted = known?.grant === 'valid' && (!isByKey || known.chainId === ownKey)
  if (isGranted && !isNewer) return nothing
  const [sealed] = crypto.verify([sealingKeySignature(bundle)])
  if (!sealed) return nothing
  if (isByKey) {
    if (!verifyGrant(bundle).ok) return nothing
    return { updates: [granted(bundle, { grant: 'valid', chainId }, nodeNs, known)], asks: false }
  }
  // The grant stays valid, whoever signed it: the installation itself signed the newer key.
  if (isGranted && known) {
    const { grant, isDelegated } = known
    const update = { grant, chainId: known.chainId, isDelegated }
    return { updates: [granted(bundle, update, nodeNs, known)], asks: false }
  }
  if (!known && countOf(account, isUnverified) >= maxUnverified) return nothing
  const update = { grant: 'unverified', chainId } as const
  return { updates: isNewer ? [granted(bundle, update, nodeNs, known)] : [], asks: true }
}

/** Reads a vouch. It counts only under the key of an installation that the account has. */
const readVouch = (
  crypto: Crypto,
  address: Address,
  message: Uint8Array,
  nodeNs: bigint,
  account: KnownAccount,
): ReadEnvelope => {
  const parsed = parseVouch(message)
  if (!parsed.ok) return nothing
  const { installationId, voucherId } = parsed.value
  const [vouched, voucher] = [account.get(installationId), account.get(voucherId)]
  if (!vouched || !voucher || vouched.vouches.length >= maxVouches) return nothing
  if (vouched.vouches.some(({ by }) => by === voucherId)) return nothing
  const [isSigned] = crypto.verify([vouchSignature(parsed.value, address, voucher.keys.ed25519)])
  if (!isSigned) return nothing
  const vouches = [...vouched.vouches, { by: voucherId, nodeNs }]
  return { updates: [{ ...vouched, vouches }], asks: false }
}

/** Reads what lies on a contact topic: a bundle, or a vouch. */
export const readContact = (
  ...given: Parameters<typeof readBundle>
): ReturnType<typeof readBundle> => (isVouch(given[2]) ? readVouch(...given) : readBundle(...given))

const granted = (
  { address, installationId, keys, sealingKey }: ContactBundle,
  update: Pick<KnownInstallation, 'grant' | 'chainId'> & { readonly isDelegated?: boolean },
  nodeNs: bigint,
  known: KnownInstallation | undefined,
): KnownInstallation => {
  const isNewer = hasNewerKey({ sealingKey }, known)
  return {
    ...(known ?? unknownInstallation(address, installationId, keys)),
    keys,
    ...(isNewer && { sealingKey: sealingKey.key, sealingCreatedNs: sealingKey.createdNs }),
    firstSeenNs: known && known.firstSeenNs > 0n ? known.firstSeenNs : nodeNs,
    grant: update.grant,
    chainId: update.chainId,
    isDelegated: update.isDelegated ?? false,
  }
}

const hasNewerKey = (
  { sealingKey }: Pick<ContactBundle, 'sealingKey'>,
  known: KnownInstallation | undefined,
): boolean => !known || known.grant === 'unknown' || sealingKey.createdNs > known.sealingCreatedNs

/** Reads a revocation. It also holds for installations that were never granted (section 3). */
export const readRevocation = (
  address: Address,
  message: Uint8Array,
  nodeNs: bigint,
  account: KnownAccount,
): ReadEnvelope => {
  const parsed = parseRevocation(message)
  if (!parsed.ok || parsed.value.address !== address) return nothing
  const revocation = parsed.value
  if (revocation.signature.kind === 'eip191') {
    const updates = revoked(revocation, ownKey, nodeNs, account)
    return updates.length > 0 && verifyRevocation(revocation).ok
      ? { updates, asks: false }
      : nothing
  }
  const { chainId } = revocation.signature
  if (!mayCount(account, chainId)) return nothing
  const named = namedBy(revocation, account).filter(({ revokedNs }) => revokedNs === 0n)
  let room = maxContested - account.size
  const updates = named.flatMap((installation) => {
    const { id, contestedBy } = installation
    if (contestedBy.includes(chainId) || contestedBy.length >= maxContestingChains) return []
    if (!account.has(id) && room-- <= 0) return []
    return [{ ...installation, contestedBy: [...contestedBy, chainId] }]
  })
  return { updates, asks: named.length > 0 }
}

const revoked = (
  revocation: ParsedRevocation,
  chainId: bigint,
  nodeNs: bigint,
  account: KnownAccount,
): readonly KnownInstallation[] => {
  let room = maxRevokedUnknown - countOf(account, isRevokedUnknown)
  return namedBy(revocation, account).flatMap((installation) => {
    const { id, revokedNs, revokedChainId } = installation
    if (!account.has(id) && room-- <= 0) return []
    if (revokedNs === 0n) {
      // 0 means not revoked, and the node gives the time.
      const since = nodeNs > 0n ? nodeNs : 1n
      return [{ ...installation, revokedNs: since, revokedChainId: chainId, isPast: false }]
    }
    // Already final; but a signature by the wallet's key is stronger than a chain's.
    const isStronger = chainId === ownKey && revokedChainId !== ownKey
    return isStronger ? [{ ...installation, revokedChainId: ownKey }] : []
  })
}

const isRevokedUnknown = ({ grant, revokedNs }: KnownInstallation): boolean =>
  grant === 'unknown' && revokedNs > 0n

const isUnverified = ({ grant }: KnownInstallation): boolean => grant === 'unverified'

const countOf = (
  account: KnownAccount,
  is: (installation: KnownInstallation) => boolean,
): number => {
  let count = 0
  for (const installation of account.values()) if (is(installation)) count += 1
  return count
}

/** Whether revocations found no room: a new installation may be revoked then, and counts for nothing. */
const isFullOfRevoked = (account: KnownAccount): boolean =>
  account.size >= maxRevokedUnknown && countOf(account, isRevokedUnknown) >= maxRevokedUnknown

const namedBy = (
  { address, installationIds, installations }: ParsedRevocation,
  account: KnownAccount,
): readonly KnownInstallation[] =>
  installationIds.flatMap((id, at) => {
    const keys = installations[at]
    return keys ? [account.get(id) ?? unknownInstallation(address, id, keys)] : []
  })

const unknownInstallation = (
  address: Address,
  id: InstallationId,
  keys: IdentityKeys,
): KnownInstallation => ({
  address,
  id,
  keys,
  sealingKey: new Uint8Array(),
  sealingCreatedNs: 0n,
  firstSeenNs: 0n,
  revokedNs: 0n,
  isPast: false,
  grant: 'unknown',
  isDelegated: false,
  vouches: [],
  chainId: ownKey,
  revokedChainId: ownKey,
  contestedBy: [],
  state: 'unknown',
})

/**
 * What the chain's confirmation changes; undefined if it does not count.
 *
 * @param isDelegated whether the address has an EIP-7702 designator there
 */
export const confirm = (
  statement: ContractStatement,
  isDelegated: boolean,
  nodeNs: bigint,
  account: KnownAccount,
): readonly KnownInstallation[] | undefined => {
  if (!isWorthVerifying(account, statement)) return undefined
  if (!countsAsContract(signersOf(account), isDelegated)) return undefined
  if (statement.kind === 'revocation') {
    return revoked(statement.revocation, statement.chainId, nodeNs, account)
  }
  const { bundle, chainId } = statement
  const update = { grant: 'valid', chainId, isDelegated } as const
  return [granted(bundle, update, nodeNs, account.get(bundle.installationId))]
}
