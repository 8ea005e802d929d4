/**
 * The outcomes of received envelopes, and the steps of docs/protocol.md section 8 that need only
 * the bytes: 1 and 2 on the metadata, 5 on the payload. The engine does the others, which need
 * keys, sessions and a directory.
 */
import type { PadlockErrorCode } from '../errors.ts'
import { parseSealedMetadata, type SealedMetadata } from './envelope.ts'
import type { Address, InstallationId } from './ids.ts'
import { checkParticipants, type Payload, parsePayload } from './payload.ts'
import { bad, type Checked, good } from './result.ts'

/** The outcome of an envelope, with its code if the outcome can have several reasons. */
export type Outcome =
  | { readonly kind: 'kept' | 'duplicate' | 'parked' | 'unsupported_version' }
  | { readonly kind: 'rejected' | 'undecryptable'; readonly code: PadlockErrorCode }

// A failure of step 4: nothing was saved, and the sender can be asked to send again (section 10).
// `bad_mac` is not among them: it means a prekey message that was never genuine.
const undecryptableCodes: ReadonlySet<PadlockErrorCode> = new Set<PadlockErrorCode>([
  'session_unknown',
  'session_mismatch',
  'message_key_gone',
  'prekey_gone',
  'decryption_failed',
  'header_mismatch',
])

/** The outcome that a refusal's code leads to. */
export function outcomeOf(code: PadlockErrorCode): Outcome {
  if (code === 'unsupported_version') return { kind: 'unsupported_version' }
  return { kind: undecryptableCodes.has(code) ? 'undecryptable' : 'rejected', code }
}

/** This installation and its account. */
export interface Recipient {
  readonly address: Address
  readonly installationId: InstallationId
}

/**
 * Steps 1 and 2: the metadata is well formed, else `malformed`, and addressed to us, else
 * `not_for_us`.
 */
export function checkMetadata(bytes: Uint8Array, recipient: Recipient): Checked<SealedMetadata> {
  const metadata = parseSealedMetadata(bytes)
  if (!metadata.ok) return metadata
  const { recipientAddress, recipientInstallationId } = metadata.value
  const isForUs =
    recipientAddress === recipient.address && recipientInstallationId === recipient.installationId
  return isForUs ? good(metadata.value) : bad('not_for_us', 'addressed to another')
}

/**
 * Step 5: the payload is well formed and names sender and recipient; same codes as `parsePayload`.
 */
export function checkPayload(
  plaintext: Uint8Array,
  sender: Address,
  recipient: Address,
): Checked<Payload> {
  const payload = parsePayload(plaintext)
  if (!payload.ok) return payload
  const participants = checkParticipants(payload.value, sender, recipient)
  return participants.ok ? payload : participants
}
