/** Contract accounts on a real chain, as the SDK asks about them: which signatures count, and which never do. */

import { createPublicClient, custom, type Hex, hashMessage, hexToBytes, http } from 'viem'
import { privateKeyToAccount } from 'viem/accounts'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type ChainLike, chainsFrom } from '../../src/chains/chain-option.ts'
import type { SignatureStatus } from '../../src/chains/chains.ts'
import { PadlockError } from '../../src/errors.ts'
import { type Address, parseAddress } from '../../src/protocol/ids.ts'
import { startRpcServer } from '../node/rpc-server.ts'
import { type LocalChain, startLocalChain, wrapSignature } from '../support/local-chain.ts'

const owner = privateKeyToAccount(`0x${'1'.repeat(64)}`)
const other = privateKeyToAccount(`0x${'2'.repeat(64)}`)
const text = 'XMTP: Grant Messaging Access\n\nAccount Address: … ünïcode\nChain ID: 31337'
const never = new AbortController().signal

let chain: LocalChain
let signature: Hex
let ofAnother: Hex
beforeAll(async () => {
  chain = await startLocalChain()
  signature = await owner.signMessage({ message: text })
  ofAnother = await other.signMessage({ message: text })
})
afterAll(() => chain.close())

const question = (address: Address, by: Hex, about: string, chainId = chain.id) => ({
  chainId,
  address,
  hash: hexToBytes(hashMessage(about)),
  signature: hexToBytes(by),
})

const askAt = (
  like: ChainLike,
  address: Address,
  by: Hex,
  about = text,
): Promise<SignatureStatus> =>
  chainsFrom({ [Number(chain.id)]: like }, { timeoutMs: 30_000 }).verify(
    question(address, by, about),
    never,
  )

/** The word over HTTP; a viem client and an EIP-1193 provider must say the same. */
const verify = async (address: Address, by: Hex, about?: string): Promise<SignatureStatus> => {
  const client = createPublicClient({ transport: http(chain.url, { retryCount: 0 }) })
  const provider = { request: custom(client)({}).request }
  const words = await Promise.all(
    [chain.url, new URL(chain.url), client, provider].map((like) =>
      askAt(like, address, by, about),
    ),
  )
  expect(new Set(words).size).toBe(1)
  return words[0] ?? 'unreachable'
}

const addressOf = (account: string): Address => {
  const address = parseAddress(account)
  if (!address.ok) throw new Error(address.why)
  return address.value
}

const saltOf = (byte: string): Hex => `0x${byte.repeat(32)}`

test('a deployed wallet takes the signature of its owner over this text, and no other', async () => {
  const wallet = await chain.deployWallet(owner.address)
  expect(await verify(wallet, signature)).toBe('valid')
  expect(await verify(wallet, ofAnother)).toBe('invalid')
  expect(await verify(wallet, signature, `${text}.`)).toBe('invalid')
  expect(await verify(wallet, '0x')).toBe('invalid')
  expect(await verify(wallet, `${signature}00`)).toBe('invalid')
})

test('a wallet that is not deployed yet takes the wrapped signature of its owner', async () => {
  const wallet = await chain.prepareWallet(owner.address, saltOf('01'))
  expect(await verify(wallet.address, wrapSignature(wallet, signature))).toBe('valid')
  expect(await verify(wallet.address, wrapSignature(wallet, ofAnother))).toBe('invalid')
  expect(await verify(wallet.address, wrapSignature(wallet, signature), 'else')).toBe('invalid')
  expect(await verify(wallet.address, signature)).toBe('invalid')
})

test('a wrapped signature still counts when its wallet was deployed since', async () => {
  const wallet = await chain.prepareWallet(owner.address, saltOf('02'))
  await chain.deployPrepared(wallet)
  expect(await verify(wallet.address, wrapSignature(wallet, signature))).toBe('valid')
  expect(await verify(wallet.address, wrapSignature(wallet, ofAnother))).toBe('invalid')
})

