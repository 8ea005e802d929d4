/** What an application names as a chain: providers that misbehave, answers that are none, and what is refused. */
import { createPublicClient, type Hex, hashMessage, hexToBytes, http } from 'viem'
import { privateKeyToAccount } from 'viem/accounts'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type ChainLike, chainsFrom } from '../../src/chains/chain-option.ts'
import type { SignatureStatus } from '../../src/chains/chains.ts'
import { PadlockError } from '../../src/errors.ts'
import type { Address } from '../../src/protocol/ids.ts'
import { startRpcServer } from '../node/rpc-server.ts'
import { type LocalChain, startLocalChain } from '../support/local-chain.ts'
import { addressOf } from './addresses.ts'

const owner = privateKeyToAccount(`0x${'1'.repeat(64)}`)
const text = 'XMTP: Grant Messaging Access'
const never = new AbortController().signal

let chain: LocalChain
let signature: Hex
beforeAll(async () => {
  chain = await startLocalChain()
  signature = await owner.signMessage({ message: text })
})
afterAll(() => chain.close())

const question = (address: Address, chainId = chain.id) => ({
  chainId,
  address,
  hash: hexToBytes(hashMessage(text)),
  signature: hexToBytes(signature),
})

const askAt = (like: ChainLike, address: Address): Promise<SignatureStatus> =>
  chainsFrom({ [Number(chain.id)]: like }, { timeoutMs: 30_000 }).verify(question(address), never)

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
  expect(await askAt(fickle, wallet)).toBe('unreachable')
  expect(asked).toBe(2)
})

test('answers that are none are unreachable: too long, no hex, errors, silence', async () => {
  const address = addressOf(owner.address)
  const yes = `0x1626ba7e${'0'.repeat(56)}`
  const id = `0x${chain.id.toString(16)}`
  const wordOf = (answer: unknown) =>
    askAt({ request: async ({ method }) => (method === 'eth_chainId' ? id : answer) }, address)
  for (const answer of [null, 5, {}, '', 'abc']) expect(await wordOf(answer)).toBe('unreachable')
  // A contract that says anything but yes says no.
  for (const answer of [yes.slice(0, 60), `0x${'0'.repeat(63)}1`, `${yes.slice(0, 65)}1`]) {
    expect(await wordOf(answer)).toBe('invalid')
  }
  const like = {
    request: async ({ method }: { method: string }) => (method === 'eth_chainId' ? id : yes),
  }
  expect(await askAt(like, address)).toBe('valid')
  let requests = 0
  const silent = {
    request: () => {
      requests += 1
      return new Promise<never>(() => undefined)
    },
  }
  const chains = chainsFrom({ 1: silent }, { timeoutMs: 2_000, places: 2 })
  const asked = question(address, 1n)
  const before = await Promise.all([1, 2, 3].map(() => chains.verify(asked, never)))
  expect(before).toEqual(['unreachable', 'unreachable', 'unreachable'])
  // The third found no place.
  expect(requests).toBe(2)
  const long = await startRpcServer(() => `0x${'0'.repeat(3_000_000)}`)
  try {
    expect(await askAt(long.url, address)).toBe('unreachable')
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
  const ask = () => chains.verify(question(wallet), never)
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

test('what is no chain is refused when it is given', () => {
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
