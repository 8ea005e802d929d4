/** The rules about wallet signatures that bundles and revocations share. */
import {
  chainOf,
  isSameSignatureKind,
  type WalletAssociation,
} from '../../../src/protocol/wallet-association.ts'
import type { RuleContext, RuleState } from './state.ts'
import { type Refused, refused, type WalletKind } from './verdict.ts'

/** The kind of an association's signature. */
export const kindOf = ({ signature }: WalletAssociation): WalletKind =>
  signature.kind === 'eip191' ? { kind: 'eip191' } : { kind: 'erc1271', chainId: signature.chainId }

/**
 * Refuses a chain that this node cannot ask (`chain_unknown`), and another kind of signature than the
 * account's first (`wrong_signature_kind`). Absent if neither applies.
 */
export function checkWalletKind(
  association: WalletAssociation,
  state: RuleState,
  context: RuleContext,
): Refused | undefined {
  const chain = chainOf(association.signature)
  if (chain !== undefined && !context.chainIds.includes(chain)) return refused('chain_unknown')
  const first = state.walletKind(association.address)
  if (first === undefined) return undefined
  const same = isSameSignatureKind({ ...first, signature: noBytes }, association.signature)
  return same ? undefined : refused('wrong_signature_kind')
}

const noBytes = new Uint8Array()
