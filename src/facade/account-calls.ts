/**
 * Calls about an account that need no client: with the wallet alone somebody who has lost every
 * device gets back in.
 */

import { errorMessages } from '../error-messages.ts'
import { PadlockError, setErrorMessages } from '../errors.ts'
import type { AccountRequest, Installation, WorkerApi } from '../worker/contract.ts'
import { loadWasm } from '../worker/load-wasm.ts'
import type { Remote } from '../worker/rpc.ts'
import { unlessAborted } from './conversation.ts'
import {
  type AccountOptions,
  connectEngine,
  type EngineHandle,
  hostOf,
  startEngine,
} from './engine-host.ts'

export const listInstallationsOf = (
  options: AccountOptions,
  start: () => Promise<EngineHandle>,
): Promise<readonly Installation[]> =>
  callWorker(options, start, (worker, request) =>
    worker.listInstallations(request, { signal: options.signal }),
  )

export const revokeInstallationsOf = (
  installationIds: readonly string[],
  options: AccountOptions,
  start: () => Promise<EngineHandle>,
): Promise<void> =>
  callWorker(options, start, (worker, request) =>
    worker.revokeInstallations(
      { ...request, ids: [...installationIds] },
      { signal: options.signal },
    ),
  )

/** Starts a worker for one call. */
const callWorker = async <T>(
  options: AccountOptions,
  start: () => Promise<EngineHandle>,
  call: (worker: Remote<WorkerApi>, request: AccountRequest) => Promise<T>,
): Promise<T> => {
  setErrorMessages(errorMessages)
  const { signal } = options
  const { engine, wallet, chains, request } = await startEngine(options, start)
  const { remote, close } = connectEngine(
    engine,
    hostOf(wallet, chains, () => undefined),
  )
  engine.onFailure?.(close)
  try {
    await unlessAborted(loadWasm(remote, engine.wasm, { signal }), signal)
    return await call(remote, request)
  } finally {
    close(new PadlockError('closed'))
    engine.terminate()
  }
}
