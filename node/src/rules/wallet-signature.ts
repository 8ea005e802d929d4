/** Checks whether the wallet signed a grant or a revocation, if need be by its chain's answer. */
import type { WalletAssociation } from '../../../src/protocol/wallet-association.ts'
import { verifyOnce } from './signed.ts'
import type { RuleContext } from './state.ts'
import { type Asks, passOn, type Refused, refused } from './verdict.ts'

/**
 * Absent if the wallet signed this text. A contract's signature needs its chain's answer: without one
 * this returns the question, and the caller tries again with the answer.
 */
export function checkWalletSignature(
  association: WalletAssociation,
  text: string,
  { signatureStatus }: RuleContext,
): Refused | Asks | undefined {
  const { address, signature } = association
  if (signature.kind === 'eip191') {
    const signed = verifyOnce(association, text)
    return signed.ok ? undefined : passOn(signed)
  }
  switch (signatureStatus) {
    case 'valid':
    case 'delegated':
      return undefined
    case 'invalid':
      return refused('bad_signature')
    case 'unavailable':
      return refused('chain_unavailable')
    case undefined:
      return {
        ok: false,
        question: { chainId: signature.chainId, address, text, signature: signature.signature },
      }
  }
}
