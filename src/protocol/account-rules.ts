/**
 * Which grants of an account count, where a key and a contract may both sign for its address
 * (docs/protocol.md section 3): rules without I/O, for clients and nodes.
 */
import { keyOwnerSilenceNs, lateGrantNs } from './limits.ts'
import type { WalletSignature } from './wallet-association.ts'

/** Who signs for an account, as far as verified statements show. */
export interface AccountSigners {
  /** Whether the address has a key that signed once. */
  readonly isKeyed: boolean
  /** The chain whose contract signs: the first; undefined if none did. */
  readonly chainId: bigint | undefined
}

export const noSigners: AccountSigners = { isKeyed: false, chainId: undefined }

/**
 * Whether a signature of this kind may count: a key's always does, as who has the key is the owner;
 * of contracts only those of the first chain, as the same address on another one may have another
 * owner.
 */
export const maySign = ({ chainId }: AccountSigners, signature: SignatureKind): boolean =>
  signature.kind === 'eip191' || chainId === undefined || chainId === signature.chainId

type SignatureKind = Pick<WalletSignature, 'kind' | 'chainId'>

/**
 * Whether a contract's yes counts. An address that has a key is a contract only by delegation
 * (EIP-7702): any other code there is a lie of the chain's server.
 */
export const countsAsContract = ({ isKeyed }: AccountSigners, isDelegated: boolean): boolean =>
  isDelegated || !isKeyed

/** The account's signers after a verified statement. */
export const afterSigning = (
  signers: AccountSigners,
  { kind, chainId }: SignatureKind,
): AccountSigners =>
  kind === 'eip191'
    ? { ...signers, isKeyed: true }
    : { ...signers, chainId: signers.chainId ?? chainId }

/** A grant whose signature was verified. */
export interface VerifiedGrant {
  readonly id: string
  /** The contract's chain; undefined if the key signed. */
  readonly chainId: bigint | undefined
  /** Whether the contract accepted it at an address with an EIP-7702 designator. */
  readonly isDelegated: boolean
  /** When the node received it. */
  readonly nodeNs: bigint
  /** Of its newest sealing key. */
  readonly sealingCreatedNs: bigint
  /** 0 while not revoked. */
  readonly revokedNs: bigint
  readonly vouches: readonly VerifiedVouch[]
}

/** Another installation's word that this one is genuine; its signature was verified. */
export interface VerifiedVouch {
  readonly by: string
  readonly nodeNs: bigint
}

/**
 * `valid`: counts. `pending`: shown, but neither sent to nor believed yet. `void`: never counts, unless
 * the account changes.
 */
export type GrantState = 'valid' | 'pending' | 'void'

/**
 * The state of each grant, whether or not it is revoked. @param passedNs the time that has passed by
 * both clocks
 */
export const judgeGrants = (
  grants: readonly VerifiedGrant[],
  signers: AccountSigners,
  passedNs: bigint,
): ReadonlyMap<string, GrantState> => {
  const states = new Map<string, GrantState>()
  const isLate = hasLateGrantsAllowed(grants, passedNs)
  for (const grant of grants) {
    const { id, chainId, isDelegated } = grant
    if (chainId === undefined) states.set(id, 'valid')
    else if (chainId !== signers.chainId || !countsAsContract(signers, isDelegated)) {
      states.set(id, 'void')
    } else states.set(id, !signers.isKeyed || isLate(grant) ? 'valid' : 'pending')
  }
  vouchThrough(grants, states)
  return states
}

/**
 * Without a vouch a contract's grant counts 72 hours after both it and the first grant of the key,
 * if nobody used an installation of the key in the last 35 days: so an account in use is out of reach
 * of a lying chain server, and nobody is locked out.
 */
const hasLateGrantsAllowed = (
  grants: readonly VerifiedGrant[],
  passedNs: bigint,
): ((grant: VerifiedGrant) => boolean) => {
  const ofKey = grants.filter(({ chainId }) => chainId === undefined)
  const first = ofKey.reduce<bigint | undefined>(
    (least, { nodeNs }) => (least === undefined || nodeNs < least ? nodeNs : least),
    undefined,
  )
  const isInUse = ofKey.some(
    ({ revokedNs, sealingCreatedNs }) =>
      revokedNs === 0n && sealingCreatedNs > passedNs - keyOwnerSilenceNs,
  )
  return ({ nodeNs }) => {
    const sinceNs = first !== undefined && first > nodeNs ? first : nodeNs
    return !isInUse && sinceNs <= passedNs - lateGrantNs
  }
}

/** A vouch counts if the voucher counted, and was not revoked, when the node received it. */
const vouchThrough = (grants: readonly VerifiedGrant[], states: Map<string, GrantState>): void => {
  let pending = grants.filter(({ id }) => states.get(id) === 'pending')
  if (pending.length === 0) return
  const byId = new Map(grants.map((grant) => [grant.id, grant]))
  for (let isNews = true; isNews; ) {
    isNews = false
    const left: VerifiedGrant[] = []
    for (const grant of pending) {
      const isVouched = grant.vouches.some(({ by, nodeNs }) => {
        const voucher = byId.get(by)
        if (!voucher || by === grant.id || states.get(by) !== 'valid') return false
        return voucher.revokedNs === 0n || nodeNs < voucher.revokedNs
      })
      if (isVouched) {
        states.set(grant.id, 'valid')
        isNews = true
      } else left.push(grant)
    }
    pending = left
  }
}
