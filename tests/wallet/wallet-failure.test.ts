/** What a wallet throws: a person's no, an open prompt and an accident each have their code. */

import { createWalletClient, custom } from 'viem'
import { expect, test } from 'vitest'
import { PadlockError } from '../../src/errors.ts'
import { walletFrom } from '../../src/wallet/wallet-like.ts'
import { account, aProvider, codeOf, rejection, showing, text } from './support.ts'

test('the person’s no is wallet_rejected, however deep viem wraps it', async () => {
  const saysNo = aProvider(showing(account.address), async ({ method }) => {
    if (method === 'personal_sign') throw rejection()
    return undefined
  })
  const wrapped = { ...account, signMessage: async () => Promise.reject(wrap(rejection(), 3)) }
  for (const wallet of [
    walletFrom(saysNo),
    walletFrom(createWalletClient({ transport: custom(saysNo) })),
    walletFrom({ ...account, signMessage: async () => Promise.reject(rejection()) }),
    walletFrom(wrapped),
  ]) {
    const error = await wallet.signText(text, account.address).catch((error: unknown) => error)
    expect(error).toMatchObject({ code: 'wallet_rejected', retryable: false })
    expect(error).toHaveProperty('cause')
  }
})

test('a no to showing any account is wallet_rejected', async () => {
  const provider = aProvider(showing(), async ({ method }) => {
    if (method === 'eth_requestAccounts') throw rejection()
    return undefined
  })
  expect(await codeOf(walletFrom(provider).getAddress())).toBe('wallet_rejected')
})

test('every other failure of a wallet is wallet_failed', async () => {
  const endless: { cause?: unknown } = new Error('a circle')
  endless.cause = endless
  for (const failure of [new Error('locked'), { code: -32603 }, 'a text', undefined, endless]) {
    const provider = aProvider(showing(account.address), async ({ method }) => {
      if (method === 'personal_sign') throw failure
      return undefined
    })
    const failing = { ...account, signMessage: () => Promise.reject(failure) }
    const throwing = {
      ...account,
      signMessage: (): Promise<string> => {
        throw failure
      },
    }
    for (const wallet of [provider, failing, throwing]) {
      expect(await codeOf(walletFrom(wallet).signText(text, account.address))).toBe('wallet_failed')
    }
  }
})

const wrap = (error: Error, times: number): Error =>
  times === 0 ? error : wrap(new Error('wrapped', { cause: error }), times - 1)

test('a wallet’s own code and words are kept, cut to a length that can be read', async () => {
  const failing = (thrown: unknown) =>
    walletFrom({ address: account.address, signMessage: () => Promise.reject(thrown) })
  const detailsOf = async (thrown: unknown): Promise<unknown> => {
    const error: unknown = await failing(thrown)
      .signText(text, account.address)
      .catch((caught: unknown) => caught)
    return error instanceof PadlockError ? [error.code, error.details] : error
  }
  const busy = Object.assign(new Error('Already pending.'), { code: -32002 })
  expect(await detailsOf(busy)).toEqual([
    'wallet_pending',
    { walletCode: -32002, walletMessage: 'Already pending.' },
  ])
  const denied = Object.assign(new Error('Denied.'), { code: 4001 })
  const wrapped = new Error('The request failed.', { cause: denied })
  expect(await detailsOf(wrapped)).toEqual([
    'wallet_rejected',
    { walletCode: 4001, walletMessage: 'Denied.' },
  ])
  expect(await detailsOf('no')).toEqual(['wallet_failed', { walletMessage: 'no' }])
  expect(await detailsOf({ message: 'x'.repeat(2_000), code: {} })).toEqual([
    'wallet_failed',
    { walletMessage: 'x'.repeat(500) },
  ])
  expect(await detailsOf(undefined)).toEqual(['wallet_failed', {}])
})

