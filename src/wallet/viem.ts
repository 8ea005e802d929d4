/**
 * The wallets that applications have: a viem account, a viem wallet client, an EIP-1193 provider.
 * Their shapes are declared here, so that viem need not be loaded.
 */

import { type ErrorDetails, PadlockError } from '../errors.ts'
import type { Wallet } from './wallet.ts'
import { findChainOf } from './wallet-chain.ts'

/** A viem account that signs by itself, such as `privateKeyToAccount` or `toSafeSmartAccount` makes. */
export interface AccountLike {
  readonly address: string
  /** Set on smart accounts: it names the chain. */
  readonly client?: object | undefined
  signMessage(arg: { message: string }): Promise<string>
}

/** A viem wallet client. */
export interface WalletClientLike {
  readonly account?: { readonly address: string } | undefined
  getAddresses(): Promise<readonly string[]>
  /**
   * Without an account, the client's own one signs: it may hold a key that its transport does not.
   */
  signMessage(arg: { account?: `0x${string}`; message: string }): Promise<string>
}

/** An EIP-1193 provider, such as one that a browser extension injects. */
export interface ProviderLike {
  request(arg: { method: string; params?: unknown }): Promise<unknown>
}

/**
 * What `createClient` takes as `wallet`.
 *
 * @example
 * import { generatePrivateKey, privateKeyToAccount } from 'viem/accounts'
 *
 * const wallet = privateKeyToAccount(generatePrivateKey())
 * const client = await createClient({ wallet, node: 'https://node.example' })
 */
export type WalletLike = AccountLike | WalletClientLike | ProviderLike

/** @throws PadlockError wallet_unsupported */
export const walletFrom = (wallet: WalletLike): Wallet => {
  if (typeof wallet !== 'object' || wallet === null) throw new PadlockError('wallet_unsupported')
  if ('getAddresses' in wallet && 'signMessage' in wallet) return fromWalletClient(wallet)
  if ('signMessage' in wallet && 'address' in wallet && typeof wallet.address === 'string') {
    return fromAccount(wallet)
  }
  if ('request' in wallet) return fromProvider(wallet)
  throw new PadlockError('wallet_unsupported')
}

const fromAccount = (account: AccountLike): Wallet => ({
  getAddress: async () => account.address,
  signText: async (message, address) => {
    requireSame(account.address, address)
    return toBytes(await asking(() => account.signMessage({ message })))
  },
  findChain: (address) => findChainOf(account.client, address),
})

const fromWalletClient = (client: WalletClientLike): Wallet => ({
  getAddress: async () =>
    client.account?.address ?? first(readAddresses(await asking(() => client.getAddresses()))),
  signText: async (message, address) => {
    if (client.account) {
      requireSame(client.account.address, address)
      return toBytes(await asking(() => client.signMessage({ message })))
    }
    const account = requireOne(readAddresses(await asking(() => client.getAddresses())), address)
    return toBytes(await asking(() => client.signMessage({ account, message })))
  },
  findChain: (address) => findChainOf(client, address),
})

const fromProvider = (provider: ProviderLike): Wallet => {
  const accounts = async () => {
    // Requesting accounts that are already allowed never prompts (EIP-1102).
    const allowed = readAddresses(await asking(() => provider.request({ method: 'eth_accounts' })))
    if (allowed.length > 0) return allowed
    return readAddresses(await asking(() => provider.request({ method: 'eth_requestAccounts' })))
  }
  return {
    getAddress: async () => first(await accounts()),
    signText: async (message, address) => {
      const account = requireOne(await accounts(), address)
      const params = [toHex(message), account]
      return toBytes(await asking(() => provider.request({ method: 'personal_sign', params })))
    },
    findChain: (address) => findChainOf(provider, address),
  }
}

/** Some wallets put a whole request into their message. */
const maxWords = 500

const isAddress = (text: unknown): text is `0x${string}` =>
  typeof text === 'string' && /^0x[0-9a-fA-F]{40}$/.test(text)

/** The accounts that a wallet returns, which may not be a list of addresses at all. */
const readAddresses = (list: unknown): readonly `0x${string}`[] => {
  if (!Array.isArray(list)) throw new PadlockError('wallet_failed')
  return list.map((address: unknown) => {
    if (!isAddress(address)) throw new PadlockError('wallet_failed')
    return address
  })
}

