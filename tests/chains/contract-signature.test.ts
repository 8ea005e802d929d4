/**
 * Contract accounts on a real chain: which signatures count, which never do, and when the chain has no
 * say. The SDK and the node must judge them alike: one suite, run over both.
 */
import { createPublicClient, custom, type Hex, hashMessage, hexToBytes, http } from 'viem'
import { privateKeyToAccount } from 'viem/accounts'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openChains } from '../../node/src/chains/chains.ts'
import { chainsFrom } from '../../src/chains/chain-option.ts'
import type { Address } from '../../src/protocol/ids.ts'
import { startRpcServer } from '../node/rpc-server.ts'
import { type LocalChain, startLocalChain, wrapSignature } from '../support/local-chain.ts'
import { addressOf } from './addresses.ts'

interface Question {
  readonly chainId: bigint
  readonly address: Address
  readonly text: string
  readonly signature: Uint8Array
}

interface Asker {
  verify(question: Question): Promise<string>
  close(): void
}

interface Caller {
  readonly name: string
  /** Its word for a chain that could not be asked. */
  readonly away: string
  /** Its word for a no that may pass, as a server may be some blocks behind. */
  readonly doubtful: string
  /** Asks the server of one chain; `troubles` gets why it could not. */
  open(id: bigint, url: string, troubles: string[]): Asker
}

const sdk: Caller = {
  name: 'the SDK',
  away: 'unreachable',
  doubtful: 'doubtful',
  open(id, url) {
    const client = createPublicClient({ transport: http(url, { retryCount: 0 }) })
    const provider = { request: custom(client)({}).request }
    const forms = [url, new URL(url), client, provider].map((like) =>
      chainsFrom({ [Number(id)]: like }, { timeoutMs: 30_000 }),
    )
    const never = new AbortController().signal
    return {
      // A URL, a viem client and an EIP-1193 provider must say the same.
      async verify({ text, ...question }) {
        const asked = { ...question, hash: hexToBytes(hashMessage(text)) }
        const words = await Promise.all(forms.map((chains) => chains.verify(asked, never)))
        expect(new Set(words).size).toBe(1)
        return words[0] ?? 'none'
      },
      close() {},
    }
  },
}

const node: Caller = {
  name: 'the node',
  away: 'unavailable',
  doubtful: 'unavailable',
  open: (id, url, troubles) =>
    openChains(new Map([[id, url]]), { onTrouble: (of, why) => troubles.push(`${of}: ${why}`) }),
}

const owner = privateKeyToAccount(`0x${'1'.repeat(64)}`)
const other = privateKeyToAccount(`0x${'2'.repeat(64)}`)
const text = 'XMTP: Grant Messaging Access\n\nAccount Address: … ünïcode\nChain ID: 31337'

const saltOf = (byte: string): Hex => `0x${byte.repeat(32)}`

