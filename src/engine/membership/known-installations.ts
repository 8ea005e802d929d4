/**
 * The known installations of an account, and how grants and revocations change them: rules without
 * I/O (docs/protocol.md section 3). A contract account's signature waits for its chain; until the
 * chain confirms it, a grant is `unverified`, and so is every installation that a revocation names.
 */

import type { Crypto } from '../../crypto/crypto.ts'
import {
  type AccountSigners,
  countsAsContract,
  type GrantState,
  judgeGrants,
  maySign,
  type VerifiedGrant,
} from '../../protocol/account-rules.ts'
import {
  type ContactBundle,
  parseContactBundle,
  sealingKeySignature,
  verifyGrant,
} from '../../protocol/contact.ts'
import type { Address, IdentityKeys, InstallationId } from '../../protocol/ids.ts'
import {
  type ParsedRevocation,
  parseRevocation,
  verifyRevocation,
} from '../../protocol/revocation.ts'
import { isVouch, parseVouch, vouchSignature } from '../../protocol/vouch.ts'
import { chainOf } from '../../protocol/wallet-association.ts'

export type InstallationState = 'valid' | 'pending' | 'unverified' | 'unknown'

export interface KnownInstallation {
  readonly address: Address
  readonly id: InstallationId
  readonly keys: IdentityKeys
  /** Empty until a bundle is seen: a revocation may come first. */
  readonly sealingKey: Uint8Array
  readonly sealingCreatedNs: bigint
  readonly firstSeenNs: bigint
  /** 0 while not revoked. */
  readonly revokedNs: bigint
  /** Whether this client was live after the revocation. */
  readonly isPast: boolean
  /** The state of its grant's signature alone; never `pending`. */
  readonly grant: InstallationState
  /** Whether its chain confirmed its grant at an address with an EIP-7702 designator. */
  readonly isDelegated: boolean
  /** Words of other installations that it is genuine. */
  readonly vouches: readonly KnownVouch[]
  /** The chain that must confirm its grant; 0 if the wallet's key signed. */
  readonly chainId: bigint
  /** The chain that confirmed its revocation; 0 if not revoked, or by the wallet's key. */
  readonly revokedChainId: bigint
  /** Chains of the unconfirmed revocations that name it. */
  readonly contestedBy: readonly bigint[]
  /** Its effective state, in view of the whole account: see `changedStates`. */
  readonly state: InstallationState
}

export interface KnownVouch {
  readonly by: InstallationId
  readonly nodeNs: bigint
}

export type KnownAccount = ReadonlyMap<InstallationId, KnownInstallation>

/** What an envelope changes; `asks`: keep the envelope, as its chain must confirm it. */
export interface ReadEnvelope {
  readonly updates: readonly KnownInstallation[]
  readonly asks: boolean
}

/** A contract's grant or revocation that waits for its chain. */
export type ContractStatement =
  | { readonly kind: 'grant'; readonly chainId: bigint; readonly bundle: ContactBundle }
  | { readonly kind: 'revocation'; readonly chainId: bigint; readonly revocation: ParsedRevocation }

/** Stands for the wallet's own key among chain ids: those on the wire begin at 1. */
const ownKey = 0n

/** Installations that unconfirmed revocations may add to an account; a node can make them up. */
const maxContested = 1_500
const maxContestingChains = 16
/** A node keeps one for each installation; another node may have another. */
const maxVouches = 8

const nothing: ReadEnvelope = { updates: [], asks: false }

export const isUsable = ({ state, revokedNs }: KnownInstallation): boolean =>
  state === 'valid' && revokedNs === 0n

/**
 * Whether an installation counts as a member of its account. An unconfirmed revocation keeps it
 * from being used, but is not reported as a loss, as any node can make one up.
 */
export const isMember = ({ grant, chainId, state, contestedBy, revokedNs }: KnownInstallation) =>
  revokedNs === 0n &&
  grant === 'valid' &&
  (state === 'valid' || state === 'pending' || contestedBy.includes(chainId))

/** Who signs for the account, as far as its verified grants and revocations show. */
export const signersOf = (account: KnownAccount): AccountSigners => {
  let isKeyed = false
  let chainId: bigint | undefined
  let firstNs: bigint | undefined
  for (const one of account.values()) {
    if (one.revokedNs > 0n && one.revokedChainId === ownKey) isKeyed = true
    if (one.grant !== 'valid') continue
    if (one.chainId === ownKey) isKeyed = true
    else if (firstNs === undefined || one.firstSeenNs < firstNs) {
      chainId = one.chainId
      firstNs = one.firstSeenNs
    }
  }
  // A wallet may revoke through its contract without ever having granted through it.
  if (chainId === undefined) {
    for (const { revokedNs, revokedChainId } of account.values()) {
      if (revokedNs > 0n && revokedChainId !== ownKey) chainId ??= revokedChainId
    }
  }
  return { isKeyed, chainId }
}

