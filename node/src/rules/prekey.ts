/** What a `prekey-` topic accepts (docs/protocol.md sections 5 and 13). */
import type { InstallationId } from '../../../src/protocol/ids.ts'
import { createdAheadLimitNs, stockLimit } from '../../../src/protocol/limits.ts'
import { parsePrekeyUpload, prekeySignatures } from '../../../src/protocol/prekey.ts'
import { verifyStrict } from './ed25519.ts'
import type { RuleContext, RuleState } from './state.ts'
import { accepted, passOn, refused, type Verdict } from './verdict.ts'

export function acceptPrekeys(
  installationId: InstallationId,
  message: Uint8Array,
  state: RuleState,
  context: RuleContext,
): Verdict {
  const parsed = parsePrekeyUpload(message)
  if (!parsed.ok) return passOn(parsed)
  const upload = parsed.value
  if (upload.installationId !== installationId) return refused('malformed')

  const installation = state.installation(installationId)
  if (installation === undefined) return refused('unknown_installation')
  if (installation.revoked) return refused('revoked')
  if (!prekeySignatures(upload, installation.ed25519).every(verifyStrict)) {
    return refused('bad_signature')
  }
  if (upload.createdNs > context.nowNs + createdAheadLimitNs) return refused('clock_ahead')
  const { newestUploadNs } = installation
  if (newestUploadNs !== undefined && upload.createdNs <= newestUploadNs) {
    return refused('stale_upload')
  }
  const inStock = upload.replace ? 0 : state.countOneTime(installationId, context.nowNs)
  if (inStock + upload.oneTime.length > stockLimit) return refused('stock_full')
  return accepted({
    kind: 'upload',
    installationId,
    createdNs: upload.createdNs,
    oneTime: upload.oneTime,
    fallback: upload.fallback,
    replace: upload.replace,
  })
}