describe.each([sdk, node])('$name', ({ away, doubtful, open }) => {
  let chain: LocalChain
  let asker: Asker
  let signature: Hex
  let ofAnother: Hex
  const troubles: string[] = []
  beforeAll(async () => {
    chain = await startLocalChain()
    asker = open(chain.id, chain.url, troubles)
    signature = await owner.signMessage({ message: text })
    ofAnother = await other.signMessage({ message: text })
  })
  afterAll(async () => {
    asker.close()
    await chain.close()
  })

  const question = (address: Address, by: Hex, about = text): Question => ({
    chainId: chain.id,
    address,
    text: about,
    signature: hexToBytes(by),
  })
  const verify = (address: Address, by: Hex, about?: string) =>
    asker.verify(question(address, by, about))

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
    expect(await verify(wallet.address, signature)).toBe(doubtful)
  })

  test('section 3: a wrapped signature still counts when its wallet was deployed since', async () => {
    const wallet = await chain.prepareWallet(owner.address, saltOf('02'))
    await chain.deployPrepared(wallet)
    expect(await verify(wallet.address, wrapSignature(wallet, signature))).toBe('valid')
    expect(await verify(wallet.address, signature)).toBe('valid')
    expect(await verify(wallet.address, wrapSignature(wallet, ofAnother))).toBe('invalid')
  })

  test('section 3: a deployment for another address, of nothing, or that fails makes no account', async () => {
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
    expect(await verify(anothers.address, wrapSignature(wallet, signature))).toBe('invalid')
  })

  test('section 3: a wrapping cannot change a deployed wallet that says no, and a broken one is invalid', async () => {
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

  test("section 3: an ordinary account's own signature is not a contract's, bare or wrapped", async () => {
    const account = addressOf(owner.address)
    const { factory, factoryData } = await chain.prepareWallet(owner.address, saltOf('06'))
    expect(await verify(account, signature)).toBe(doubtful)
    expect(await verify(account, wrapSignature({ factory, factoryData }, signature))).toBe(
      'invalid',
    )
    const toItself = { factory: owner.address, factoryData: '0x' } as const
    expect(await verify(account, wrapSignature(toItself, signature))).toBe('invalid')
  })

  test('section 3: an account that delegates to a contract has the word of that contract', async () => {
    const takesItself = privateKeyToAccount(`0x${'3'.repeat(64)}`)
    await chain.delegate(takesItself, await chain.deploy('SelfOwnedWallet'))
    const good = await takesItself.signMessage({ message: text })
    expect(await verify(addressOf(takesItself.address), good)).toBe('delegated')
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
    'TrueWallet',
    'VerboseWallet',
    'SimulationWallet',
  ])('what a %s answers is a plain no', async (name) => {
    troubles.length = 0
    const wallet = await chain.deploy(name)
    const { factory, factoryData } = await chain.prepareWallet(owner.address, saltOf('07'))
    expect(await verify(wallet, signature)).toBe('invalid')
    expect(await verify(wallet, wrapSignature({ factory, factoryData }, signature))).toBe('invalid')
    expect(troubles).toEqual([])
  })

  test('a contract that answers nothing at all may be one that the server does not have yet', async () => {
    const wallet = await chain.deploy('SilentWallet')
    expect(await verify(wallet, signature)).toBe(doubtful)
  })

  test('section 3: a precompile that echoes the question is no account', async () => {
    const identity = addressOf(`0x${'0'.repeat(39)}4`)
    const { factory, factoryData } = await chain.prepareWallet(owner.address, saltOf('08'))
    expect(await verify(identity, signature)).toBe(doubtful)
    expect(await verify(identity, wrapSignature({ factory, factoryData }, signature))).toBe(
      'invalid',
    )
  })

  test('section 3: a contract cannot make the caller ask a URL', async () => {
    const listener = await startRpcServer(() => '0x')
    try {
      const wallet = await chain.deploy('LookupWallet', [`${listener.url}/{sender}/{data}`])
      expect(await verify(wallet, signature)).toBe('invalid')
      expect(listener.asked).toEqual([])
    } finally {
      await listener.close()
    }
  })

  test('section 3: a chain that is away has no say, and has it when it is back', async () => {
    const wallet = await chain.deployWallet(owner.address)
    expect(await verify(wallet, signature)).toBe('valid')
    chain.leave()
    expect(await verify(wallet, signature)).toBe(away)
    expect(await verify(wallet, ofAnother)).toBe(away)
    chain.comeBack()
    expect(await verify(wallet, signature)).toBe('valid')
    expect(await verify(wallet, ofAnother)).toBe('invalid')
  })

  test('section 3: a chain that is not named, or behind the URL of another, has no say', async () => {
    const wallet = await chain.deployWallet(owner.address)
    const asked = { ...question(wallet, signature), chainId: 1n }
    const mistaken = open(1n, chain.url, [])
    expect(await mistaken.verify(asked)).toBe(away)
    expect(await mistaken.verify(asked)).toBe(away)
    expect(await asker.verify(asked)).toBe(away)
    mistaken.close()
  })
})
