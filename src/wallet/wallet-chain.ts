/**
 * Which chain a wallet is on, and whether an address has the code of a contract account there
 * (docs/protocol.md section 3). If a wallet does not answer in time, the answer is unknown.
 */

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
  return id === undefined ? undefined : { chainId: id, isContract: isContractCode(code) }
}

/** EIP-695 specifies hexadecimal text; wallets also send a number, decimal digits, or 0X. Not 0. */
const readChainId = (answer: unknown): bigint | undefined => {
  const isWhole = typeof answer === 'bigint' || Number.isSafeInteger(answer)
  const digits = isWhole ? String(answer) : answer
  if (typeof digits !== 'string' || !/^(?:0[xX][0-9a-fA-F]{1,16}|\d{1,19})$/.test(digits)) {
    return undefined
  }
  const id = BigInt(digits)
  return id === 0n ? undefined : id
}

/** An ordinary account that delegates to a contract (EIP-7702) still signs with its own key. */
const isContractCode = (code: unknown): boolean =>
  typeof code === 'string' &&
  /^0x(?:[0-9a-fA-F]{2})+$/.test(code) &&
  !/^0xef0100[0-9a-fA-F]{40}$/i.test(code)
