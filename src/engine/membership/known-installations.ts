/**
 * What is known of an account's installations, and what grants and revocations change in it: rules
 * without I/O (docs/protocol.md section 3). A contract account's signature waits for its chain; until
 * the chain confirms it, its grant is `unverified`, and so is whatever its revocation names.
 */

import type { Crypto } from '../../crypto/crypto.ts'
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
import { chainOf } from '../../protocol/wallet-association.ts'

export type InstallationState = 'valid' | 'unverified' | 'unknown'

export interface KnownInstallation {
  readonly address: Address
  readonly id: InstallationId
  readonly keys: IdentityKeys
  /** Empty until a bundle was seen: a revocation may come first. */
  readonly sealingKey: Uint8Array
  readonly sealingCreatedNs: bigint
  readonly firstSeenNs: bigint
  /** 0 while not revoked. */
  readonly revokedNs: bigint
  /** This client was live past its revocation. */
  readonly isPast: boolean
  /** What its grant is worth by itself. */
  readonly grant: InstallationState
  /** The chain that its grant needs; 0: the wallet's key signed. */
  readonly chainId: bigint
  /** The chain that confirmed its revocation; 0: the wallet's key signed, or it is not revoked. */
  readonly revokedChainId: bigint
  /** Chains of revocations that name it and are not confirmed. */
  readonly contestedBy: readonly bigint[]
  /** What it may be used for, in view of all that is known of the account: see `changedStates`. */
  readonly state: InstallationState
}

export type KnownAccount = ReadonlyMap<InstallationId, KnownInstallation>

/** What an envelope changes; `asks`: its chain must confirm it, so it has to be kept. */
export interface ReadEnvelope {
  readonly updates: readonly KnownInstallation[]
  readonly asks: boolean
}

/** A contract's grant or revocation that was kept for its chain. */
export type ContractStatement =
  | { readonly kind: 'grant'; readonly chainId: bigint; readonly bundle: ContactBundle }
  | { readonly kind: 'revocation'; readonly chainId: bigint; readonly revocation: ParsedRevocation }

/** Stands for the wallet's own key where chains are named: the wire's chain ids begin at 1 here. */
const ownKey = 0n

/** Installations of an account that an unconfirmed revocation may add; a cheating node makes them up. */
const maxContested = 1_500
const maxContestingChains = 16

const nothing: ReadEnvelope = { updates: [], asks: false }

export const isUsable = ({ state, revokedNs }: KnownInstallation): boolean =>
  state === 'valid' && revokedNs === 0n

/**
 * Whether it counts as one of its account's: a revocation that nobody confirmed keeps it from use, and is
 * not told as a loss, as anyone's node can make one up.
 */
export const isMember = ({ grant, chainId, state, contestedBy, revokedNs }: KnownInstallation) =>
  revokedNs === 0n && grant === 'valid' && (state === 'valid' || contestedBy.includes(chainId))

/**
 * The one kind of an account's signatures: the chain of the first bundle that could be verified, or 0 for
 * the wallet's own key, which goes before any chain: who has the key is no contract.
 */
export const kindOf = (account: KnownAccount): bigint | undefined => {
  let kind: bigint | undefined
  for (const { grant, chainId, revokedNs, revokedChainId } of account.values()) {
    if (revokedNs > 0n && revokedChainId === ownKey) return ownKey
    if (grant === 'valid' && chainId === ownKey) return ownKey
    if (grant === 'valid') kind ??= chainId
  }
  return kind
}

/** Whether a signature of this chain may still count in the account. */
const mayCount = (account: KnownAccount, chainId: bigint): boolean => {
  const kind = kindOf(account)
  return chainId !== ownKey && (kind === undefined || kind === chainId)
}

/** Those whose state is another one in view of the whole account, as they are to be. */
export const changedStates = (account: KnownAccount): readonly KnownInstallation[] => {
  const kind = kindOf(account)
  return [...account.values()].flatMap((installation) => {
    const state = stateOf(installation, kind)
    return state === installation.state ? [] : [{ ...installation, state }]
  })
}

