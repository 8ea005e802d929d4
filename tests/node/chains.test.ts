/** Contract accounts on a real chain: which signatures count, which never do, and when the chain has no say. */
import { type Hex, hexToBytes } from 'viem'
import { privateKeyToAccount } from 'viem/accounts'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Chains, openChains } from '../../node/src/chains/chains.ts'
import type { ContractQuestion } from '../../node/src/rules/signature-status.ts'
import { type Address, parseAddress } from '../../src/protocol/ids.ts'
import { type LocalChain, startLocalChain, wrapSignature } from '../support/local-chain.ts'
import { startRpcServer } from './rpc-server.ts'

const owner = privateKeyToAccount(`0x${'1'.repeat(64)}`)
const other = privateKeyToAccount(`0x${'2'.repeat(64)}`)
const text = 'XMTP: Grant Messaging Access\n\nAccount Address: … ünïcode\nChain ID: 31337'

let chain: LocalChain
let chains: Chains
let signature: Hex
let ofAnother: Hex
const troubles: string[] = []
beforeAll(async () => {
  chain = await startLocalChain()
  chains = openChains(new Map([[chain.id, chain.url]]), {
    onTrouble: (id, why) => troubles.push(`${id}: ${why}`),
  })
  signature = await owner.signMessage({ message: text })
  ofAnother = await other.signMessage({ message: text })
})
afterAll(async () => {
  chains.close()
  await chain.close()
})

const question = (address: Address, by: Hex, about = text): ContractQuestion => ({
  chainId: chain.id,
  address,
  text: about,
  signature: hexToBytes(by),
})
const verify = (address: Address, by: Hex, about?: string) =>
  chains.verify(question(address, by, about))

function addressOf(account: Hex): Address {
  const address = parseAddress(account)
  if (!address.ok) throw new Error(address.why)
  return address.value
}

const saltOf = (byte: string): Hex => `0x${byte.repeat(32)}`

test('section 3: a deployed wallet takes the signature of its owner over this text, and no other', async () => {
  const wallet = await chain.deployWallet(owner.address)
  expect(await verify(wallet, signature)).toBe('valid')
  expect(await verify(wallet, ofAnother)).toBe('invalid')
  expect(await verify(wallet, signature, `${text}.`)).toBe('invalid')
  expect(await verify(wallet, '0x')).toBe('invalid')
  expect(await verify(wallet, `${signature}00`)).toBe('invalid')
})

test('section 3: a wallet that is not deployed yet takes the wrapped signature of its owner', async () => {
  const wallet = await chain.prepareWallet(owner.address, saltOf('01'))
  expect(await verify(wallet.address, wrapSignature(wallet, signature))).toBe('valid')
  expect(await verify(wallet.address, wrapSignature(wallet, ofAnother))).toBe('invalid')
  expect(await verify(wallet.address, wrapSignature(wallet, signature), 'else')).toBe('invalid')
  expect(await verify(wallet.address, signature)).toBe('invalid')
})

test('section 3: a wrapped signature still counts when its wallet was deployed since', async () => {
  const wallet = await chain.prepareWallet(owner.address, saltOf('02'))
  await chain.deployPrepared(wallet)
  expect(await verify(wallet.address, wrapSignature(wallet, signature))).toBe('valid')
  expect(await verify(wallet.address, signature)).toBe('valid')
  expect(await verify(wallet.address, wrapSignature(wallet, ofAnother))).toBe('invalid')
})

test('section 3: the deployment of one wallet is none for another address', async () => {
  const own = await chain.prepareWallet(owner.address, saltOf('03'))
  const anothers = await chain.prepareWallet(other.address, saltOf('03'))
  expect(await verify(anothers.address, wrapSignature(own, signature))).toBe('invalid')
})

test('section 3: a deployment that deploys nothing, or fails, makes no account', async () => {
  const wallet = await chain.prepareWallet(owner.address, saltOf('04'))
  const reverting = await chain.deploy('RevertingWallet')
  const looping = await chain.deploy('LoopingWallet')
  const deployments: readonly { factory: Hex; factoryData: Hex }[] = [
    // deployNothing() of the factory
    { factory: wallet.factory, factoryData: '0xc493cddc' },
    { factory: wallet.factory, factoryData: '0x' },
    { factory: reverting, factoryData: wallet.factoryData },
    { factory: looping, factoryData: wallet.factoryData },
    { factory: other.address, factoryData: wallet.factoryData },
  ]
  for (const deployment of deployments) {
    expect(await verify(wallet.address, wrapSignature(deployment, signature))).toBe('invalid')
  }
})

