/**
 * Entry `padlock-sdk/inline`: the same SDK with its worker and its wasm inside, for places that serve
 * no files of packages. The worker starts from a blob, so a content policy must allow `worker-src blob:`.
 *
 * @packageDocumentation
 */

import * as embedded from './embedded.ts'
import { type Client, type ClientOptions, openClient } from './facade/client.ts'
import { requirePlatform } from './facade/platform.ts'
import { embeddedWasm } from './worker/load-wasm.ts'
import { startEmbeddedWorker } from './worker/start.ts'

/** Opens this device's installation of an account: see `createClient` of `padlock-sdk`. */
export const createClient = async (options: ClientOptions): Promise<Client> => {
  requirePlatform()
  const load = async () => embedded
  return openClient(options, async () => ({
    ...(await startEmbeddedWorker(load, options.signal)),
    wasm: [embeddedWasm(load)],
  }))
}

export type { ChainLike } from './chains/chain-option.ts'
export type { ChainClientLike } from './chains/chains.ts'
export {
  type ErrorDetails,
  PadlockError,
  type PadlockErrorCode,
  type PadlockErrorOptions,
} from './errors.ts'
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
  MessageBase,
  Status,
  TextMessage,
  UnknownMessage,
  Warning,
} from './worker/contract.ts'
