/**
 * Which chain a wallet is on, and whether its account is a contract there: checked on a real chain.
 */

import { createPublicClient, createWalletClient, http } from 'viem'
import { privateKeyToAccount } from 'viem/accounts'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { walletFrom } from '../../src/wallet/wallet-like.ts'
import { type LocalChain, startLocalChain } from '../support/local-chain.ts'

const owner = privateKeyToAccount(`0x${'1'.repeat(64)}`)

let chain: LocalChain
beforeAll(async () => {
  chain = await startLocalChain()
})
afterAll(() => chain.close())

/** Wallets of every kind whose account is this address. */
const walletsOf = (address: `0x${string}`) => {
  const transport = http(chain.url, { retryCount: 0 })
  const provider = createPublicClient({ transport })
  return {
    'an EIP-1193 provider': walletFrom({
      request: async (arg: { method: string; params?: unknown }): Promise<unknown> =>
        Reflect.apply(provider.request, undefined, [arg]),
    }),
    'a viem wallet client': walletFrom(createWalletClient({ account: address, transport })),
    'a smart account': walletFrom({ ...owner, address, client: provider }),
  }
}

test('an account with code is a contract on the wallet’s chain', async () => {
  const address = await chain.deployWallet(owner.address)
  for (const [name, wallet] of Object.entries(walletsOf(address as `0x${string}`))) {
    const found = { chainId: chain.id, code: 'contract' }
    expect([name, await wallet.findChain(address)]).toEqual([name, found])
  }
})

test('an ordinary account is none, nor is a contract account that is not deployed yet', async () => {
  const later = await chain.prepareWallet(owner.address)
  for (const address of [owner.address, later.address as `0x${string}`]) {
    for (const [name, wallet] of Object.entries(walletsOf(address))) {
      const found = { chainId: chain.id, code: 'none' }
      expect([name, await wallet.findChain(address)]).toEqual([name, found])
    }
  }
})

test('an ordinary account that delegates to a contract (EIP-7702) still signs with its key', async () => {
  const delegating = privateKeyToAccount(`0x${'3'.repeat(64)}`)
  await chain.delegate(delegating, await chain.deploy('SelfOwnedWallet'))
  for (const [name, wallet] of Object.entries(walletsOf(delegating.address))) {
    const found = { chainId: chain.id, code: 'delegated' }
    expect([name, await wallet.findChain(delegating.address)]).toEqual([name, found])
  }
})

test('only the designator itself is one: code that begins like it is a contract', async () => {
  const designator = `0xef0100${'ab'.repeat(20)}`
  for (const [code, found] of [
    [designator, 'delegated'],
    [designator.toUpperCase().replace('0X', '0x'), 'delegated'],
    [`${designator}00`, 'contract'],
    [designator.slice(0, -2), 'contract'],
    ['0x00', 'contract'],
    ['0x', 'none'],
    ['0x0', undefined],
    [undefined, undefined],
    [5, undefined],
  ]) {
    const wallet = walletFrom({
      request: async ({ method }: { method: string }) => (method === 'eth_chainId' ? '0x5' : code),
    })
    expect([code, await wallet.findChain(owner.address)]).toEqual([
      code,
      { chainId: 5n, code: found },
    ])
  }
})

test('a smart account signs like a contract even before it is deployed', async () => {
  const later = await chain.prepareWallet(owner.address)
  const address = later.address as `0x${string}`
  const transport = http(chain.url, { retryCount: 0 })
  const smart = { ...owner, address, type: 'smart' as const }
  for (const wallet of [
    walletFrom({ ...smart, client: createPublicClient({ transport }) }),
    walletFrom({ ...createWalletClient({ transport }), account: smart }),
  ]) {
    expect(await wallet.findChain(address)).toEqual({ chainId: chain.id, code: 'contract' })
  }
})

test('a wallet that names no chain has none: no answer, an error, or no chain id', async () => {
  expect(await walletFrom(owner).findChain(owner.address)).toBeUndefined()
  for (const answer of [undefined, null, '', '0x', '0x0', '0xzz', `0x1${'0'.repeat(16)}`]) {
    const wallet = walletFrom({ request: async () => answer })
    expect([answer, await wallet.findChain(owner.address)]).toEqual([answer, undefined])
  }
  for (const request of [
    () => Promise.reject(new Error('unsupported')),
    () => {
      throw new Error('unsupported')
    },
  ]) {
    expect(await walletFrom({ request }).findChain(owner.address)).toBeUndefined()
  }
})

test('a wallet that does not answer holds nobody up', async () => {
  vi.useFakeTimers()
  try {
    const wallet = walletFrom({ request: () => new Promise<never>(() => undefined) })
    const found = wallet.findChain(owner.address)
    await vi.advanceTimersByTimeAsync(5_000)
    expect(await found).toBeUndefined()
  } finally {
    vi.useRealTimers()
  }
})

test.each([31337, '31337', 31337n, 'eip155:31337', '0x7a69', '0x7A69', '0X7A69', '0x07a69'])(
  'a chain id is understood in every form that wallets give it: %o',
  async (answer) => {
    const request = async ({ method }: { method: string }) =>
      method === 'eth_chainId' ? answer : '0x'
    const found = { chainId: 31337n, code: 'none' }
    expect(await walletFrom({ request }).findChain(owner.address)).toEqual(found)
  },
)

test.each([0, -1, 1.5, Number.NaN, 0n, '', '0x', '1e3', ' 1', 'mainnet', {}, null, '9'.repeat(40)])(
  'anything but a chain id names no chain: %o',
  async (answer) => {
    const request = async ({ method }: { method: string }) =>
      method === 'eth_chainId' ? answer : '0x'
    expect(await walletFrom({ request }).findChain(owner.address)).toBeUndefined()
  },
)
