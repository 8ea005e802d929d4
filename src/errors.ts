/**
 * The one error class, and the one table of codes: those of docs/protocol.md section 13, the
 * outcomes of receiving (section 8), and the SDK's own. A code, once released, keeps its meaning.
 */

interface CodeEntry {
  /** Whether the same call may succeed later without anyone changing anything. */
  readonly retryable: boolean
}

const retryable = { retryable: true } as const
const final = { retryable: false } as const

export const codes = {
  // What a node answers (docs/protocol.md section 13).
  malformed: final,
  unknown_topic: final,
  too_large: final,
  bad_signature: final,
  wrong_address: final,
  wrong_signature_kind: final,
  chain_unknown: final,
  revoked: final,
  already_revoked: final,
  already_vouched: final,
  unknown_installation: final,
  recipient_gone: final,
  sealing_key_not_newer: final,
  stale_upload: final,
  stock_full: final,
  too_many_installations: final,
  clock_ahead: retryable,
  sealing_key_too_soon: retryable,
  bad_proof: final,
  not_supported_yet: final,
  rate_limited: retryable,
  slow_reader: retryable,
  unavailable: retryable,
  chain_unavailable: retryable,

  // The network between.
  network_unavailable: retryable,
  bad_response: retryable,
  incompatible_node: final,
  unauthenticated_node: retryable,

  // The wallet.
  wallet_rejected: final,
  wallet_pending: retryable,
  wallet_incomplete: final,
  wallet_failed: final,
  wallet_wrong_account: final,
  wallet_unsupported: final,

  // The machine.
  unsupported_platform: final,
  wasm_unavailable: final,
  worker_unavailable: final,
  worker_failed: retryable,
  reload_needed: final,
  storage_unavailable: final,
  storage_in_use: retryable,
  storage_full: retryable,
  storage_failed: retryable,
  storage_too_new: final,
  storage_blocked: retryable,
  storage_damaged: final,
  storage_lost: retryable,
  data_lost: final,
  leadership_lost: retryable,
  other_account: final,

  // What an application asks.
  invalid_argument: final,
  invalid_address: final,
  message_too_large: final,
  no_installation: retryable,
  unverified: retryable,
  no_prekeys: retryable,
  vouch_needed: final,
  content_too_large: final,
  aborted: final,
  closed: final,
  internal: final,

  // Why an envelope in the inbox was not kept (docs/protocol.md section 8); the last two also stand for outcomes.
  unsealing_failed: final,
  not_for_us: final,
  unknown_sender: final,
  sender_revoked: final,
  bad_header_signature: final,
  bad_mac: final,
  session_unknown: final,
  session_mismatch: final,
  message_key_gone: final,
  prekey_gone: final,
  decryption_failed: final,
  header_mismatch: final,
  wrong_participants: final,
  bad_payload: final,
  duplicate_message: final,
  parking_full: final,
  requests_full: final,
  sender_denied: final,
  unsupported_version: final,
  node_withholding: final,
  restored: final,
  node_equivocating: final,
  gap: final,
} as const satisfies Record<string, CodeEntry>

/** Every code of this release. The README says what to do about those that an application meets. */
export type PadlockErrorCode = keyof typeof codes

let errorMessages: Readonly<Partial<Record<PadlockErrorCode, string>>> = {}

/** Gives errors their messages, where people read them: the worker does without the texts. */
export const setErrorMessages = (all: Readonly<Record<PadlockErrorCode, string>>): void => {
  errorMessages = all
}

/**
 * Facts for developers, such as an address or a status. Some mean the same everywhere: `tried` says
 * what was tried and how it ended, and is also part of the message; `walletCode` and
 * `walletMessage` are the wallet's own.
 */
export type ErrorDetails = Readonly<Record<string, string | number | boolean>>

export interface PadlockErrorOptions {
  /** Replaces the message in the table. Never holds keys, plaintext or envelopes. */
  readonly message?: string | undefined
  readonly details?: ErrorDetails | undefined
  readonly cause?: unknown
}

/**
 * The message of an error without its own: what happened and what to do. It is the code itself if
 * nobody called `setErrorMessages`.
 */
export const messageOf = (code: PadlockErrorCode, details?: ErrorDetails): string => {
  const message = errorMessages[code] ?? code
  return typeof details?.tried === 'string' ? `${message} Tried: ${details.tried}.` : message
}

/**
 * Every failure of Padlock. Test `error.code`, which also survives `postMessage` and bundling, not
 * the class or the text.
 *
 * @example
 * try {
 *   await chat.send('gm')
 * } catch (error) {
 *   if (error instanceof PadlockError && error.retryable) console.log('later:', error.message)
 *   else throw error
 * }
 */
export class PadlockError extends Error {
  override readonly name = 'PadlockError'
  readonly code: PadlockErrorCode
  /** Whether the same call may succeed later. */
  readonly retryable: boolean
  readonly details: ErrorDetails | undefined

  constructor(code: PadlockErrorCode, { message, details, cause }: PadlockErrorOptions = {}) {
    super(message ?? messageOf(code, details), cause === undefined ? undefined : { cause })
    this.code = code
    this.retryable = codes[code].retryable
    this.details = details
  }
}

/** Whether a string is a code of this release. */
export const isPadlockErrorCode = (code: unknown): code is PadlockErrorCode =>
  typeof code === 'string' && Object.hasOwn(codes, code)
