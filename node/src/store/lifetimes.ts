/** How long a store keeps what it does not keep for ever (docs/protocol.md section 5). */
import { dayNs } from '../clock.ts'

/** A one-time key that lay here so long is not given out any more. */
export const oneTimeLifetimeNs = 30n * dayNs

/** How long the digest of a prekey upload is known. */
export const uploadMemoryNs = 90n * dayNs

/** How long inboxes keep their envelopes unless the operator says otherwise (section 11). */
export const defaultRetentionNs = 60n * dayNs
