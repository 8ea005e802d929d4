/** What each code means, for people: what happened and what to do. Apart from errors.ts, so that the worker does not carry it. */

import type { PadlockErrorCode } from './errors.ts'

export const errorMessages: Readonly<Record<PadlockErrorCode, string>> = {
  // What a node answers (docs/protocol.md section 13).
  malformed: 'The data does not have the form that the protocol asks for.',
  unknown_topic: 'There is no topic of this kind.',
  too_large: 'The data is over the size limit. Send less at once.',
  bad_signature: 'A signature does not verify.',
  wrong_address: 'This installation belongs to another address. Make new keys.',
  wrong_signature_kind: 'This account uses another kind of wallet signature.',
  chain_unknown: 'The node does not know this chain. Use a node that does.',
  revoked: 'This installation was revoked. Start again with new keys.',
  already_revoked: 'These installations are revoked already.',
  unknown_installation: 'The node does not know this installation. Register first.',
  recipient_gone: 'The recipient installation is unknown or revoked.',
  sealing_key_not_newer: 'A newer sealing key is already published.',
  stale_upload: 'A newer prekey upload is already stored.',
  stock_full: 'The node holds as many prekeys as it may.',
  too_many_installations: 'The account has 100 installations. Revoke one first.',
  clock_ahead: 'The time given is ahead of the node. Check the clock.',
  sealing_key_too_soon: 'Four sealing keys in 24 hours are the limit. Wait.',
  bad_proof: 'The proof for reading this inbox is not valid.',
  not_supported_yet: 'This release does not support that yet.',
  rate_limited: 'Too many requests. Wait, then try again.',
  slow_reader: 'The stream was read too slowly and ended. Open it again.',
  unavailable: 'The node cannot answer now. Try again.',
  chain_unavailable: 'The chain cannot be reached now. Try again.',

  // The network between.
  network_unavailable: 'The node cannot be reached. Check the address and the connection.',
  bad_response: 'What answered is not a Padlock node. Check the address.',
  incompatible_node:
    'The node speaks another version of the protocol. Update the SDK or use another node.',
  unauthenticated_node: 'The node answered for another node id than it did before.',

  // The wallet.
  wallet_rejected: 'The wallet declined to sign. Ask again when the person agrees.',
  wallet_failed: 'The wallet could not sign.',
  wallet_wrong_account:
    'The wallet signed for, or holds, another account. Switch accounts and try again.',
  wallet_unsupported:
    'This is not a wallet that Padlock knows: pass a viem account, a viem wallet client or an EIP-1193 provider.',

  // The machine.
  unsupported_platform:
    'Padlock needs a browser that is not too old, and a page served over https or from localhost.',
  wasm_unavailable:
    'padlock.wasm could not be loaded. Serve it, or pass wasmUrl; a content policy needs wasm-unsafe-eval.',
  worker_unavailable:
    'The worker could not be started: its file is missing, or a content policy refuses it.',
  worker_failed: 'The worker stopped unexpectedly. Create the client again.',
  reload_needed:
    'The files of two releases of Padlock were loaded together. Reload the page; if that does not help, serve worker.js and padlock.wasm of the same release.',
  storage_unavailable:
    'IndexedDB cannot be used here. Private windows and blocked site data do that.',
  storage_in_use:
    'This database is open already, in another tab or by another client of this page. Close that one, or pass another database name.',
  storage_full: 'The disk or the quota is full. Free some space.',
  storage_failed: 'IndexedDB failed. Try again.',
  storage_too_new: 'The database was made by a newer release. Update Padlock.',
  storage_blocked: 'Another tab holds an older release of the database open. Close it.',
  storage_damaged: 'A stored record does not open. The database was changed by something else.',
  leadership_lost: 'Another tab took over. Create the client again.',
  other_account: 'This database belongs to another account. Pass another database name.',

  // What an application asks.
  invalid_argument: 'An argument is not what this call takes.',
  invalid_address: 'This is not an Ethereum address, or its checksum is wrong.',
  message_too_large: 'The message is over 900 KiB. Send less.',
  no_installation: 'The recipient has not registered yet. The message waits until they do.',
  content_too_large: 'The inflated content is over 8 MiB.',
  aborted: 'The call was aborted.',
  closed: 'The client is closed. Create a new one.',
  internal: 'A defect in Padlock. Please report it.',

  // Why an envelope in the inbox was not kept (docs/protocol.md section 8); the last two also stand for outcomes.
  unsealing_failed: 'The envelope does not open with any key of this installation.',
  not_for_us: 'The envelope is addressed to another installation.',
  unknown_sender: 'The sender installation is not in its account’s contact topic.',
  sender_revoked: 'The sender installation is revoked.',
  bad_header_signature: 'The sender installation did not sign this header.',
  bad_mac: 'The message does not authenticate although its prekey is here.',
  session_unknown: 'The session of this message is not here.',
  session_mismatch: 'The message names another session or identity than its own.',
  message_key_gone: 'The key of this message is used or dropped.',
  prekey_gone: 'The prekey that the message names is used or dropped.',
  decryption_failed: 'The message does not decrypt.',
  header_mismatch: 'Header and ciphertext belong to two different envelopes.',
  wrong_participants: 'Sender or recipient does not take part in the conversation.',
  bad_payload: 'The decrypted payload does not have the form that the protocol asks for.',
  duplicate_message: 'The message arrived before.',
  parking_full: 'Too many envelopes of unknown senders wait; the newest was dropped.',
  unsupported_version: 'The message was written by a newer release. Update Padlock.',
  restored:
    'This device has an older copy of its data. It repaired itself; what came meanwhile may be lost here.',
  node_withholding: 'The node does not show what another installation saw there.',
  node_equivocating: 'The node shows this installation something else than another one.',
  gap: 'Envelopes are missing at the node: too old for its retention, or withheld.',
}
