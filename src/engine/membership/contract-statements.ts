/**
 * A contract account's grants and revocations, which only a chain can verify: whether one can still
 * count, and what to ask the chain (docs/protocol.md section 3).
 */

import type { ContractQuestion } from '../../chains/chains.ts'
import { maySign } from '../../protocol/account-rules.ts'
import { type ContactBundle, grantText, parseContactBundle } from '../../protocol/contact.ts'
import type { Address } from '../../protocol/ids.ts'
import {
  type ParsedRevocation,
  parseRevocation,
  revocationText,
} from '../../protocol/revocation.ts'
import { chainOf } from '../../protocol/wallet-association.ts'
import { hashPersonalMessage } from '../../protocol/wallet-signature.ts'
import { type KnownAccount, ownKey, signersOf } from './known-installations.ts'

/** A contract's grant or revocation that waits for its chain. */
export type ContractStatement =
  | { readonly kind: 'grant'; readonly chainId: bigint; readonly bundle: ContactBundle }
  | { readonly kind: 'revocation'; readonly chainId: bigint; readonly revocation: ParsedRevocation }

export type ContractStatementKind = Pick<ContractStatement, 'kind' | 'chainId'>

/** Whether a contract's signature of this chain may still count for the account. */
export const mayCount = (account: KnownAccount, chainId: bigint): boolean =>
  chainId !== ownKey && maySign(signersOf(account), { kind: 'erc1271', chainId })

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

/** Whether its chain's answer can no longer count. */
export const isMoot = (account: KnownAccount, { chainId }: ContractStatementKind): boolean =>
  !mayCount(account, chainId)

/** What to ask the chain about a statement; undefined if the statement has no text. */
export const questionOf = (
  address: Address,
  statement: ContractStatement,
): ContractQuestion | undefined => {
  const signed = signedOf(statement)
  return (
    signed && {
      chainId: statement.chainId,
      address,
      hash: hashPersonalMessage(signed.text),
      signature: signed.signature,
    }
  )
}

/** The text and the contract's signature over it. */
const signedOf = (statement: ContractStatement) => {
  if (statement.kind === 'grant') {
    const { bundle } = statement
    return { text: grantText(bundle), signature: bundle.signature.signature }
  }
  const text = revocationText(statement.revocation)
  return text.ok
    ? { text: text.value, signature: statement.revocation.signature.signature }
    : undefined
}