test('a deployment for another address, of nothing, or that fails makes no account', async () => {
  const wallet = await chain.prepareWallet(owner.address, saltOf('04'))
  const anothers = await chain.prepareWallet(other.address, saltOf('04'))
  const deployments: readonly { factory: Hex; factoryData: Hex }[] = [
    anothers,
    // deployNothing() of the factory
    { factory: wallet.factory, factoryData: '0xc493cddc' },
    { factory: wallet.factory, factoryData: '0x' },
    { factory: await chain.deploy('RevertingWallet'), factoryData: wallet.factoryData },
    { factory: await chain.deploy('LoopingWallet'), factoryData: wallet.factoryData },
    { factory: other.address, factoryData: wallet.factoryData },
  ]
  for (const deployment of deployments) {
    expect(await verify(wallet.address, wrapSignature(deployment, signature))).toBe('invalid')
  }
})

test('a wrapping cannot change a deployed wallet that says no, and a broken one is invalid', async () => {
  const wallet = await chain.deployWallet(owner.address)
  const { factory, factoryData } = await chain.prepareWallet(owner.address, saltOf('05'))
  const wrapped = wrapSignature({ factory, factoryData }, ofAnother)
  expect(await verify(wallet, wrapped)).toBe('invalid')
  const magic = '6492'.repeat(16)
  for (const broken of [
    `0x${magic}`,
    `${signature}${magic}`,
    `0x${'ff'.repeat(96)}${magic}`,
  ] as const) {
    expect(await verify(wallet, broken)).toBe('invalid')
  }
})

test("an ordinary account's own signature is not a contract's, bare or wrapped", async () => {
  const account = addressOf(owner.address)
  const { factory, factoryData } = await chain.prepareWallet(owner.address, saltOf('06'))
  expect(await verify(account, signature)).toBe('invalid')
  expect(await verify(account, wrapSignature({ factory, factoryData }, signature))).toBe('invalid')
  const toItself = { factory: owner.address, factoryData: '0x' } as const
  expect(await verify(account, wrapSignature(toItself, signature))).toBe('invalid')
})

test('an account that delegates to a contract gets the answer of that contract', async () => {
  const takesItself = privateKeyToAccount(`0x${'3'.repeat(64)}`)
  await chain.delegate(takesItself, await chain.deploy('SelfOwnedWallet'))
  const good = await takesItself.signMessage({ message: text })
  expect(await verify(addressOf(takesItself.address), good)).toBe('valid')
  expect(await verify(addressOf(takesItself.address), signature)).toBe('invalid')
})

test('a new owner ends what the old one may sign', async () => {
  const wallet = await chain.deployWallet(owner.address)
  await chain.changeOwner(wallet, owner, other.address)
  expect(await verify(wallet, signature)).toBe('invalid')
  expect(await verify(wallet, ofAnother)).toBe('valid')
})

test.each([
  'RevertingWallet',
  'SilentlyRevertingWallet',
  'GasBurningWallet',
  'LoopingWallet',
  'ShortWallet',
  'DirtyWallet',
  'SilentWallet',
  'TrueWallet',
  'VerboseWallet',
  'SimulationWallet',
])('what a %s answers is a plain no', async (name) => {
  const wallet = await chain.deploy(name)
  const { factory, factoryData } = await chain.prepareWallet(owner.address, saltOf('07'))
  expect(await verify(wallet, signature)).toBe('invalid')
  expect(await verify(wallet, wrapSignature({ factory, factoryData }, signature))).toBe('invalid')
})

test('a precompile that echoes the call is not an account', async () => {
  const identity = addressOf(`0x${'0'.repeat(39)}4`)
  expect(await verify(identity, signature)).toBe('invalid')
})

test('a contract cannot make the client ask a URL', async () => {
  const listener = await startRpcServer(() => '0x')
  try {
    const wallet = await chain.deploy('LookupWallet', [`${listener.url}/{sender}/{data}`])
    expect(await verify(wallet, signature)).toBe('invalid')
    expect(listener.asked).toEqual([])
  } finally {
    await listener.close()
  }
})

test('a chain that is away is unreachable, and has its say when it is back', async () => {
  const wallet = await chain.deployWallet(owner.address)
  chain.leave()
  expect(await verify(wallet, signature)).toBe('unreachable')
  expect(await verify(wallet, ofAnother)).toBe('unreachable')
  chain.comeBack()
  expect(await verify(wallet, signature)).toBe('valid')
  expect(await verify(wallet, ofAnother)).toBe('invalid')
})

