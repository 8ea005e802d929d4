/** What becomes of a received envelope (docs/protocol.md section 8), and which code leads where. */
import type { PadlockErrorCode } from '../errors.ts'

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
