/**
 * The wallets that applications have: a viem account, a viem wallet client, an ethers signer, an
 * EIP-1193 provider. Their shapes are declared here, so that no library need be loaded.
 */

import { PadlockError } from '../errors.ts'
import type { Wallet, WalletChain } from './wallet.ts'
import { readAddress, readAddresses, readSignature } from './wallet-answer.ts'
import { findChainOf, type RequestLike } from './wallet-chain.ts'
import { asking } from './wallet-failure.ts'

/** A viem account that signs by itself, such as `privateKeyToAccount` or `toSafeSmartAccount` makes. */
export interface AccountLike {
  readonly address: string
  /** `smart` if a contract answers for it, even before it is deployed. */
  readonly type?: string | undefined
  /** Set on smart accounts: it names the chain. */
  readonly client?: object | undefined
  signMessage(arg: { message: string }): Promise<string>
}

/** A viem wallet client. */
export interface WalletClientLike {
  readonly account?: Pick<AccountLike, 'address' | 'type'> | undefined
  getAddresses(): Promise<readonly string[]>
  /**
   * Without an account, the client's own one signs: it may hold a key that its transport does not.
   */
  signMessage(arg: { account?: `0x${string}`; message: string }): Promise<string>
}

/** A signer of ethers, version 5 or 6: `new Wallet(key)`, or `await provider.getSigner()`. */
export interface EthersSignerLike {
  readonly provider?: object | null | undefined
  getAddress(): Promise<string>
  signMessage(message: string): Promise<string>
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
export type WalletLike = AccountLike | WalletClientLike | EthersSignerLike | ProviderLike

/** @throws PadlockError wallet_unsupported */
export const walletFrom = (wallet: WalletLike): Wallet => {
  if (typeof wallet !== 'object' || wallet === null) throw new PadlockError('wallet_unsupported')
  if (isWalletClient(wallet)) return fromWalletClient(wallet)
  if (isEthersSigner(wallet)) return fromEthersSigner(wallet)
  if (isAccount(wallet)) return fromAccount(wallet)
  if (hasMethod(wallet, 'request')) return fromProvider(wallet as ProviderLike)
  throw new PadlockError('wallet_unsupported', { message: whatItIs(wallet) })
}

/** What was meant, where that can be seen. */
const whatItIs = (wallet: object): string | undefined => {
  if (hasMethod(wallet, 'then')) return 'This is a promise of a wallet: await it first.'
  if (hasMethod(wallet, 'getSigner')) {
    return 'This is a provider of ethers: pass its signer, `await provider.getSigner()`.'
  }
  return 'address' in wallet
    ? 'This account cannot sign by itself: pass the wallet client or provider that signs for it.'
    : undefined
}

const hasMethod = (value: object, name: string): boolean =>
  name in value && typeof Reflect.get(value, name) === 'function'

const isWalletClient = (wallet: object): wallet is WalletClientLike =>
  hasMethod(wallet, 'getAddresses') && hasMethod(wallet, 'signMessage')

/** A smart account of viem has the same two methods, but no provider. */
const isEthersSigner = (wallet: object): wallet is EthersSignerLike =>
  'provider' in wallet && hasMethod(wallet, 'getAddress') && hasMethod(wallet, 'signMessage')

const isAccount = (wallet: object): wallet is AccountLike =>
  hasMethod(wallet, 'signMessage') && 'address' in wallet && typeof wallet.address === 'string'

const fromAccount = (account: AccountLike): Wallet => ({
  getAddress: async () => account.address,
  signText: async (message, address) => {
    requireSame(account.address, address)
    return readSignature(await asking(() => account.signMessage({ message })))
  },
  findChain: async (address) => asOf(account, await findChainOf(account.client, address)),
})

const fromWalletClient = (client: WalletClientLike): Wallet => ({
  getAddress: async () =>
    client.account?.address ?? first(readAddresses(await asking(() => client.getAddresses()))),
  signText: async (message, address) => {
    if (client.account) {
      requireSame(client.account.address, address)
      return readSignature(await asking(() => client.signMessage({ message })))
    }
    const account = requireOne(readAddresses(await asking(() => client.getAddresses())), address)
    return readSignature(await asking(() => client.signMessage({ account, message })))
  },
  findChain: async (address) => asOf(client.account, await findChainOf(client, address)),
})

/** What will be a contract signs like one, so that it is asked only once. */
const asOf = (
  account: Pick<AccountLike, 'type'> | undefined,
  chain: WalletChain | undefined,
): WalletChain | undefined =>
  chain?.code === 'none' && account?.type === 'smart' ? { ...chain, code: 'contract' } : chain

const fromEthersSigner = (signer: EthersSignerLike): Wallet => ({
  getAddress: async () => readAddress(await asking(() => signer.getAddress())),
  signText: async (message, address) => {
    requireSame(readAddress(await asking(() => signer.getAddress())), address)
    return readSignature(await asking(() => signer.signMessage(message)))
  },
  findChain: (address) => findChainOf(requestThrough(signer.provider), address),
})

/** A provider of ethers calls EIP-1193's `request` `send`, with its arguments apart. */
const requestThrough = (provider: unknown): RequestLike | undefined =>
  typeof provider === 'object' && provider !== null && hasMethod(provider, 'send')
    ? {
        request: async ({ method, params = [] }) =>
          Reflect.apply(Reflect.get(provider, 'send'), provider, [method, params]),
      }
    : undefined

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
      return readSignature(
        await asking(() => provider.request({ method: 'personal_sign', params })),
      )
    },
    findChain: (address) => findChainOf(provider, address),
  }
}

const first = (addresses: readonly `0x${string}`[]): `0x${string}` => {
  const [address] = addresses
  if (address !== undefined) return address
  throw new PadlockError('wallet_failed', {
    message: 'The wallet shows this page no account: connect it first.',
  })
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
