/**
 * Entry `padlock-sdk/inline`: the same SDK in one file, for bundlers that know no workers. The worker
 * starts from a blob and the wasm lies inside, so a content policy must allow `worker-src blob:`.
 *
 * @packageDocumentation
 */

import { wasmBase64, workerSource } from 'padlock:inline'
import { base64 } from '@scure/base'
import { type Client, type ClientOptions, openClient } from './facade/client.ts'
import { requireBrowser } from './facade/platform.ts'
import { spawnWorker } from './worker/spawn.ts'

/** Opens this device's installation of an account: see `createClient` of `padlock-sdk`. */
export const createClient = async (options: ClientOptions): Promise<Client> => {
  requireBrowser()
  const start = () => {
    const url = URL.createObjectURL(new Blob([workerSource], { type: 'text/javascript' }))
    try {
      return new Worker(url, { type: 'module', name: 'padlock' })
    } finally {
      // The worker has taken its own hold of the blob once the constructor returned.
      URL.revokeObjectURL(url)
    }
  }
  const wasm = new Uint8Array(base64.decode(wasmBase64))
  return openClient(options, wasm, () => spawnWorker(start, options.signal))
}

export type { ChainLike } from './chains/chain-option.ts'
export type { ChainClientLike } from './chains/chains.ts'
export { PadlockError, type PadlockErrorCode } from './errors.ts'
export type { Client, ClientOptions, ClientStatus } from './facade/client.ts'
export type { Conversation, HistoryOptions, SendOptions } from './facade/conversation.ts'
export type { StreamOptions } from './facade/stream.ts'
// Symbols below should only matter to those who write adapters.
export type { AccountLike, ProviderLike, WalletClientLike, WalletLike } from './wallet/viem.ts'
export type {
  ClientEvent,
  ClientState,
  ConversationInfo,
  Installation,
  Message,
  TextMessage,
  UnknownMessage,
  Warning,
} from './worker/contract.ts'
