/**
 * Entry `padlock-sdk/inline`: the same SDK with its worker and wasm inside, for applications that
 * cannot serve a package's files. The worker starts from a blob, so a content policy must allow
 * `worker-src blob:`.
 *
 * @packageDocumentation
 */

import * as embedded from './embedded.ts'
import type { Client, ClientOptions } from './facade/client.ts'
import { openClient } from './facade/open-client.ts'
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

// As src/index.ts does.
export * from './api.ts'
