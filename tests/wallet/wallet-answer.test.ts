/** What a wallet answers: signatures and accounts in every form that wallets give them, and nothing else. */

import { createWalletClient, custom } from 'viem'
import { expect, test } from 'vitest'
import { walletFrom } from '../../src/wallet/wallet-like.ts'
import { type Asked, account, aProvider, codeOf, showing, text } from './support.ts'

const answering = (answer: unknown) =>
  walletFrom({
    request: async ({ method }: Asked) => (method === 'eth_accounts' ? [account.address] : answer),
  })

test.each([
  ['', 'an empty text'],
  ['0x123', 'a text of 5 characters'],
  ['0xzz', 'a text of 4 characters'],
  [` 0x${'00'.repeat(65)}`, 'a text of 133 characters'],
  [5, 'a number'],
  [null, 'nothing'],
  [undefined, 'nothing'],
  [{}, 'an empty object'],
  [{ safeTxHash: '0x12', chainId: 1 }, 'an object with safeTxHash, chainId'],
  [{ signature: null }, 'an object with signature'],
  [['0x12'], 'a list of 1'],
])('anything but a signature is wallet_failed, and says what it was: %o', async (answer, is) => {
  const error = await answering(answer)
    .signText(text, account.address)
    .catch((error: unknown) => error)
  expect(error).toMatchObject({ code: 'wallet_failed', details: { walletAnswer: is } })
})

test.each([
  ['capital letters', '0xABCD', [0xab, 0xcd]],
  ['0X', '0Xabcd', [0xab, 0xcd]],
  ['no 0x', 'abcd', [0xab, 0xcd]],
  ['bytes', Uint8Array.of(0xab, 0xcd), [0xab, 0xcd]],
  ['an object', { signature: '0xabcd' }, [0xab, 0xcd]],
  ['a JSON-RPC response', { id: 1, jsonrpc: '2.0', result: '0xabcd' }, [0xab, 0xcd]],
  ['none yet, of a Safe', '0x', []],
])('a signature is read in every form that wallets give it: %s', async (_name, answer, bytes) => {
  expect(await answering(answer).signText(text, account.address)).toEqual(Uint8Array.from(bytes))
})

test('accounts are read in a JSON-RPC response, too, and in capital letters', async () => {
  const capitals = account.address.toUpperCase()
  for (const answer of [[capitals], { id: 1, jsonrpc: '2.0', result: [account.address] }]) {
    const provider = { request: async () => answer }
    const address = await walletFrom(provider).getAddress()
    expect(address.toLowerCase()).toBe(account.address.toLowerCase())
  }
})

test('a wallet whose accounts are not a list of addresses is wallet_failed', async () => {
  for (const answer of [[], null, undefined, 'x', {}, [5], [null], ['0x'], { 0: '0x' }]) {
    const provider = { request: async () => answer }
    expect(await codeOf(walletFrom(provider).getAddress())).toBe('wallet_failed')
    const client = createWalletClient({ transport: custom(aProvider(showing())) })
    const odd = { ...client, getAddresses: provider.request }
    expect(await codeOf(walletFrom(odd).getAddress())).toBe('wallet_failed')
  }
})
