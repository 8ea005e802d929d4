/** What to ask a chain about a contract account's grant or revocation. */

import type { ContractQuestion } from '../../chains/chains.ts'
import { grantText } from '../../protocol/contact.ts'
import type { Address } from '../../protocol/ids.ts'
import { revocationText } from '../../protocol/revocation.ts'
import { hashPersonalMessage } from '../../protocol/wallet-signature.ts'
import type { ContractStatement } from './known-installations.ts'

/** Undefined if the statement has no text. */
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
