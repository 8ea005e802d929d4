/**
 * Padlock: end-to-end encrypted messages between Ethereum addresses.
 *
 * @packageDocumentation
 */

import type { Client, ClientOptions } from './facade/client.ts'
import { openClient } from './facade/open-client.ts'
import { requirePlatform } from './facade/platform.ts'
import { readWasmUrl } from './facade/wasm-url.ts'
import { embeddedWasm, wasmWays } from './worker/load-wasm.ts'
import { startGivenWorker, startWorker } from './worker/start.ts'

export interface CreateClientOptions extends ClientOptions {
  /**
   * Starts `padlock-sdk/worker` as a module worker, for bundlers and content policies that need it.
   */
  readonly createWorker?: () => Worker
  /** Where `padlock.wasm` is served, if not beside this module. */
  readonly wasmUrl?: string | URL
}

/**
 * Opens this device's installation of an account, and registers one the first time: only then does
 * it ask the wallet for one signature. The client connects in the background and keeps trying; an
 * existing installation also opens offline.
 *
 * @example
 * const client = await createClient({ wallet, node: 'https://node.example' })
 * @throws PadlockError wallet_rejected, wallet_failed, wallet_wrong_account, wallet_unsupported,
 * invalid_address, invalid_argument, storage_in_use, storage_unavailable, storage_full,
 * storage_failed, storage_blocked, storage_damaged, storage_too_new, other_account,
 * wasm_unavailable, worker_unavailable, reload_needed,
 * unsupported_platform, aborted; the first time also network_unavailable, unavailable, rate_limited
 */
export const createClient = async (options: CreateClientOptions): Promise<Client> => {
  requirePlatform()
  const { createWorker, wasmUrl, signal } = options
  const given = wasmUrl === undefined ? undefined : [readWasmUrl(wasmUrl)]
  return openClient(options, async () => {
    const worker = createWorker
      ? await startGivenWorker(createWorker, signal)
      : await startWorker(findWorker, loadEmbedded, signal)
    // If the worker's file is not available, the wasm's is not looked for.
    const ways = worker.isEmbedded ? [embeddedWasm(loadEmbedded)] : wasmWays(findWasm, loadEmbedded)
    return { ...worker, wasm: given ?? ways }
  })
}

// Written out in full: bundlers look for exactly these expressions.
const findWorker = () => new URL('./worker.js', import.meta.url)
const findWasm = () => new URL('./padlock.wasm', import.meta.url)
const loadEmbedded = () => import('./embedded.ts')

// By name in api.ts. `export *` keeps the two entries from drifting apart: what joins one, joins both.
export * from './api.ts'
