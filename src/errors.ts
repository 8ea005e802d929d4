/**
 * The one error class, and the one table of codes: PROTOCOL section 13's, the outcomes of receiving
 * (section 8), and the SDK's own. A code, once released, keeps its meaning.
 */

interface CodeEntry {
  /** Whether the same call may succeed later without anyone changing anything. */
  readonly retryable: boolean
  /** What happened and what to do, for people. */
  readonly says: string
}

const entry = (says: string, retryable = false): CodeEntry => ({ retryable, says })

export const codes = {
  // What a node answers (docs/protocol.md section 13).
  malformed: entry('The data does not have the form that the protocol asks for.'),
  unknown_topic: entry('There is no topic of this kind.'),
  too_large: entry('The data is over the size limit. Send less at once.'),
  bad_signature: entry('A signature does not verify.'),
  wrong_address: entry('This installation belongs to another address. Make new keys.'),
  wrong_signature_kind: entry('This account uses another kind of wallet signature.'),
  chain_unknown: entry('The node does not know this chain. Use a node that does.'),
  revoked: entry('This installation was revoked. Start again with new keys.'),
  already_revoked: entry('These installations are revoked already.'),
  unknown_installation: entry('The node does not know this installation. Register first.'),
  recipient_gone: entry('The recipient installation is unknown or revoked.'),
  sealing_key_not_newer: entry('A newer sealing key is already published.'),
  stale_upload: entry('A newer prekey upload is already stored.'),
  stock_full: entry('The node holds as many prekeys as it may.'),
  too_many_installations: entry('The account has 100 installations. Revoke one first.'),
  clock_ahead: entry('The time given is ahead of the node. Check the clock.', true),
  sealing_key_too_soon: entry('Four sealing keys in 24 hours are the limit. Wait.', true),
  bad_proof: entry('The proof for reading this inbox is not valid.'),
  not_supported_yet: entry('This release does not support that yet.'),
  rate_limited: entry('Too many requests. Wait, then try again.', true),
  slow_reader: entry('The stream was read too slowly and ended. Open it again.', true),
  unavailable: entry('The node cannot answer now. Try again.', true),
  chain_unavailable: entry('The chain cannot be reached now. Try again.', true),

  // The network between.
  network_unavailable: entry(
    'The node cannot be reached. Check the address and the connection.',
    true,
  ),
  bad_response: entry('What answered is not a Padlock node. Check the address.', true),
  incompatible_node: entry(
    'The node speaks another version of the protocol. Update the SDK or use another node.',
  ),
  unauthenticated_node: entry('The node answered for another node id than it did before.', true),

  // The wallet.
  wallet_rejected: entry('The wallet declined to sign. Ask again when the person agrees.'),
  wallet_failed: entry('The wallet could not sign.'),
  wallet_wrong_account: entry(
    'The wallet signed for, or holds, another account. Switch accounts and try again.',
  ),
  wallet_unsupported: entry(
    'This is not a wallet that Padlock knows: pass a viem account, a viem wallet client or an EIP-1193 provider.',
  ),

  // The machine.
  unsupported_platform: entry(
    'This platform lacks what Padlock needs: a browser with IndexedDB and WebAssembly.',
  ),
  wasm_unavailable: entry(
    'padlock.wasm could not be loaded. Serve it, or pass wasmUrl; a content policy needs wasm-unsafe-eval.',
  ),
  worker_unavailable: entry(
    'The worker could not be started. Pass createWorker, or use padlock-sdk/inline.',
  ),
  worker_failed: entry('The worker stopped unexpectedly. Create the client again.', true),
  storage_unavailable: entry(
    'IndexedDB cannot be used here. Private windows and blocked site data do that.',
  ),
  storage_in_use: entry(
    'Another tab uses this database. Close it, or pass another database name.',
    true,
  ),
  storage_full: entry('The disk or the quota is full. Free some space.', true),
  storage_failed: entry('IndexedDB failed. Try again.', true),
  storage_too_new: entry('The database was made by a newer release. Update Padlock.'),
  storage_blocked: entry(
    'Another tab holds an older release of the database open. Close it.',
    true,
  ),
  storage_damaged: entry(
    'A stored record does not open. The database was changed by something else.',
  ),
  leadership_lost: entry('Another tab took over. Create the client again.', true),
  other_account: entry('This database belongs to another account. Pass another database name.'),

  // What an application asks.
  invalid_argument: entry('An argument is not what this call takes.'),
  invalid_address: entry('This is not an Ethereum address, or its checksum is wrong.'),
  message_too_large: entry('The message is over 900 KiB. Send a remote attachment instead.'),
  no_installation: entry(
    'The recipient has not registered yet. The message waits until they do.',
    true,
  ),
  content_too_large: entry('The inflated content is over 8 MiB.'),
  aborted: entry('The call was aborted.'),
  closed: entry('The client is closed. Create a new one.'),
  internal: entry('A defect in Padlock. Please report it.'),

  // Why an envelope in the inbox was not kept (docs/protocol.md section 8); the last two also stand for outcomes.
  unsealing_failed: entry('The envelope does not open with any key of this installation.'),
  not_for_us: entry('The envelope is addressed to another installation.'),
  unknown_sender: entry('The sender installation is not in its account’s contact topic.'),
  sender_revoked: entry('The sender installation is revoked.'),
  bad_header_signature: entry('The sender installation did not sign this header.'),
  bad_mac: entry('The message does not authenticate although its prekey is here.'),
  session_unknown: entry('The session of this message is not here.'),
  session_mismatch: entry('The message names another session or identity than its own.'),
  message_key_gone: entry('The key of this message is used or dropped.'),
  prekey_gone: entry('The prekey that the message names is used or dropped.'),
  decryption_failed: entry('The message does not decrypt.'),
  header_mismatch: entry('Header and ciphertext belong to two different envelopes.'),
  wrong_participants: entry('Sender or recipient does not take part in the conversation.'),
  bad_payload: entry('The decrypted payload does not have the form that the protocol asks for.'),
  duplicate_message: entry('The message arrived before.'),
  parking_full: entry('Too many envelopes of unknown senders wait; the newest was dropped.'),
  unsupported_version: entry('The message was written by a newer release. Update Padlock.'),
  node_withholding: entry('The node does not show what another installation saw there.'),
  gap: entry('Envelopes of this inbox are missing at the node: retention, or withheld.'),
} as const satisfies Record<string, CodeEntry>

export type PadlockErrorCode = keyof typeof codes

export interface PadlockErrorOptions {
  /** Replaces the table's sentence. Never holds keys, plaintext or envelopes. */
  readonly message?: string
  readonly details?: Readonly<Record<string, string | number | boolean>>
  readonly cause?: unknown
}

/**
 * Every failure of Padlock. Test `error.code`, which also survives `postMessage` and bundling, not
 * the class or the text.
 */
export class PadlockError extends Error {
  override readonly name = 'PadlockError'
  readonly code: PadlockErrorCode
  /** Whether the same call may succeed later. */
  readonly retryable: boolean
  readonly details: Readonly<Record<string, string | number | boolean>> | undefined

  constructor(code: PadlockErrorCode, options: PadlockErrorOptions = {}) {
    super(
      options.message ?? codes[code].says,
      options.cause === undefined ? undefined : { cause: options.cause },
    )
    this.code = code
    this.retryable = codes[code].retryable
    this.details = options.details
  }
}

/** Whether a string is a code of this release. */
export const isPadlockErrorCode = (code: unknown): code is PadlockErrorCode =>
  typeof code === 'string' && Object.hasOwn(codes, code)
