/**
 * What went wrong and what to do, for the person using the page. Padlock's own messages are for
 * application developers; where those would not help here, this page has its own.
 */

import { PadlockError, type PadlockErrorCode } from 'padlock-sdk'

const words: Partial<Record<PadlockErrorCode, string>> = {
  network_unavailable:
    'The node does not answer. Check that it is running and that its address in Settings is right.',
  bad_response: 'There is no Padlock node at this address. Check it in Settings.',
  incompatible_node:
    'The node speaks another version of Padlock. Choose another node in Settings, or reload the page after an update.',
  unauthenticated_node:
    'A different node answers at this address than before. Choose the earlier one in Settings, or start over.',
  unknown_installation:
    'This node does not know you: it is not the one used before, or it lost its data. Choose the earlier node in Settings, or start over.',
  node_withholding:
    'This node does not show everything that it showed before, or showed to others: it withholds something, is a different node, or lost its data. Choose the earlier node in Settings.',
  node_equivocating:
    'This node shows different people different lists of devices. Choose another node in Settings.',
  restored:
    'This browser had an older copy of its data, for instance from a backup, and repaired it. Messages that arrived since then may be missing here; ask for them again.',
  gap: 'Some messages are no longer at the node, so they cannot be shown here. If you miss one, ask for it again.',
  unsupported_version: 'Someone wrote with a newer release. Reload the page to update it.',
  unavailable: 'The node cannot answer right now. The page tries again by itself.',
  rate_limited: 'The node received too many requests. The page tries again by itself.',
  wallet_rejected: 'You declined in your wallet. Nothing was sent; try again when you are ready.',
  wallet_failed: 'The wallet could not sign. Unlock it, then try again.',
  wallet_pending: 'Your wallet is asking you something already. Answer that, then try again.',
  wallet_incomplete:
    'The owners of this account have to sign in the wallet first. Then try again here.',
  wallet_wrong_account:
    'The wallet answered for another account. Switch to the right one in the wallet, then try again.',
  wallet_unsupported: 'Padlock cannot talk to this wallet. Choose another one.',
  chain_unknown:
    'The node does not know the chain of this smart-contract wallet. Choose an account with its own key.',
  chain_unavailable:
    'The chain of this smart-contract wallet does not confirm your signature right now. Try again in a while.',
  wrong_signature_kind:
    'This smart-contract wallet has no say for the account. Use the wallet with its key, or the chain that you used first.',
  too_many_installations:
    'This account has the maximum number of devices. Remove those that you no longer use; your wallet alone can do that.',
  already_revoked: 'This device was already removed.',
  recipient_gone: 'This device of theirs was removed, so nothing is sent to it any more.',
  requests_full:
    'Requests hold only so much, and further messages of people whom you have not accepted were left out. Accept or delete requests to make room.',
  clock_ahead: 'The clock of this device is wrong. Correct it, then try again.',
  unsupported_platform:
    'This browser lacks something that Padlock needs. Open the page in a current browser, over https or on localhost.',
  wasm_unavailable: 'The encryption code could not be loaded. Reload the page.',
  worker_unavailable:
    'The background worker could not be started. Allow workers for this page, then reload it.',
  worker_failed: 'The background worker stopped. Your messages are safe; try again.',
  storage_unavailable:
    'This browser does not let the page store anything. Leave private mode or allow site data, then reload.',
  storage_in_use: 'Another tab has this open. Close it, and this one continues by itself.',
  storage_blocked: 'Another tab still uses older data. Close it, then try again.',
  storage_full:
    'This browser has no space left for the page. Delete messages or conversations here, or free some space, then try again.',
  storage_failed:
    'The browser could not read or write its storage. Try again; if that does not help, restart the browser.',
  storage_lost:
    'The browser closed the data of this page: there is no space left, it was cleared, or a newer release needs it. Free some space if there is none, then try again.',
  data_lost:
    'This browser lost its keys and messages, so it is a new device now. Remove the old one under Devices.',
  unverified: 'Their devices are not confirmed by their chain yet. The message waits.',
  no_prekeys: 'Their devices cannot be reached now. The message waits until one is online.',
  storage_too_new: 'The data here was made by a newer release. Reload the page to update it.',
  storage_damaged: 'The data stored here can no longer be opened. Start over to replace it.',
  leadership_lost: 'Another tab took over. Close it, then try again here.',
  other_account: 'The data stored here belongs to another wallet. Start over to replace it.',
  revoked: 'This device was removed from the account, so it sends nothing any more.',
  message_too_large: 'This message is too long: 900 KiB is the limit. Send it in parts.',
  closed: 'The connection to this conversation was closed. Reload the page.',
  internal: 'This is a bug in Padlock. Reload the page; if it happens again, please report it.',
}

/** The message for a code. */
export const sayCode = (code: PadlockErrorCode): string =>
  words[code] ?? new PadlockError(code).message

/** The message for whatever was thrown; never a stack or a class name. */
export const sayError = (error: unknown): string => {
  if (error instanceof PadlockError) return words[error.code] ?? error.message
  console.error(error)
  return 'Something went wrong that this page did not expect. Reload it; if it happens again, please report it.'
}

/** Why a text is not an address: Padlock only says that it is not, this says why. */
export const sayWrongAddress = (text: string): string => {
  if (/^0x[0-9a-f]{40}$/i.test(text)) {
    return 'The capital letters of this address do not match its checksum: a character was probably mistyped. Copy it again from its source.'
  }
  if (/\.eth$/i.test(text))
    return 'This page does not look up names such as this one. Enter the address itself: 0x and 40 characters.'
  return 'An address is 0x followed by 40 characters from 0 to 9 and a to f. Copy it again from its source.'
}
