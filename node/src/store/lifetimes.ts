/** How long a store keeps what it drops at some time (docs/protocol.md section 5). */
import { dayNs } from '../clock.ts'

/** A store does not give out an older one-time key. */
export const oneTimeLifetimeNs = 30n * dayNs

/** How long a store knows the digest of a prekey upload. */
export const uploadMemoryNs = 90n * dayNs

/** How long inboxes keep their envelopes unless the operator says otherwise (section 11). */
export const defaultRetentionNs = 60n * dayNs