const first = (addresses: readonly string[]): string => {
  const [address] = addresses
  if (address === undefined) throw new PadlockError('wallet_failed')
  return address
}

/**
 * The wanted account as the wallet writes it: a wallet may allow several, with the wanted one not
 * first.
 */
const requireOne = (have: readonly `0x${string}`[], want: string): `0x${string}` => {
  const account = have.find((address) => address.toLowerCase() === want.toLowerCase())
  if (account === undefined) throw new PadlockError('wallet_wrong_account')
  return account
}

const requireSame = (have: string, want: string): void => {
  if (have.toLowerCase() !== want.toLowerCase()) throw new PadlockError('wallet_wrong_account')
}

/** Without a library: this is all the hex that the main thread needs. */
const toHex = (text: string): string => {
  const digits = (byte: number) => byte.toString(16).padStart(2, '0')
  return `0x${Array.from(new TextEncoder().encode(text), digits).join('')}`
}

const toBytes = (signature: unknown): Uint8Array => {
  if (typeof signature !== 'string' || !/^0x([0-9a-fA-F]{2})+$/.test(signature)) {
    throw new PadlockError('wallet_failed')
  }
  const pairs = signature.slice(2).match(/../g) ?? []
  return Uint8Array.from(pairs, (pair) => Number.parseInt(pair, 16))
}

const asking = async <T>(ask: () => Promise<T>): Promise<T> => {
  try {
    return await ask()
  } catch (cause) {
    throw readFailure(cause)
  }
}

/** An error from another frame may refuse to be read; then nothing is known about it. */
const readFailure = (cause: unknown): PadlockError => {
  try {
    if (cause instanceof PadlockError) return cause
    const refusal = findRefusal(cause, maxDepth)
    const code = refusal === undefined ? 'wallet_failed' : 'wallet_rejected'
    return new PadlockError(code, { details: wordsOf(refusal ?? cause), cause })
  } catch {
    return new PadlockError('wallet_failed', { cause })
  }
}

/** viem, ethers and extensions wrap what a wallet said two or three times. */
const maxDepth = 5
const wrappings = ['cause', 'error', 'info', 'data', 'originalError']

/**
 * A person's no: 4001 of EIP-1193, 5000 to 5003 of CAIP-25 (WalletConnect), ethers' own name for
 * it, and status 0x6985 of a Ledger.
 */
const refusals: ReadonlySet<unknown> = new Set([
  4001,
  5000,
  5001,
  5002,
  5003,
  0x6985,
  'ACTION_REJECTED',
])
/** Some wallets say it only in words, with another failure's code or none. */
const refusalWords =
  /\b(?:user|person) (?:has )?(?:rejected|denied|declined|cancell?ed|disapproved)\b|\brejected by (?:the )?user\b/i

/** The part of an error that says no; undefined if none does. */
const findRefusal = (error: unknown, depth: number): unknown => {
  if (typeof error === 'string') return refusalWords.test(error) ? error : undefined
  if (typeof error !== 'object' || error === null || depth === 0) return undefined
  const read = (key: string): unknown => (key in error ? Reflect.get(error, key) : undefined)
  const codes = [read('code'), read('statusCode')]
  // Some give the number as text.
  const asNumber = (code: unknown) => (typeof code === 'string' ? Number(code) : code)
  if (codes.some((code) => refusals.has(code) || refusals.has(asNumber(code)))) return error
  const message = read('message')
  if (typeof message === 'string' && refusalWords.test(message)) return error
  for (const key of wrappings) {
    const inner = findRefusal(read(key), depth - 1)
    if (inner !== undefined) return inner
  }
  return undefined
}

/** A wallet's own code and words, for the developer who needs to know why. */
const wordsOf = (error: unknown): ErrorDetails => {
  if (typeof error !== 'object' || error === null) {
    return typeof error === 'string' ? { walletMessage: error.slice(0, maxWords) } : {}
  }
  const code = 'code' in error ? error.code : undefined
  const message = 'message' in error ? error.message : undefined
  return {
    ...(typeof code === 'number' || typeof code === 'string' ? { walletCode: code } : {}),
    ...(typeof message === 'string' ? { walletMessage: message.slice(0, maxWords) } : {}),
  }
}
