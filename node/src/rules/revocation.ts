/** What a `revoked-` topic accepts (docs/protocol.md sections 3, 5 and 13). */
import type { Address } from '../../../src/protocol/ids.ts'
import { revocationText } from '../../../src/protocol/revocation.ts'
import { revocationIn } from './signed.ts'
import type { RuleContext, RuleState } from './state.ts'
import { accepted, passOn, refused, type Verdict } from './verdict.ts'
import { checkWalletKind, kindOf } from './wallet-kind.ts'
import { checkWalletSignature } from './wallet-signature.ts'

export function acceptRevocation(
  address: Address,
  message: Uint8Array,
  state: RuleState,
  context: RuleContext,
): Verdict {
  const parsed = revocationIn(message)
  if (!parsed.ok) return passOn(parsed)
  const revocation = parsed.value
  if (revocation.address !== address) return refused('wrong_address')
  const wrongKind = checkWalletKind(revocation, state, context)
  if (wrongKind !== undefined) return wrongKind
  const text = revocationText(revocation)
  if (!text.ok) return passOn(text)
  const notSigned = checkWalletSignature(revocation, text.value, context)
  if (notSigned !== undefined) return notSigned
  // An installation may be revoked before it was granted, so only earlier revocations count.
  if (revocation.installationIds.every((id) => state.isRevoked(address, id))) {
    return refused('already_revoked')
  }
  return accepted({
    kind: 'revoke',
    address,
    installationIds: revocation.installationIds,
    wallet: kindOf(revocation),
  })
}
