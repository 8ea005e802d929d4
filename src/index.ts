/**
 * Padlock: end-to-end encrypted messages between Ethereum addresses.
 *
 * @packageDocumentation
 */

import { listInstallationsOf, revokeInstallationsOf } from './facade/account-calls.ts'
import type { Client, ClientOptions } from './facade/client.ts'
import type { AccountOptions, EngineHandle } from './facade/engine-host.ts'
import { openClient } from './facade/open-client.ts'
import { requirePlatform } from './facade/platform.ts'
import { readWasmUrl } from './facade/wasm-url.ts'
import type { Installation } from './worker/contract.ts'
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
 * it ask the wallet for one signature, and then waits for the node: pass a `signal` to give up. The
 * client connects in the background and keeps trying; an existing installation also opens offline.
 *
 * @example
 * const client = await createClient({ wallet, node: 'https://node.example' })
 * @throws PadlockError wallet_unsupported, wallet_rejected, wallet_pending, wallet_failed, invalid_address,
 * invalid_argument, storage_in_use, storage_unavailable, storage_full, storage_failed, storage_blocked,
 * storage_damaged, storage_too_new, other_account, wasm_unavailable, worker_unavailable, reload_needed,
 * unsupported_platform, aborted; the first time also wallet_wrong_account, wallet_incomplete,
 * too_many_installations, wrong_signature_kind, chain_unknown, chain_unavailable, network_unavailable,
 * unavailable, rate_limited
 */
export const createClient = async (options: CreateClientOptions): Promise<Client> => {
  requirePlatform()
  return openClient(options, starter(options))
}

/** The worker's files, and those of its wasm, as this entry finds them. */
export interface FileOptions
  extends Pick<CreateClientOptions, 'createWorker' | 'wasmUrl' | 'signal'> {}

const starter = ({ createWorker, wasmUrl, signal }: FileOptions) => {
  const given = wasmUrl === undefined ? undefined : [readWasmUrl(wasmUrl)]
  return async (): Promise<EngineHandle> => {
    const worker = createWorker
      ? await startGivenWorker(createWorker, signal)
      : await startWorker(findWorker, loadEmbedded, signal)
    // If the worker's file is not available, the wasm's is not looked for.
    const ways = worker.isEmbedded ? [embeddedWasm(loadEmbedded)] : wasmWays(findWasm, loadEmbedded)
    return { ...worker, wasm: given ?? ways }
  }
}

/** What `listInstallations` and `revokeInstallations` take: as `createClient`. */
export type InstallationsOptions = AccountOptions & FileOptions

/**
 * The devices of the wallet's account, as the node lists them now, without a client. The wallet is
 * asked for its account only, and not even for that with `address`.
 *
 * @example
 * const devices = await listInstallations({ wallet, node: 'https://node.example' })
 * @throws PadlockError invalid_address, invalid_argument, wallet_rejected, wallet_pending,
 * wallet_failed, wallet_unsupported, network_unavailable, unavailable, rate_limited, aborted
 */
export const listInstallations = async (
  options: InstallationsOptions,
): Promise<readonly Installation[]> => {
  requirePlatform()
  return listInstallationsOf(options, starter(options))
}

/**
 * Permanently revokes devices of the wallet's account with one signature, without a client: the way
 * back for somebody whose account is full of devices that are gone.
 *
 * @example
 * const devices = await listInstallations({ wallet, node: 'https://node.example' })
 * const old = devices.filter(({ createdAtMs }) => createdAtMs < Date.parse('2026-01-01'))
 * await revokeInstallations(old.map(({ id }) => id), { wallet, node: 'https://node.example' })
 * @throws PadlockError as `listInstallations`, and wallet_incomplete, wallet_wrong_account,
 * wrong_signature_kind, chain_unknown, chain_unavailable
 */
export const revokeInstallations = async (
  installationIds: readonly string[],
  options: InstallationsOptions,
): Promise<void> => {
  requirePlatform()
  return revokeInstallationsOf(installationIds, options, starter(options))
}

// Written out in full: bundlers look for exactly these expressions.
const findWorker = () => new URL('./worker.js', import.meta.url)
const findWasm = () => new URL('./padlock.wasm', import.meta.url)
const loadEmbedded = () => import('./embedded.ts')

// By name in api.ts. `export *` keeps the two entries from drifting apart: what joins one, joins both.
export * from './api.ts'
