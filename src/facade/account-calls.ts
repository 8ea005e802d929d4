/**
 * Calls about an account that need no client: with the wallet alone somebody who has lost every
 * device gets back in.
 */

import { chainsFrom, checkChainId } from '../chains/chain-option.ts'
import { errorMessages } from '../error-messages.ts'
import { PadlockError, setErrorMessages } from '../errors.ts'
import { walletFrom } from '../wallet/wallet-like.ts'
import type { AccountRequest, HostApi, Installation, WorkerApi } from '../worker/contract.ts'
import { loadWasm } from '../worker/load-wasm.ts'
import { connectRpc, type Remote } from '../worker/rpc.ts'
import type { ClientOptions } from './client.ts'
import { unlessAborted } from './conversation.ts'
import { type EngineHandle, findAddress, hostOf } from './engine-host.ts'

/** What these calls share with `createClient`. */
export type AccountOptions = Pick<
  ClientOptions,
  'wallet' | 'address' | 'node' | 'chains' | 'contract' | 'signal'
>

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
  const { node, signal } = options
  const wallet = walletFrom(options.wallet)
  const chains = chainsFrom(options.chains)
  const contractChainId = options.contract && checkChainId(options.contract.chainId)
  const address = await unlessAborted(findAddress(options, wallet), signal)
  const starting = start()
  const engine = await unlessAborted(starting, signal).catch((error: unknown) => {
    starting.then(({ terminate }) => terminate()).catch(() => undefined)
    throw error
  })
  const { remote, close } = connectRpc<HostApi, WorkerApi>(
    engine.port,
    hostOf(wallet, chains, () => undefined),
  )
  engine.onFailure?.(close)
  try {
    await unlessAborted(loadWasm(remote, engine.wasm, { signal }), signal)
    return await call(remote, { node, address, chainIds: [...chains.ids], contractChainId })
  } finally {
    close(new PadlockError('closed'))
    engine.terminate()
  }
}
