/** What the page gives an engine: its port, the wallet and the chains. */

import type { Chains } from '../chains/chains.ts'
import { PadlockError } from '../errors.ts'
import type { Wallet } from '../wallet/wallet.ts'
import type { ClientEvent, HostApi } from '../worker/contract.ts'
import type { WasmWay } from '../worker/load-wasm.ts'
import type { Port } from '../worker/rpc.ts'
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

/**
 * The account: as the application typed it, or as the wallet says. Wallets write their own address as
 * they like, some with another checksum (EIP-1191): that is not a typing error.
 */
export const findAddress = async (
  { address }: Pick<ClientOptions, 'address'>,
  wallet: Wallet,
): Promise<string> => {
  if (address === undefined) return (await wallet.getAddress()).toLowerCase()
  if (typeof address !== 'string') throw new PadlockError('invalid_address')
  return address
}
