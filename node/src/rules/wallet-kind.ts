/** The rules about who may sign that bundles and revocations share. */
import { countsAsContract, maySign } from '../../../src/protocol/account-rules.ts'
import { chainOf, type WalletAssociation } from '../../../src/protocol/wallet-association.ts'
import type { RuleContext, RuleState } from './state.ts'
import { type Refused, refused, type WalletKind } from './verdict.ts'

/** Who signed an association. */
export const kindOf = ({ signature }: WalletAssociation): WalletKind =>
  signature.kind === 'eip191' ? { kind: 'eip191' } : { kind: 'erc1271', chainId: signature.chainId }

/**
 * Refuses a chain that this node cannot ask (`chain_unknown`), and a contract that has no say: of
 * another chain than the account's first, or, once the chain has answered, at an address that has a
 * key and does not delegate (`wrong_signature_kind`). Absent if none applies.
 */
export function checkWalletKind(
  association: WalletAssociation,
  state: RuleState,
  context: RuleContext,
): Refused | undefined {
  const chain = chainOf(association.signature)
  if (chain !== undefined && !context.chainIds.includes(chain)) return refused('chain_unknown')
  const signers = state.signers(association.address)
  if (!maySign(signers, association.signature)) return refused('wrong_signature_kind')
  const isContracts = chain !== undefined && context.signatureStatus === 'valid'
  return isContracts && !countsAsContract(signers, false)
    ? refused('wrong_signature_kind')
    : undefined
}
