/**
 * Which chain a wallet is on, and which code an address has there (docs/protocol.md section
 * 3). If a wallet does not answer in time, the answer is unknown.
 */

import { readAccountCode } from '../protocol/account-code.ts'
import { readChainId } from '../protocol/chain-id.ts'
import type { WalletChain } from './wallet.ts'

/** Has EIP-1193's `request`: a provider, or a viem client with its transport. */
export interface RequestLike {
  request(arg: { readonly method: string; readonly params?: unknown }): Promise<unknown>
}

const timeoutMs = 5_000

const hasRequest = (value: unknown): value is RequestLike =>
  typeof value === 'object' &&
  value !== null &&
  'request' in value &&
  typeof value.request === 'function'

/** Undefined if it names no chain. Never rejects. */
export const findChainOf = async (
  wallet: unknown,
  address: string,
): Promise<WalletChain | undefined> => {
  if (!hasRequest(wallet)) return undefined
  const ask = (method: string, params: readonly unknown[]): Promise<unknown> => {
    let timer: ReturnType<typeof setTimeout> | undefined
    const late = new Promise<undefined>((resolve) => {
      timer = setTimeout(() => resolve(undefined), timeoutMs)
    })
    // A wallet that throws at once has not answered.
    const answer = (async () => wallet.request({ method, params }))().catch(() => undefined)
    return Promise.race([answer, late]).finally(() => clearTimeout(timer))
  }
  const [chainId, code] = await Promise.all([
    ask('eth_chainId', []),
    ask('eth_getCode', [address, 'latest']),
  ])
  const id = readChainId(chainId)
  return id === undefined ? undefined : { chainId: id, code: readAccountCode(code) }
}
