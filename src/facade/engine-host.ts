/** What the page gives an engine: its port, the wallet and the chains. */

import { chainsFrom, checkChainId } from '../chains/chain-option.ts'
import type { Chains } from '../chains/chains.ts'
import { PadlockError } from '../errors.ts'
import type { Wallet } from '../wallet/wallet.ts'
import { walletFrom } from '../wallet/wallet-like.ts'
import type { AccountRequest, ClientEvent, HostApi, WorkerApi } from '../worker/contract.ts'
import type { WasmWay } from '../worker/load-wasm.ts'
import { connectRpc, type Port } from '../worker/rpc.ts'
import type { ClientOptions } from './client.ts'
import { unlessAborted } from './conversation.ts'

/** A started engine's port, however it was started. */
export interface EngineHandle {
  readonly port: Port
  /** Ways to get padlock.wasm, best first. */
  readonly wasm: readonly WasmWay[]
  onFailure?(listener: (error: PadlockError) => void): void
  terminate(): void
}

/** What the engine may ask of the page. */
export const hostOf = (
  wallet: Wallet,
  chains: Chains,
  deliver: (events: readonly ClientEvent[]) => void,
): HostApi => ({
  signText: ({ text, address }, signal) => unlessAborted(wallet.signText(text, address), signal),
  findChain: ({ address }) => wallet.findChain(address),
  verifyContract: (question, signal) => chains.verify(question, signal),
  deliver: async ({ events }) => deliver(events),
})

/** How often a call asks whether the worker still works on it. */
const pingMs = 10_000

/**
 * The calls to an engine. How long one takes is the engine's to bound, as it knows what it waits for:
 * a person, a node, a chain. Here a call fails only if the worker no longer lives.
 */
export const connectEngine = ({ port }: EngineHandle, host: HostApi) =>
  connectRpc<HostApi, WorkerApi>(port, host, { pingMs })

/** What an application passes about an account: the same for a client and for a call without one. */
export type AccountOptions = Pick<
  ClientOptions,
  'wallet' | 'address' | 'node' | 'chains' | 'contract' | 'signal'
>

/** An engine that was started for an account. */
export interface StartedEngine {
  readonly engine: EngineHandle
  readonly wallet: Wallet
  readonly chains: Chains
  readonly request: AccountRequest
}

/**
 * Checks the options, asks the wallet for the account if need be, and starts an engine.
 *
 * @throws PadlockError wallet_*, invalid_argument, invalid_address, aborted, and whatever `start` throws
 */
export const startEngine = async (
  options: AccountOptions,
  start: () => Promise<EngineHandle>,
): Promise<StartedEngine> => {
  const { node, signal } = options
  const wallet = walletFrom(options.wallet)
  const chains = chainsFrom(options.chains)
  const contractChainId = options.contract && checkChainId(options.contract.chainId)
  const address = await unlessAborted(findAddress(options, wallet), signal)
  // Whatever is still loading when the caller gives up is ended once it has loaded.
  const starting = start()
  const engine = await unlessAborted(starting, signal).catch((error: unknown) => {
    starting.then(({ terminate }) => terminate()).catch(() => undefined)
    throw error
  })
  const request = { node, address, chainIds: [...chains.ids], contractChainId }
  return { engine, wallet, chains, request }
}

/**
 * The account: as the application typed it, or as the wallet says. Wallets write their own address as
 * they like, some with another checksum (EIP-1191): that is not a typing error.
 */
const findAddress = async (
  { address }: Pick<ClientOptions, 'address'>,
  wallet: Wallet,
): Promise<string> => {
  if (address === undefined) return (await wallet.getAddress()).toLowerCase()
  if (typeof address !== 'string') throw new PadlockError('invalid_address')
  return address
}
