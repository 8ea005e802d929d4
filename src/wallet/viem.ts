/**
 * Wallets as applications have them: a viem account, a viem wallet client, an EIP-1193 provider.
 * Their shapes are declared here, so that viem is never in the bundle.
 */

import { bytesToHex, hexToBytes, utf8ToBytes } from '@noble/hashes/utils.js'
import { PadlockError } from '../errors.ts'
import type { Wallet } from './wallet.ts'

/** A viem account that signs by itself, such as `privateKeyToAccount` makes. */
export interface AccountLike {
  readonly address: string
  signMessage(arg: { message: string }): Promise<string>
}

/** A viem wallet client. */
export interface WalletClientLike {
  readonly account?: { readonly address: string } | undefined
  getAddresses(): Promise<readonly string[]>
  signMessage(arg: { account: `0x${string}`; message: string }): Promise<string>
}

/** An EIP-1193 provider, such as a browser extension injects. */
export interface ProviderLike {
  request(arg: { method: string; params?: unknown }): Promise<unknown>
}

/** What `createClient` takes as `wallet`. */
export type WalletLike = AccountLike | WalletClientLike | ProviderLike

/** @throws PadlockError wallet_unsupported */
export const walletFrom = (wallet: WalletLike): Wallet => {
  if (typeof wallet !== 'object' || wallet === null) throw new PadlockError('wallet_unsupported')
  if ('getAddresses' in wallet && 'signMessage' in wallet) return fromWalletClient(wallet)
  if ('signMessage' in wallet && 'address' in wallet) return fromAccount(wallet)
  if ('request' in wallet) return fromProvider(wallet)
  throw new PadlockError('wallet_unsupported')
}

const fromAccount = (account: AccountLike): Wallet => ({
  getAddress: async () => account.address,
  signText: async (message, address) => {
    requireSame(account.address, address)
    return toBytes(await asking(() => account.signMessage({ message })))
  },
})

const fromWalletClient = (client: WalletClientLike): Wallet => {
  const getAddress = async () => {
    const address = client.account?.address ?? (await asking(() => client.getAddresses()))[0]
    if (typeof address !== 'string') throw new PadlockError('wallet_failed')
    return address
  }
  return {
    getAddress,
    signText: async (message, address) => {
      const account = await getAddress()
      requireSame(account, address)
      if (!isHex(account)) throw new PadlockError('wallet_failed')
      return toBytes(await asking(() => client.signMessage({ account, message })))
    },
  }
}

const fromProvider = (provider: ProviderLike): Wallet => {
  const accounts = async (method: string): Promise<string | undefined> => {
    const list = await asking(() => provider.request({ method }))
    return Array.isArray(list) && typeof list[0] === 'string' ? list[0] : undefined
  }
  const getAddress = async () => {
    // Asking for what is already allowed never prompts (EIP-1102).
    const address = (await accounts('eth_accounts')) ?? (await accounts('eth_requestAccounts'))
    if (address === undefined) throw new PadlockError('wallet_failed')
    return address
  }
  return {
    getAddress,
    signText: async (message, address) => {
      requireSame(await getAddress(), address)
      const hex = bytesToHex(utf8ToBytes(message))
      const params = [`0x${hex}`, address]
      return toBytes(await asking(() => provider.request({ method: 'personal_sign', params })))
    },
  }
}

const requireSame = (have: string, want: string): void => {
  if (have.toLowerCase() !== want.toLowerCase()) throw new PadlockError('wallet_wrong_account')
}

const isHex = (text: string): text is `0x${string}` => text.startsWith('0x')

const toBytes = (signature: unknown): Uint8Array => {
  if (typeof signature !== 'string' || !/^0x([0-9a-fA-F]{2})+$/.test(signature)) {
    throw new PadlockError('wallet_failed')
  }
  return hexToBytes(signature.slice(2))
}

/** EIP-1193: 4001 is the person's no. viem keeps it as `code`, sometimes one `cause` down. */
const asking = async <T>(ask: () => Promise<T>): Promise<T> => {
  try {
    return await ask()
  } catch (cause) {
    if (cause instanceof PadlockError) throw cause
    let error: unknown = cause
    for (let depth = 0; depth < 5 && typeof error === 'object' && error !== null; depth++) {
      if ('code' in error && error.code === 4001)
        throw new PadlockError('wallet_rejected', { cause })
      error = 'cause' in error ? error.cause : undefined
    }
    throw new PadlockError('wallet_failed', { cause })
  }
}
