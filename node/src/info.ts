/** The limits that GetInfo reports: names of docs/protocol.md section 11, in bytes or counts. */
import {
  claimLimitInstallations,
  contactLimitBytes,
  envelopeLimitBytes,
  grantedInstallationsLimit,
  installationsLimit,
  pageLimitBytes,
  pageLimitEnvelopes,
  prekeyUploadLimitBytes,
  requestLimitBytes,
  requestLimitEnvelopes,
  revocationLimitBytes,
  stockLimit,
  topicsLimit,
} from '../../src/protocol/limits.ts'

/** By name; clients work without them. */
export const limitsOfInfo: Record<string, bigint> = {
  envelope_bytes: BigInt(envelopeLimitBytes),
  contact_bytes: BigInt(contactLimitBytes),
  revoked_bytes: BigInt(revocationLimitBytes),
  prekey_bytes: BigInt(prekeyUploadLimitBytes),
  request_bytes: BigInt(requestLimitBytes),
  request_envelopes: BigInt(requestLimitEnvelopes),
  topics: BigInt(topicsLimit),
  page_envelopes: BigInt(pageLimitEnvelopes),
  page_bytes: BigInt(pageLimitBytes),
  installations: BigInt(installationsLimit),
  installations_ever: BigInt(grantedInstallationsLimit),
  claim_installations: BigInt(claimLimitInstallations),
  one_time_prekeys: BigInt(stockLimit),
}