/** The chain whose contract signs for an account that no key signed for. */
export const contractChainOf = (account: KnownAccount): bigint | undefined => {
  const { isKeyed, chainId } = signersOf(account)
  return isKeyed ? undefined : chainId
}

/** Whether a contract's signature of this chain may still count for the account. */
const mayCount = (account: KnownAccount, chainId: bigint): boolean =>
  chainId !== ownKey && maySign(signersOf(account), { kind: 'erc1271', chainId })

/** The installations whose state must change in view of the whole account, already updated. */
export const changedStates = (
  account: KnownAccount,
  passedNs: bigint,
): readonly KnownInstallation[] => {
  const verified = [...account.values()].filter(({ grant }) => grant === 'valid')
  const judged = judgeGrants(verified.map(asVerified), signersOf(account), passedNs)
  return [...account.values()].flatMap((installation) => {
    const state = stateOf(installation, judged.get(installation.id))
    return state === installation.state ? [] : [{ ...installation, state }]
  })
}

const asVerified = (installation: KnownInstallation): VerifiedGrant => ({
  id: installation.id,
  chainId: installation.chainId === ownKey ? undefined : installation.chainId,
  isDelegated: installation.isDelegated,
  nodeNs: installation.firstSeenNs,
  sealingCreatedNs: installation.sealingCreatedNs,
  revokedNs: installation.revokedNs,
  vouches: installation.vouches,
})

const stateOf = (
  { grant, chainId, contestedBy }: KnownInstallation,
  judged: GrantState | undefined,
): InstallationState => {
  if (grant !== 'valid') return grant
  // A revocation that was not checked yet may be genuine: not valid until it is.
  if (judged === undefined || judged === 'void' || contestedBy.includes(chainId))
    return 'unverified'
  return judged
}

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
    if (!verifyRevocation(revocation).ok) return nothing
    return { updates: revoked(revocation, ownKey, nodeNs, account), asks: false }
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
): readonly KnownInstallation[] =>
  namedBy(revocation, account).flatMap((installation) => {
    const { revokedNs, revokedChainId } = installation
    if (revokedNs === 0n) {
      // 0 means not revoked, and the node gives the time.
      const since = nodeNs > 0n ? nodeNs : 1n
      return [{ ...installation, revokedNs: since, revokedChainId: chainId, isPast: false }]
    }
    // Already final; but a signature by the wallet's key is stronger than a chain's.
    const isStronger = chainId === ownKey && revokedChainId !== ownKey
    return isStronger ? [{ ...installation, revokedChainId: ownKey }] : []
  })

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

/** Parses a contract's grant or revocation from the published bytes; undefined if it is neither. */
export const parseContractStatement = (
  message: Uint8Array,
  isGrant: boolean,
): ContractStatement | undefined => {
  if (isGrant) {
    const bundle = parseContactBundle(message)
    const chainId = bundle.ok ? chainOf(bundle.value.signature) : undefined
    return bundle.ok && chainId !== undefined
      ? { kind: 'grant', chainId, bundle: bundle.value }
      : undefined
  }
  const revocation = parseRevocation(message)
  const chainId = revocation.ok ? chainOf(revocation.value.signature) : undefined
  return revocation.ok && chainId !== undefined
    ? { kind: 'revocation', chainId, revocation: revocation.value }
    : undefined
}

/**
 * Whether the chain's answer would change anything. A revocation is verified only once the account
 * is known to belong to that chain, or to have a key, which alone delegates: a contract on another
 * chain has no say in it.
 */
export const isWorthVerifying = (
  account: KnownAccount,
  { chainId, kind }: ContractStatementKind,
): boolean => {
  if (kind === 'grant') return mayCount(account, chainId)
  const signers = signersOf(account)
  return signers.chainId === chainId || (signers.isKeyed && signers.chainId === undefined)
}

export type ContractStatementKind = Pick<ContractStatement, 'kind' | 'chainId'>

/** Whether its chain's answer can no longer count. */
export const isMoot = (account: KnownAccount, { chainId }: ContractStatementKind): boolean =>
  !mayCount(account, chainId)

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

/** Applies the updates to the account, with all changes of state that follow from them. */
export const change = (
  account: KnownAccount,
  updates: readonly KnownInstallation[],
  passedNs: bigint,
): readonly KnownInstallation[] => {
  const next = new Map(account)
  for (const installation of updates) next.set(installation.id, installation)
  const changed = changedStates(next, passedNs)
  const ids = new Set(changed.map(({ id }) => id))
  return [...updates.filter(({ id }) => !ids.has(id)), ...changed]
}
