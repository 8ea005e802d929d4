/**
 * The wallets that applications bring: each one's signature recovers, and each failure has a code.
 */

import { BrowserProvider, Wallet as EthersWallet, JsonRpcSigner } from 'ethers'
import { createWalletClient, custom, recoverMessageAddress } from 'viem'
import { privateKeyToAccount } from 'viem/accounts'
import { expect, test } from 'vitest'
import { PadlockError } from '../../src/errors.ts'
import { encodeHex } from '../../src/protocol/bytes.ts'
import { walletFrom } from '../../src/wallet/wallet-like.ts'

const account = privateKeyToAccount(`0x${'1'.repeat(64)}`)
const other = privateKeyToAccount(`0x${'2'.repeat(64)}`)
const text = 'XMTP: Grant Messaging Access\n\nAccount Address: … ünïcode'

interface Asked {
  readonly method: string
  readonly params?: unknown
}

/** What a browser extension injects: holds both accounts' keys, shows those it is told to. */
const aProvider = (
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

const showing =
  (...addresses: string[]) =>
  () =>
    addresses

const recover = (signature: Uint8Array) =>
  recoverMessageAddress({ message: text, signature: `0x${encodeHex(signature)}` })

const codeOf = async (call: Promise<unknown>): Promise<string> => {
  try {
    await call
  } catch (error) {
    expect(error).toBeInstanceOf(PadlockError)
    return error instanceof PadlockError ? error.code : ''
  }
  return 'no error'
}

const rejection = () => Object.assign(new Error('User rejected the request.'), { code: 4001 })

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
