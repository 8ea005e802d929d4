/**
 * Padlock: end-to-end encrypted messages between Ethereum addresses.
 *
 * @packageDocumentation
 */

import { type Client, type ClientOptions, openClient } from './facade/client.ts'
import { requireBrowser } from './facade/platform.ts'
import { spawnWorker } from './worker/spawn.ts'

export interface CreateClientOptions extends ClientOptions {
  /** Starts `padlock-sdk/worker` as a module worker; for bundlers and content policies that need it. */
  readonly createWorker?: () => Worker
  /** Where `padlock.wasm` is served, if not beside this module. */
  readonly wasmUrl?: string | URL
}

/**
 * Opens this device's installation of an account, and registers one at the first time: then, and
 * only then, the wallet is asked for one signature. The client connects in the background and keeps
 * trying; an existing installation also opens offline.
 *
 * @example
 * const client = await createClient({ wallet: window.ethereum, node: 'https://node.example' })
 * @throws PadlockError wallet_rejected, wallet_failed, wallet_wrong_account, wallet_unsupported,
 * invalid_address, invalid_argument, network_unavailable (first time only), storage_in_use,
 * storage_unavailable, storage_full, storage_too_new, other_account, wasm_unavailable,
 * worker_unavailable, unsupported_platform, aborted
 */
export const createClient = async (options: CreateClientOptions): Promise<Client> => {
  const { createWorker, wasmUrl, signal } = options
  requireBrowser()
  // Written out in full: bundlers look for exactly these two expressions.
  const wasm =
    wasmUrl === undefined
      ? new URL('./padlock.wasm', import.meta.url)
      : new URL(wasmUrl, globalThis.location.href)
  const start =
    createWorker ??
    (() => new Worker(new URL('./worker.js', import.meta.url), { type: 'module', name: 'padlock' }))
  return openClient(options, wasm.href, () => spawnWorker(start, signal))
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