test('section 3: a wrapping cannot change a deployed wallet that says no', async () => {
  const wallet = await chain.deployWallet(owner.address)
  const { factory, factoryData } = await chain.prepareWallet(owner.address, saltOf('05'))
  const wrapped = wrapSignature({ factory, factoryData }, ofAnother)
  expect(await verify(wallet, wrapped)).toBe('invalid')
})

test('section 3: a wrapping that cannot be read is invalid', async () => {
  const wallet = await chain.deployWallet(owner.address)
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

test('section 3: an account that delegates to a contract has the word of that contract', async () => {
  const takesItself = privateKeyToAccount(`0x${'3'.repeat(64)}`)
  await chain.delegate(takesItself, await chain.deploy('SelfOwnedWallet'))
  const good = await takesItself.signMessage({ message: text })
  expect(await verify(addressOf(takesItself.address), good)).toBe('valid')
  expect(await verify(addressOf(takesItself.address), signature)).toBe('invalid')

  // The wallet's owner is in the storage of each account, and this one has none.
  const ownerless = privateKeyToAccount(`0x${'4'.repeat(64)}`)
  await chain.delegate(ownerless, await chain.deployWallet(ownerless.address))
  const plain = await ownerless.signMessage({ message: text })
  expect(await verify(addressOf(ownerless.address), plain)).toBe('invalid')
})

test('section 3: a new owner ends what the old one may sign', async () => {
  const wallet = await chain.deployWallet(owner.address)
  expect(await verify(wallet, signature)).toBe('valid')
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
])('what a %s answers is no yes', async (name) => {
  troubles.length = 0
  const wallet = await chain.deploy(name)
  const { factory, factoryData } = await chain.prepareWallet(owner.address, saltOf('07'))
  expect(await verify(wallet, signature)).toBe('invalid')
  expect(await verify(wallet, wrapSignature({ factory, factoryData }, signature))).toBe('invalid')
  expect(troubles).toEqual([])
})

test('section 3: a precompile that echoes the question is no account', async () => {
  const identity = addressOf(`0x${'0'.repeat(39)}4`)
  const { factory, factoryData } = await chain.prepareWallet(owner.address, saltOf('08'))
  expect(await verify(identity, signature)).toBe('invalid')
  expect(await verify(identity, wrapSignature({ factory, factoryData }, signature))).toBe('invalid')
})

test('section 3: a contract cannot make the node ask a URL', async () => {
  const listener = await startRpcServer(() => '0x')
  try {
    const wallet = await chain.deploy('LookupWallet', [`${listener.url}/{sender}/{data}`])
    expect(await verify(wallet, signature)).toBe('invalid')
    expect(listener.asked).toEqual([])
  } finally {
    await listener.close()
  }
})

test('section 3: a chain that is away is unavailable, and has its say when it is back', async () => {
  const wallet = await chain.deployWallet(owner.address)
  expect(await verify(wallet, signature)).toBe('valid')
  chain.leave()
  expect(await verify(wallet, signature)).toBe('unavailable')
  expect(await verify(wallet, ofAnother)).toBe('unavailable')
  chain.comeBack()
  expect(await verify(wallet, signature)).toBe('valid')
  expect(await verify(wallet, ofAnother)).toBe('invalid')
})

test('section 3: a chain behind the URL of another is unavailable, whatever it would say', async () => {
  const wallet = await chain.deployWallet(owner.address)
  const reasons: string[] = []
  const mistaken = openChains(new Map([[1n, chain.url]]), {
    onTrouble: (_, why) => reasons.push(why),
  })
  const asked = { ...question(wallet, signature), chainId: 1n }
  expect(await mistaken.verify(asked)).toBe('unavailable')
  expect(await mistaken.verify(asked)).toBe('unavailable')
  expect(reasons).toEqual(Array(2).fill('its server answers for chain 31337'))
})

test('section 3: a chain without a server is unavailable', async () => {
  const wallet = await chain.deployWallet(owner.address)
  expect(await chains.verify({ ...question(wallet, signature), chainId: 5n })).toBe('unavailable')
  expect(chains.ids).toEqual([31_337n])
})
