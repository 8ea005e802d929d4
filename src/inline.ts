/**
 * Entry `padlock-sdk/inline`: the same SDK with its worker and wasm inside, for applications that
 * cannot serve a package's files. The worker starts from a blob, so a content policy must allow
 * `worker-src blob:`.
 *
 * @packageDocumentation
 */

import * as embedded from './embedded.ts'
import { listInstallationsOf, revokeInstallationsOf } from './facade/account-calls.ts'
import type { Client, ClientOptions } from './facade/client.ts'
import type { AccountOptions, EngineHandle } from './facade/engine-host.ts'
import { openClient } from './facade/open-client.ts'
import { requirePlatform } from './facade/platform.ts'
import type { Installation } from './worker/contract.ts'
import { embeddedWasm } from './worker/load-wasm.ts'
import { startEmbeddedWorker } from './worker/start.ts'

const starter = (signal: AbortSignal | undefined) => async (): Promise<EngineHandle> => {
  const load = async () => embedded
  return { ...(await startEmbeddedWorker(load, signal)), wasm: [embeddedWasm(load)] }
}

/** Opens this device's installation of an account: see `createClient` of `padlock-sdk`. */
export const createClient = async (options: ClientOptions): Promise<Client> => {
  requirePlatform()
  return openClient(options, starter(options.signal))
}

/** What `listInstallations` and `revokeInstallations` take: as `createClient`. */
export type InstallationsOptions = AccountOptions

/** The devices of the wallet's account: see `listInstallations` of `padlock-sdk`. */
export const listInstallations = async (
  options: InstallationsOptions,
): Promise<readonly Installation[]> => {
  requirePlatform()
  return listInstallationsOf(options, starter(options.signal))
}

/** Revokes devices of the wallet's account: see `revokeInstallations` of `padlock-sdk`. */
export const revokeInstallations = async (
  installationIds: readonly string[],
  options: InstallationsOptions,
): Promise<void> => {
  requirePlatform()
  return revokeInstallationsOf(installationIds, options, starter(options.signal))
}

// As src/index.ts does.
export * from './api.ts'
