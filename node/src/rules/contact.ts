/** What a `contact-` topic accepts (docs/protocol.md sections 3, 5 and 13). */
import { grantText } from '../../../src/protocol/contact.ts'
import type { Address } from '../../../src/protocol/ids.ts'
import {
  createdAheadLimitNs,
  grantedInstallationsLimit,
  installationsLimit,
  sealingKeysPerWindow,
  sealingKeyWindowNs,
} from '../../../src/protocol/limits.ts'
import { isVouch } from '../../../src/protocol/vouch.ts'
import { bundleIn, isSealingKeySigned } from './signed.ts'
import type { RuleContext, RuleState } from './state.ts'
import { accepted, passOn, refused, type Verdict } from './verdict.ts'
import { acceptVouch } from './vouch.ts'
import { checkWalletKind, kindOf } from './wallet-kind.ts'
import { checkWalletSignature } from './wallet-signature.ts'

export function acceptContact(
  address: Address,
  message: Uint8Array,
  state: RuleState,
  context: RuleContext,
): Verdict {
  if (isVouch(message)) return acceptVouch(address, message, state)
  const parsed = bundleIn(message)
  if (!parsed.ok) return passOn(parsed)
  const bundle = parsed.value
  const { installationId, sealingKey } = bundle

  const known = state.installation(installationId)
  // Section 1: an id belongs to the first address that it was accepted under.
  if (bundle.address !== address || (known !== undefined && known.address !== address)) {
    return refused('wrong_address')
  }
  const wrongKind = checkWalletKind(bundle, state, context)
  if (wrongKind !== undefined) return wrongKind
  const notGranted = checkWalletSignature(bundle, grantText(bundle), context)
  if (notGranted !== undefined) return notGranted
  // Section 3: the grant names the installation, and this signature the wallet; both are needed.
  if (!isSealingKeySigned(bundle)) return refused('bad_signature')

  if (state.isRevoked(address, installationId)) return refused('revoked')
  if (sealingKey.createdNs > context.nowNs + createdAheadLimitNs) return refused('clock_ahead')
  if (known === undefined) {
    const { granted, unrevoked } = state.countInstallations(address)
    if (unrevoked >= installationsLimit || granted >= grantedInstallationsLimit) {
      return refused('too_many_installations')
    }
  } else {
    if (sealingKey.createdNs <= known.sealingCreatedNs) return refused('sealing_key_not_newer')
    const windowStartNs = context.nowNs - sealingKeyWindowNs
    if (state.countBundlesAfter(installationId, windowStartNs) >= sealingKeysPerWindow) {
      return refused('sealing_key_too_soon')
    }
  }
  return accepted({
    kind: 'grant',
    installationId,
    address,
    keys: bundle.keys,
    wallet: kindOf(bundle),
    sealingCreatedNs: sealingKey.createdNs,
  })
}
