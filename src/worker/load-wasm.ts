/** Gives the worker its wasm: the file beside the module, else the copy inside the SDK. */

import { PadlockError } from '../errors.ts'
import type { WorkerApi } from './contract.ts'
import type { CallOptions, Remote } from './rpc.ts'
import { absoluteUrl, type LoadEmbedded, loadInTime } from './start.ts'

/** An address for the worker to fetch, or a function that reads the bytes to hand it. */
export type WasmWay = string | (() => Promise<Uint8Array<ArrayBuffer>>)

/** Every client of a page loads it the same way, so only the first says so. */
let hasSpoken = false

/** The copy inside the SDK. */
export const embeddedWasm =
  (load: LoadEmbedded): WasmWay =>
  async () =>
    (await loadInTime(load)).readWasm()

/** @param findFile the address of padlock.wasm; throws if the bundler left none. */
export const wasmWays = (findFile: () => URL, load: LoadEmbedded): readonly WasmWay[] => {
  try {
    return [absoluteUrl(findFile()).href, embeddedWasm(load)]
  } catch {
    return [embeddedWasm(load)]
  }
}

/**
 * Tries the ways in order.
 *
 * @throws PadlockError wasm_unavailable with what was tried, reload_needed, unsupported_platform, aborted
 */
export const loadWasm = async (
  worker: Remote<WorkerApi>,
  ways: readonly WasmWay[],
  options: CallOptions,
): Promise<void> => {
  const failures: PadlockError[] = []
  for (const way of ways) {
    try {
      await worker.load({ wasm: typeof way === 'string' ? way : await read(way) }, options)
      if (failures.length > 0 && !hasSpoken) {
        hasSpoken = true
        console.warn(
          `Padlock: padlock.wasm did not load from beside the SDK (${triedIn(failures)}), so the copy ` +
            'inside the SDK is used. Pass wasmUrl to load the file: see “Bundlers” in the README.',
        )
      }
      return
    } catch (error) {
      if (!(error instanceof PadlockError) || error.code !== 'wasm_unavailable') throw error
      failures.push(error)
    }
  }
  const [first] = failures
  throw new PadlockError('wasm_unavailable', {
    details: { ...first?.details, tried: triedIn(failures) },
    cause: first?.cause,
  })
}

const read = async (
  way: () => Promise<Uint8Array<ArrayBuffer>>,
): Promise<Uint8Array<ArrayBuffer>> => {
  try {
    return await way()
  } catch (cause) {
    const tried = 'the copy inside the SDK: it did not load'
    throw new PadlockError('wasm_unavailable', { details: { tried }, cause })
  }
}

const triedIn = (failures: readonly PadlockError[]): string =>
  failures.flatMap(({ details }) => details?.tried ?? []).join('; ')