const stateOf = (
  { grant, chainId, contestedBy }: KnownInstallation,
  kind: bigint | undefined,
): InstallationState => {
  if (grant !== 'valid') return grant
  // A revocation that cannot be checked may be true: never valid until it was.
  if (chainId !== kind || contestedBy.includes(chainId)) return 'unverified'
  return 'valid'
}

/** Reads a contact bundle. Sealing keys only ever go forward (section 9). */
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
  // Of a grant that counts already only a newer sealing key is news; the wallet's key beats a chain.
  const isGranted = known?.grant === 'valid' && (!isByKey || known.chainId === ownKey)
  if (isGranted && !isNewer) return nothing
  const [sealed] = crypto.verify([sealingKeySignature(bundle)])
  if (!sealed) return nothing
  if (isByKey) {
    if (!verifyGrant(bundle).ok) return nothing
    return { updates: [granted(bundle, 'valid', ownKey, nodeNs, known)], asks: false }
  }
  // A positive result is kept: the installation itself signed the newer key.
  if (isGranted) {
    return { updates: [granted(bundle, 'valid', chainId, nodeNs, known)], asks: false }
  }
  return {
    updates: isNewer ? [granted(bundle, 'unverified', chainId, nodeNs, known)] : [],
    asks: true,
  }
}

const granted = (
  { address, installationId, keys, sealingKey }: ContactBundle,
  grant: InstallationState,
  chainId: bigint,
  nodeNs: bigint,
  known: KnownInstallation | undefined,
): KnownInstallation => {
  const isNewer = hasNewerKey({ sealingKey }, known)
  return {
    ...(known ?? unknownInstallation(address, installationId, keys)),
    keys,
    ...(isNewer && { sealingKey: sealingKey.key, sealingCreatedNs: sealingKey.createdNs }),
    firstSeenNs: known && known.firstSeenNs > 0n ? known.firstSeenNs : nodeNs,
    grant,
    chainId,
  }
}

const hasNewerKey = (
  { sealingKey }: Pick<ContactBundle, 'sealingKey'>,
  known: KnownInstallation | undefined,
): boolean => !known || known.grant === 'unknown' || sealingKey.createdNs > known.sealingCreatedNs

/** Reads a revocation. It holds for installations that were never granted too (section 3). */
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
    // Final already; but the wallet's key says more about the account than a chain did.
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
  chainId: ownKey,
  revokedChainId: ownKey,
  contestedBy: [],
  state: 'unknown',
})

/** A contract's grant or revocation out of the bytes that were published; undefined if it is none. */
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
 * Whether a chain's word about this would change anything. A revocation is asked about once the account is
 * known to be one of that chain: another chain's contract has no say in it.
 */
export const isWorthVerifying = (
  account: KnownAccount,
  { chainId, kind }: ContractStatementKind,
): boolean => (kind === 'grant' ? mayCount(account, chainId) : kindOf(account) === chainId)

export type ContractStatementKind = Pick<ContractStatement, 'kind' | 'chainId'>

/** Whether no word of its chain can count any more. */
export const isMoot = (account: KnownAccount, { chainId }: ContractStatementKind): boolean =>
  !mayCount(account, chainId)

/** What a chain's yes changes. */
export const confirm = (
  statement: ContractStatement,
  nodeNs: bigint,
  account: KnownAccount,
): readonly KnownInstallation[] => {
  if (!isWorthVerifying(account, statement)) return []
  if (statement.kind === 'revocation') {
    return revoked(statement.revocation, statement.chainId, nodeNs, account)
  }
  const { bundle, chainId } = statement
  return [granted(bundle, 'valid', chainId, nodeNs, account.get(bundle.installationId))]
}

/** The account with these changes, and all that changes in it with them. */
export const change = (
  account: KnownAccount,
  updates: readonly KnownInstallation[],
): readonly KnownInstallation[] => {
  const next = new Map(account)
  for (const installation of updates) next.set(installation.id, installation)
  const changed = changedStates(next)
  const ids = new Set(changed.map(({ id }) => id))
  return [...updates.filter(({ id }) => !ids.has(id)), ...changed]
}