test('a chain that is not named, or behind the URL of another, is unreachable', async () => {
  const wallet = await chain.deployWallet(owner.address)
  const asked = question(wallet, signature, text, 1n)
  expect(await chainsFrom({ 1: chain.url }).verify(asked, never)).toBe('unreachable')
  expect(await chainsFrom({ 5: chain.url }).verify(asked, never)).toBe('unreachable')
})

test('a provider that changes its chain while it is asked has said nothing', async () => {
  const wallet = await chain.deployWallet(owner.address)
  const real = createPublicClient({ transport: http(chain.url, { retryCount: 0 }) }).request
  let asked = 0
  const fickle: ChainLike = {
    request: async (arg) => {
      if (arg.method === 'eth_chainId' && ++asked > 1) return '0x1'
      return Reflect.apply(real, undefined, [arg])
    },
  }
  expect(await askAt(fickle, wallet, signature)).toBe('unreachable')
  expect(asked).toBe(2)
})

test('answers that are none are unreachable: too long, no hex, errors, silence', async () => {
  const address = addressOf(owner.address)
  const yes = `0x1626ba7e${'0'.repeat(56)}`
  const id = `0x${chain.id.toString(16)}`
  const wordOf = (answer: unknown) =>
    askAt(
      { request: async ({ method }) => (method === 'eth_chainId' ? id : answer) },
      address,
      signature,
    )
  for (const answer of [null, 5, {}, '', 'abc']) expect(await wordOf(answer)).toBe('unreachable')
  // A contract that says anything but yes says no.
  for (const answer of [yes.slice(0, 60), `0x${'0'.repeat(63)}1`, `${yes.slice(0, 65)}1`]) {
    expect(await wordOf(answer)).toBe('invalid')
  }
  const like = {
    request: async ({ method }: { method: string }) => (method === 'eth_chainId' ? id : yes),
  }
  expect(await askAt(like, address, signature)).toBe('valid')
  let requests = 0
  const silent = {
    request: () => {
      requests += 1
      return new Promise<never>(() => undefined)
    },
  }
  const chains = chainsFrom({ 1: silent }, { timeoutMs: 2_000, places: 2 })
  const asked = question(address, signature, text, 1n)
  const before = await Promise.all([1, 2, 3].map(() => chains.verify(asked, never)))
  expect(before).toEqual(['unreachable', 'unreachable', 'unreachable'])
  // The third found no place.
  expect(requests).toBe(2)
  const long = await startRpcServer(() => `0x${'0'.repeat(3_000_000)}`)
  try {
    expect(await askAt(long.url, address, signature)).toBe('unreachable')
  } finally {
    await long.close()
  }
})

test('a provider that changes its chain is believed of neither', async () => {
  const wallet = await chain.deployWallet(owner.address)
  const real = createPublicClient({ transport: http(chain.url, { retryCount: 0 }) }).request
  let isElsewhere = false
  /** Called with each call to a contract. */
  let onCall: () => void = () => undefined
  const wandering: ChainLike = {
    request: async (arg) => {
      if (arg.method === 'eth_chainId' && isElsewhere) return '0x1'
      if (arg.method === 'eth_call') onCall()
      return Reflect.apply(real, undefined, [arg])
    },
  }
  const chains = chainsFrom({ [Number(chain.id)]: wandering }, { timeoutMs: 30_000 })
  const ask = () => chains.verify(question(wallet, signature, text), never)
  expect(await ask()).toBe('valid')
  // Away when asked, and back while it answers.
  isElsewhere = true
  onCall = () => {
    isElsewhere = false
  }
  expect(await ask()).toBe('unreachable')
  isElsewhere = false
  expect(await ask()).toBe('valid')
  onCall = () => {
    isElsewhere = true
  }
  expect(await ask()).toBe('unreachable')
})

test('anything but a chain is refused when it is given', () => {
  const options: Record<number, ChainLike>[] = [
    { 0: 'https://rpc.example' },
    { [-1]: 'https://rpc.example' },
    { 1.5: 'https://rpc.example' },
    { 1: 'rpc.example' },
    { 1: 'ftp://rpc.example' },
    { 1: '' },
  ]
  for (const option of options) {
    let code: unknown
    try {
      chainsFrom(option)
    } catch (error) {
      code = error instanceof PadlockError ? error.code : error
    }
    expect(code).toBe('invalid_argument')
  }
})
