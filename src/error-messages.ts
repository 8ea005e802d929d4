/** What each code means: what happened and what to do. Apart from errors.ts, so that the worker does not carry the texts. */

import type { PadlockErrorCode } from './errors.ts'

export const errorMessages: Readonly<Record<PadlockErrorCode, string>> = {
  // What a node answers (docs/protocol.md section 13).
  malformed: 'The data is not in the form that the protocol requires.',
  unknown_topic: 'The node does not know this kind of topic.',
  too_large: 'The data is over the size limit. Send less at once.',
  bad_signature: 'A signature is not valid.',
  wrong_address: 'This installation belongs to another address. Make new keys.',
  wrong_signature_kind:
    'A contract has no say here: the account signs with its key, or on another chain. Sign with the key, or through a wallet that delegates to a contract on that chain (EIP-7702).',
  chain_unknown: 'The node does not know this chain. Use a node that does.',
  revoked: 'This device was revoked. Create the client again with renew: true to make new keys.',
  already_revoked: 'These installations are already revoked.',
  already_vouched: 'Another installation has vouched for this one already.',
  unknown_installation: 'The node does not know this installation. Register first.',
  recipient_gone: 'The recipient installation is unknown or revoked.',
  sealing_key_not_newer: 'A newer sealing key is already published.',
  stale_upload: 'A newer prekey upload is already stored.',
  stock_full: 'The node already holds the maximum number of prekeys.',
  too_many_installations:
    'The account has 100 devices. Revoke some with revokeInstallations, which needs the wallet only.',
  clock_ahead: 'The time given is ahead of the node’s clock. Check the clock of this device.',
  sealing_key_too_soon: 'The limit is four sealing keys in 24 hours. Try again later.',
  bad_proof: 'The proof for reading this inbox is not valid.',
  not_supported_yet: 'This release does not support that yet.',
  rate_limited: 'Too many requests. Wait, then try again.',
  slow_reader: 'The stream was read too slowly and ended. Open it again.',
  unavailable: 'The node cannot answer right now. Try again later.',
  chain_unavailable: 'The chain does not confirm the signature right now. Try again later.',

  // The network between.
  network_unavailable: 'The node cannot be reached. Check the address and the connection.',
  bad_response: 'What answered is not a Padlock node. Check the address.',
  incompatible_node:
    'The node speaks another version of the protocol. Update the SDK or use another node.',
  unauthenticated_node: 'The node answered with a node id other than before.',

  // The wallet.
  wallet_rejected: 'The person declined to sign. Ask again when they want to.',
  wallet_pending: 'The wallet has a request open already. Answer that one, then try again.',
  wallet_incomplete:
    'The account signs on chain or has several owners: let them sign in the wallet, then try again.',
  wallet_failed: 'The wallet could not sign. `details` has its own code and words.',
  wallet_wrong_account:
    'The wallet signed for, or holds, another account. Switch accounts and try again.',
  wallet_unsupported:
    'Padlock does not know this kind of wallet: pass a viem account, a viem wallet client, an ethers signer or an EIP-1193 provider.',

  // The machine.
  unsupported_platform:
    'Padlock needs a recent browser, and a page served over https or from localhost.',
  wasm_unavailable:
    'padlock.wasm could not be loaded. Serve it, or pass wasmUrl; a content policy needs wasm-unsafe-eval.',
  worker_unavailable:
    'The worker could not start: its file is missing, or a content policy blocks it.',
  worker_failed: 'The worker stopped unexpectedly. Create the client again.',
  reload_needed:
    'The page loaded files of two Padlock releases. Reload it; if that does not help, serve worker.js and padlock.wasm of the same release.',
  storage_unavailable:
    'The browser stores nothing here, as in some private windows or when site data is blocked.',
  storage_in_use:
    'This database is already open, in another tab or in another client on this page. Close that one, or pass another database name.',
  storage_full:
    'The disk or the quota is full. Delete conversations or messages, or free some space.',
  storage_failed:
    'The browser’s database failed. Try again; if that does not help, restart the browser and free some disk space.',
  storage_too_new: 'A newer release wrote this database. Reload the page to get that release.',
  storage_blocked: 'Another tab keeps an older version of the database open. Close that tab.',
  storage_damaged:
    'A stored record cannot be opened: something else changed the database. Delete it with deleteLocalData to start anew.',
  storage_lost:
    'The browser closed the database: its data was cleared, the disk is full, or a newer release needs it. Create the client again.',
  data_lost:
    'The browser lost this device’s keys and history, and it is a new device now. Revoke the old one.',
  leadership_lost: 'Another tab took over. Create the client again.',
  other_account: 'This database belongs to another account. Pass another database name.',

  // What an application asks.
  invalid_argument: 'An argument is not valid for this call.',
  invalid_address:
    'This is not an Ethereum address, or its checksum is wrong. A right one with another checksum is accepted in lower case.',
  message_too_large: 'The message is over 900 KiB. Send less.',
  unverified:
    'No device of the recipient is confirmed by its chain yet. The message waits; does `chains` name the chain?',
  no_prekeys:
    'No device of the recipient can be encrypted to now. The message waits until one is online.',
  vouch_needed:
    'This device waits for another device of the account to vouch for it; until then nobody sees what it sends.',
  no_installation: 'The recipient has not registered yet. The message waits until they do.',
  content_too_large: 'The content is over 8 MiB when decompressed.',
  aborted: 'The call was aborted.',
  closed: 'The client is closed. Create a new one.',
  internal: 'This is a bug in Padlock. Please report it.',

  // Why an envelope in the inbox was not kept (docs/protocol.md section 8); the last two also stand for outcomes.
  unsealing_failed: 'The envelope does not open with any key of this installation.',
  not_for_us: 'The envelope is addressed to another installation.',
  unknown_sender: 'The sender installation is not in its account’s contact topic.',
  sender_revoked: 'The sender installation is revoked.',
  bad_header_signature: 'The sender installation did not sign this header.',
  bad_mac: 'The message is not authentic, although its prekey is here.',
  session_unknown: 'This installation does not have the session of the message.',
  session_mismatch: 'The message names a session or identity other than its own.',
  message_key_gone: 'The key of this message was already used or dropped.',
  prekey_gone: 'The prekey that the message names was already used or dropped.',
  decryption_failed: 'The message cannot be decrypted.',
  header_mismatch: 'Header and ciphertext belong to different envelopes.',
  wrong_participants: 'Sender or recipient is not part of the conversation.',
  bad_payload: 'The decrypted payload is not in the form that the protocol requires.',
  duplicate_message: 'This message has arrived before.',
  parking_full: 'Too many envelopes from unknown senders are waiting; the newest was dropped.',
  requests_full:
    'A request holds 50 messages and 1 MiB, all of them 5,000 and 64 MiB: further ones were left out. Accept or delete requests.',
  sender_denied: 'The person denied this account.',
  unsupported_version: 'A newer release wrote this message. Update Padlock.',
  restored:
    'This device was rolled back to an older copy of its data. It has repaired itself; messages that arrived in between may be lost here.',
  node_withholding: 'The node does not show what another installation saw there.',
  node_equivocating: 'The node shows this installation something other than it showed another one.',
  gap: 'Envelopes are missing at the node: past its retention, or withheld.',
}
