/** The wallets that applications bring: each one's signature recovers to the account that it names. */

import { BrowserProvider, Wallet as EthersWallet, JsonRpcSigner } from 'ethers'
import { createWalletClient, custom, recoverMessageAddress } from 'viem'
import { expect, test } from 'vitest'
import { PadlockError } from '../../src/errors.ts'
import { encodeHex } from '../../src/protocol/bytes.ts'
import { walletFrom } from '../../src/wallet/wallet-like.ts'
import { account, aProvider, codeOf, other, showing, text } from './support.ts'

const recover = (signature: Uint8Array) =>
  recoverMessageAddress({ message: text, signature: `0x${encodeHex(signature)}` })

const wallets = {
  'a viem account': () => account,
  'a wallet of ethers': () => new EthersWallet(`0x${'1'.repeat(64)}`),
  'a signer of ethers over an injected provider': () =>
    new JsonRpcSigner(
      new BrowserProvider(aProvider(showing(account.address)), 1, { staticNetwork: true }),
      account.address,
    ),
  'a viem wallet client over an injected provider': () =>
    createWalletClient({ transport: custom(aProvider(showing(account.address))) }),
  'a viem wallet client with a hoisted address': () =>
    createWalletClient({
      account: account.address,
      transport: custom(aProvider(showing(account.address))),
    }),
  'a viem wallet client with a local account, whose transport has no keys': () =>
    createWalletClient({
      account,
      transport: custom({
        request: async () => {
          throw new Error('a public endpoint signs nothing')
        },
      }),
    }),
  'an EIP-1193 provider': () => aProvider(showing(account.address)),
}

for (const [name, make] of Object.entries(wallets)) {
  test(`${name} names its account and signs what recovers to it`, async () => {
    const wallet = walletFrom(make())
    expect(await wallet.getAddress()).toBe(account.address)
    const signature = await wallet.signText(text, account.address.toLowerCase())
    expect(signature).toHaveLength(65)
    expect(await recover(signature)).toBe(account.address)
  })

  test(`${name} does not sign for an account that it is not`, async () => {
    const wallet = walletFrom(make())
    expect(await codeOf(wallet.signText(text, other.address))).toBe('wallet_wrong_account')
  })
}

test('a provider is asked for what it allows already before it prompts', async () => {
  const known = aProvider(showing(account.address))
  await walletFrom(known).getAddress()
  expect(known.asked).toEqual(['eth_accounts'])

  const unknown = aProvider(showing(account.address), async ({ method }) =>
    method === 'eth_accounts' ? [] : undefined,
  )
  expect(await walletFrom(unknown).getAddress()).toBe(account.address)
  expect(unknown.asked).toEqual(['eth_accounts', 'eth_requestAccounts'])
})

test('any account that the wallet allows may sign, not only the selected one', async () => {
  const provider = aProvider(showing(other.address, account.address))
  for (const wallet of [
    walletFrom(provider),
    walletFrom(createWalletClient({ transport: custom(provider) })),
  ]) {
    expect(await wallet.getAddress()).toBe(other.address)
    expect(await recover(await wallet.signText(text, account.address))).toBe(account.address)
  }
})

test('an account that was switched away between naming and signing is refused', async () => {
  let shown = account.address
  const provider = aProvider(() => [shown])
  for (const wallet of [
    walletFrom(provider),
    walletFrom(createWalletClient({ transport: custom(provider) })),
  ]) {
    shown = account.address
    const address = await wallet.getAddress()
    shown = other.address
    provider.asked.length = 0
    expect(await codeOf(wallet.signText(text, address))).toBe('wallet_wrong_account')
    expect(provider.asked).not.toContain('personal_sign')
  }
})

test('anything but a wallet is wallet_unsupported', () => {
  const jsonRpcAccount = { address: account.address, type: 'json-rpc' }
  const withoutAddress = { signMessage: async () => '0x' }
  const ofEthers = { send: async () => null, getSigner: async () => null }
  const things: unknown[] = [
    ofEthers,
    null,
    undefined,
    'wallet',
    5,
    {},
    [],
    jsonRpcAccount,
    withoutAddress,
  ]
  things.push({ address: 5, signMessage: async () => '0x' }, () => undefined)
  for (const thing of things) {
    let code: unknown
    try {
      // Applications in JavaScript pass anything.
      Reflect.apply(walletFrom, undefined, [thing])
    } catch (error) {
      code = error instanceof PadlockError ? error.code : error
    }
    expect(code).toBe('wallet_unsupported')
  }
})

test.each([
  ['a promise', Promise.resolve(account), 'await it first'],
  ['a provider of ethers', { send: async () => null, getSigner: async () => null }, 'getSigner()'],
  ['a JSON-RPC account of viem', { address: account.address, type: 'json-rpc' }, 'wallet client'],
])('%s is named for what it is', (_name, thing, words) => {
  const take = () => Reflect.apply(walletFrom, undefined, [thing])
  expect(take).toThrow(words)
})
