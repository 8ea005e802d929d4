/** Wallets as applications bring them, and what their failures come to. */

import { privateKeyToAccount } from 'viem/accounts'
import { expect } from 'vitest'
import { PadlockError } from '../../src/errors.ts'

export const account = privateKeyToAccount(`0x${'1'.repeat(64)}`)
export const other = privateKeyToAccount(`0x${'2'.repeat(64)}`)
export const text = 'XMTP: Grant Messaging Access\n\nAccount Address: … ünïcode'

export interface Asked {
  readonly method: string
  readonly params?: unknown
}

/** What a browser extension injects: holds both accounts' keys, shows those it is told to. */
export const aProvider = (
  shown: () => unknown,
  answer: (asked: Asked) => Promise<unknown> = async () => undefined,
) => {
  const asked: string[] = []
  return {
    asked,
    request: async (request: Asked): Promise<unknown> => {
      asked.push(request.method)
      const own = await answer(request)
      if (own !== undefined) return own
      if (request.method === 'eth_accounts' || request.method === 'eth_requestAccounts') {
        return shown()
      }
      if (request.method !== 'personal_sign') throw Object.assign(new Error(), { code: 4200 })
      const [raw, address] = Array.isArray(request.params) ? request.params : []
      const signer = [account, other].find(
        (one) => one.address.toLowerCase() === String(address).toLowerCase(),
      )
      if (!signer || typeof raw !== 'string') throw new Error('not an account of this wallet')
      return signer.signMessage({
        message: { raw: raw.startsWith('0x') ? `0x${raw.slice(2)}` : '0x' },
      })
    },
  }
}

export const showing =
  (...addresses: string[]) =>
  () =>
    addresses

export const codeOf = async (call: Promise<unknown>): Promise<string> => {
  try {
    await call
  } catch (error) {
    expect(error).toBeInstanceOf(PadlockError)
    return error instanceof PadlockError ? error.code : ''
  }
  return 'no error'
}

export const rejection = () =>
  Object.assign(new Error('User rejected the request.'), { code: 4001 })
