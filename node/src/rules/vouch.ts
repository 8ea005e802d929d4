/** When a contact topic accepts a vouch (docs/protocol.md sections 3, 5 and 13). */
import type { Address, InstallationId } from '../../../src/protocol/ids.ts'
import { parseVouch, vouchSignature } from '../../../src/protocol/vouch.ts'
import { verifyStrict } from './ed25519.ts'
import type { RuleState } from './state.ts'
import { accepted, passOn, refused, type Verdict } from './verdict.ts'

export function acceptVouch(address: Address, message: Uint8Array, state: RuleState): Verdict {
  const parsed = parseVouch(message)
  if (!parsed.ok) return passOn(parsed)
  const { installationId, voucherId } = parsed.value
  const ofAccount = (id: InstallationId) => {
    const one = state.installation(id)
    return one?.address === address ? one : undefined
  }
  const vouched = ofAccount(installationId)
  const voucher = ofAccount(voucherId)
  if (!vouched || !voucher) return refused('unknown_installation')
  if (vouched.revoked || voucher.revoked) return refused('revoked')
  if (!verifyStrict(vouchSignature(parsed.value, address, voucher.ed25519))) {
    return refused('bad_signature')
  }
  // One is enough, and bounds what an account can store.
  if (vouched.vouched) return refused('already_vouched')
  return accepted({ kind: 'vouch', installationId })
}
