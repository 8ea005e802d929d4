/**
 * The known installations of an account, and which of them count: rules without I/O (docs/protocol.md
 * section 3). `statements.ts` reads the grants, vouches and revocations that change them.
 */

import {
  type AccountSigners,
  type GrantState,
  judgeGrants,
  type VerifiedGrant,
} from '../../protocol/account-rules.ts'
import type { Address, IdentityKeys, InstallationId } from '../../protocol/ids.ts'

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

/** Stands for the wallet's own key among chain ids: those on the wire begin at 1. */
export const ownKey = 0n

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
