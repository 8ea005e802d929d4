/** When a contact topic accepts a vouch (docs/protocol.md sections 3, 5 and 13). */
import type { Address } from '../../../src/protocol/ids.ts'
import { parseVouch, vouchSignature } from '../../../src/protocol/vouch.ts'
import { verifyStrict } from './ed25519.ts'
import type { RuleState } from './state.ts'
import { accepted, passOn, refused, type Verdict } from './verdict.ts'

export function acceptVouch(address: Address, message: Uint8Array, state: RuleState): Verdict {
  const parsed = parseVouch(message)
  if (!parsed.ok) return passOn(parsed)
  const { installationId, voucherId } = parsed.value
  const vouched = state.installation(installationId)
  const voucher = state.installation(voucherId)
  for (const one of [vouched, voucher]) {
    if (one === undefined || one.address !== address) return refused('unknown_installation')
    if (one.revoked) return refused('revoked')
  }
  if (vouched === undefined || voucher === undefined) return refused('unknown_installation')
  if (!verifyStrict(vouchSignature(parsed.value, address, voucher.ed25519))) {
    return refused('bad_signature')
  }
  // One is enough, and bounds what an account can store.
  if (vouched.vouched) return refused('already_vouched')
  return accepted({ kind: 'vouch', installationId })
}