const no = { code: 4001, message: 'Nope.' }
test.each([
  ['EIP-1193', no],
  ['a text for a number', { ...no, code: '4001' }],
  ['WalletConnect', { code: 5000, message: 'Nope.' }],
  ['WalletConnect, methods', { code: 5002, message: 'Nope.' }],
  ['ethers', { code: 'ACTION_REJECTED', message: 'Nope.' }],
  ['a Ledger', { name: 'TransportStatusError', statusCode: 0x6985, message: 'Nope.' }],
  ['an accident’s code with words', { code: -32000, message: 'User cancelled' }],
  ['words alone', 'User denied message signature.'],
  ['words alone, short', new Error('Cancelled')],
  ['words of an Argent', new Error('User abort')],
  ['words of a Coinbase wallet', new Error('User closed modal')],
  ['words of a WalletConnect modal', new Error('Connection request reset. Please try again.')],
  ['words of a Ledger', new Error('Condition of use not satisfied (denied by the user?)')],
  ['a Trezor', { code: 'Failure_ActionCancelled', message: 'Nope.' }],
  ['a Ledger of today', { statusCode: 0x5501, message: 'Nope.' }],
  ['ethers, wrapped', { code: 'UNKNOWN_ERROR', info: { error: no } }],
  ['an extension, wrapped', { code: -32603, data: { originalError: no } }],
  ['an error in an error', { message: 'failed', error: no }],
  ['viem, wrapped twice', new Error('a', { cause: new Error('b', { cause: no }) })],
])('a person’s no is wallet_rejected: %s', async (_name, thrown) => {
  const refusing = walletFrom({
    address: account.address,
    signMessage: () => Promise.reject(thrown),
  })
  expect(await codeOf(refusing.signText(text, account.address))).toBe('wallet_rejected')
  const provider = walletFrom({ request: () => Promise.reject(thrown) })
  expect(await codeOf(provider.getAddress())).toBe('wallet_rejected')
})

test.each([
  ['not allowed yet', { code: 4100, message: 'The user has not authorized this account.' }],
  ['another code', { code: 4200, message: 'unsupported' }],
  ['a request that somebody ended', new Error('The user aborted a request.')],
  ['a server’s no', { code: -32000, message: 'request rejected: rate limit' }],
  ['no code', new Error('The device is locked.')],
])('an accident is wallet_failed: %s', async (_name, thrown) => {
  const failing = walletFrom({
    address: account.address,
    signMessage: () => Promise.reject(thrown),
  })
  expect(await codeOf(failing.signText(text, account.address))).toBe('wallet_failed')
})

test.each([
  ['a prompt is open already', { code: -32002, message: 'Nope.' }],
  ['as text', { code: '-32002', message: 'Nope.' }],
  ['words alone', new Error('Request of type personal_sign already pending for origin x')],
  ['words of a MetaMask', { code: -32603, message: 'Already processing eth_requestAccounts.' }],
  ['viem, wrapped', new Error('a', { cause: { code: -32002, message: 'Nope.' } })],
])('a prompt that is open already is wallet_pending: %s', async (_name, thrown) => {
  const busy = walletFrom({ request: () => Promise.reject(thrown) })
  const error = await busy.getAddress().catch((caught: unknown) => caught)
  expect(error).toMatchObject({ code: 'wallet_pending', retryable: true })
})

/** As errors of frames of another origin are. */
const unreadable = (): object => {
  const { proxy, revoke } = Proxy.revocable({}, {})
  revoke()
  return proxy
}

test.each([
  ['a symbol for a code', { code: Symbol('no') }],
  ['an error that may not be read', unreadable()],
  [
    'a getter that throws',
    {
      get message(): string {
        throw new Error('not for you')
      },
    },
  ],
] as const)('an error that is strange is wallet_failed: %s', async (_name, thrown) => {
  const failing = walletFrom({
    address: account.address,
    signMessage: () => Promise.reject(thrown),
  })
  expect(await codeOf(failing.signText(text, account.address))).toBe('wallet_failed')
})

test('an error that holds itself is read to its end', async () => {
  const endless: Record<string, unknown> = { message: 'round and round' }
  endless.cause = endless
  const failing = walletFrom({
    address: account.address,
    signMessage: () => Promise.reject(endless),
  })
  expect(await codeOf(failing.signText(text, account.address))).toBe('wallet_failed')
})
