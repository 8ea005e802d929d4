import { expect, test } from 'vitest'
import type { Chains } from '../../../src/chains/chains.ts'
import type { Network } from '../../../src/network/network.ts'
import { decodeHex } from '../../../src/protocol/bytes.ts'
import { parseContactBundle } from '../../../src/protocol/contact.ts'
import { contactTopic } from '../../../src/protocol/topics.ts'
import { aTurnedClock } from '../../support/cheating-clock.ts'
import { addressOf } from '../../support/checked.ts'
import {
  aCouple,
  asContract,
  askable,
  aWorld,
  chain,
  openLive,
  say,
  stateOf,
  statesOf,
  textsOf,
  topicOf,
} from '../../support/contract-world.ts'
import {
  anAccount,
  anEngineWorld,
  type EngineWorld,
  freshDatabase,
  never,
  until,
  untilTexts,
} from '../../support/engine.ts'
import { wrapSignature } from '../../support/local-chain.ts'

/** Heartbeats look at what is parked too: without them only news do. */
const withoutHeartbeats = (real: Network): Network => ({
  ...real,
  subscribe: async function* (positions, proof, signal) {
    for await (const frame of real.subscribe(positions, proof, signal)) {
      if (frame.kind !== 'heartbeat') yield frame
    }
  },
})

const kindsOf = async (world: EngineWorld, account: { readonly address: string }) =>
  (await topicOf(world, contactTopic(addressOf(account)))).map(({ message }) => {
    const bundle = parseContactBundle(message)
    return bundle.ok && bundle.value.signature.kind
  })

test('a contract account registers with its chain in the text, is written to and answers', async () => {
  const world = await aWorld()
  const { safe, atSafe, bob, openBob } = await aCouple(world)
  expect(world.asked).toHaveLength(1)
  expect(world.asked[0]).toMatch(new RegExp(`\\nChain ID: ${chain.id}$`))
  expect(await kindsOf(world, safe)).toEqual(['erc1271'])

  const atBob = await openBob()
  expect(await atBob.engine.canMessage(safe.address)).toBe(true)
  const { id } = await atBob.engine.conversation(safe.address)
  await say(atBob, id, 'gm')
  expect(await untilTexts(atSafe, id, 1)).toEqual(['gm'])
  await say(atSafe, id, 'gm, from a contract')
  expect(await untilTexts(atBob, id, 2)).toEqual(['gm', 'gm, from a contract'])
  expect(await statesOf(atSafe, bob.address)).toEqual(['valid'])
})

test('the first messages of a contract account arrive as soon as its chain was asked', async () => {
  const world = await aWorld()
  const { atSafe, bob, openBob } = await aCouple(world)
  const atBob = await openBob()
  const { id } = await atSafe.engine.conversation(bob.address)
  for (const text of ['one', 'two', 'three']) await say(atSafe, id, text)
  expect(await untilTexts(atBob, id, 3)).toEqual(['one', 'two', 'three'])
})

test('an account that is not deployed yet registers with a wrapped signature (ERC-6492)', async () => {
  const world = await aWorld()
  const owner = anAccount()
  const wallet = await chain.prepareWallet(owner.address)
  const safe = asContract(owner, wallet.address)
  const atSafe = await openLive(world, {
    account: safe,
    database: freshDatabase(),
    contractChainId: chain.id,
    chains: askable(),
    sign: async (message) =>
      decodeHex(wrapSignature(wallet, await owner.signMessage({ message })).slice(2)) ??
      new Uint8Array(),
  })
  const atBob = await openLive(world, {
    account: anAccount(),
    database: freshDatabase(),
    chains: askable(),
  })
  const { id } = await atBob.engine.conversation(safe.address)
  await say(atBob, id, 'to the future')
  expect(await untilTexts(atSafe, id, 1)).toEqual(['to the future'])
})

test('while the chain is away nothing is sent to a contract account or shown of it; then all is', async () => {
  const world = await aWorld()
  const { safe, atSafe, bob, openBob } = await aCouple(world)
  const atBob = await openBob(askable(), { network: withoutHeartbeats })
  chain.leave()
  try {
    const { id } = await atBob.engine.conversation(safe.address)
    expect(await statesOf(atBob, safe.address)).toEqual(['unverified'])
    expect(await atBob.engine.canMessage(safe.address)).toBe(false)
    const waiting = await atBob.engine.send(id, 'from Bob')
    await until(async () => {
      const [message] = await atBob.engine.history(id, undefined, 1)
      return message?.reason === 'chain_unavailable'
    })
    expect(await topicOf(world, contactTopic(addressOf(safe)))).toHaveLength(1)
    await atSafe.engine.conversation(bob.address)
    await say(atSafe, id, 'from the contract, one')
    await say(atSafe, id, 'from the contract, two')
    expect(await textsOf(atBob, id)).toEqual(['from Bob'])

    chain.comeBack()
    expect((await atBob.engine.whenSent(waiting.id, never)).state).toBe('sent')
    await untilTexts(atSafe, id, 3)
    await untilTexts(atBob, id, 3)
    expect(await textsOf(atBob, id)).toEqual([
      'from the contract, one',
      'from the contract, two',
      'from Bob',
    ])
    expect(await textsOf(atSafe, id)).toEqual(await textsOf(atBob, id))
    expect(await statesOf(atBob, safe.address)).toEqual(['valid'])
  } finally {
    chain.comeBack()
  }
})

test('a message from a contract account has its chain asked before the back-off is over', async () => {
  const world = await aWorld()
  const { safe, atSafe, bob, openBob } = await aCouple(world)
  const clock = aTurnedClock()
  let asked = 0
  const away: Chains = {
    ids: new Set([chain.id]),
    verify: async () => {
      asked += 1
      return 'unreachable'
    },
  }
  const atBob = await openBob(away, {
    network: withoutHeartbeats,
    platform: {
      ...clock.platform,
      // The clock decides what is due; who waits looks at it often.
      wait: (ms, signal) => clock.platform.wait?.(Math.min(ms, 20), signal) ?? Promise.resolve(),
    },
  })
  const { id } = await atBob.engine.conversation(safe.address)
  await atSafe.engine.conversation(bob.address)
  expect(await statesOf(atBob, safe.address)).toEqual(['unverified'])
  for (let time = 0; time < 9; time += 1) {
    const before = asked
    clock.turn(60_000)
    await until(() => asked > before)
  }
  // The next would be due in half a minute at least.
  const before = asked
  clock.turn(3_000)
  await say(atSafe, id, 'are you there?')
  await until(() => asked > before)
})

test('a client that knows no chain keeps what waits, also over a restart, until the chain is named', async () => {
  const world = await aWorld()
  const { safe, atSafe, bob, openBob } = await aCouple(world)
  const before = await openBob({ ids: new Set(), verify: async () => 'unreachable' })
  const { id } = await before.engine.conversation(safe.address)
  await before.engine.send(id, 'waits')
  await atSafe.engine.conversation(bob.address)
  await say(atSafe, id, 'is parked')
  expect(await statesOf(before, safe.address)).toEqual(['unverified'])
  await before.engine.close()

  const after = await openBob()
  expect((await untilTexts(after, id, 2)).sort()).toEqual(['is parked', 'waits'])
  expect((await untilTexts(atSafe, id, 2)).sort()).toEqual(['is parked', 'waits'])
})

test('a chain’s yes is kept: nobody asks again, and the chain may be away', async () => {
  const world = await aWorld()
  const { safe, atSafe, openBob } = await aCouple(world)
  const first = askable()
  const before = await openBob(first)
  const { id } = await before.engine.conversation(safe.address)
  await say(before, id, 'one')
  expect(first.asked).toHaveLength(1)
  await before.engine.close()

  const second = askable()
  const after = await openBob(second)
  await say(after, id, 'two')
  expect(await untilTexts(atSafe, id, 2)).toEqual(['one', 'two'])
  expect(await statesOf(after, safe.address)).toEqual(['valid'])
  expect(second.asked).toEqual([])
})

test('a forged grant that a cheating node took is never valid', async () => {
  const world = await aWorld({ isCheating: true })
  const { safe, bob, openBob } = await aCouple(world)
  const atBob = await openBob()
  const { id } = await atBob.engine.conversation(safe.address)
  await say(atBob, id, 'to the real one')
  const mallory = anAccount()
  const atMallory = await openLive(world, {
    account: asContract(mallory, safe.address),
    database: freshDatabase(),
    contractChainId: chain.id,
  })
  expect(await stateOf(atBob, safe.address, atMallory.engine.installationId)).toBe('unverified')
  await atMallory.engine.conversation(bob.address)
  await say(atMallory, id, 'I am the contract')
  await say(atBob, id, 'secret')
  expect(await textsOf(atBob, id)).toEqual(['to the real one', 'secret'])
  const inbox = `message-${atMallory.engine.installationId}`
  const lying = await world.node.store.page([{ topic: inbox, afterSequence: 0n }], {
    envelopes: 500,
    bytes: 1e9,
  })
  expect(lying.envelopes).toEqual([])
})

test('an ordinary address never becomes a contract account by what a node serves', async () => {
  const world = await aWorld({ isCheating: true })
  const carol = anAccount()
  const mallory = anAccount()
  await openLive(world, {
    account: asContract(mallory, carol.address),
    database: freshDatabase(),
    contractChainId: chain.id,
  })
  const atBob = await openLive(world, {
    account: anAccount(),
    database: freshDatabase(),
    chains: askable(),
  })
  expect(await statesOf(atBob, carol.address)).toEqual(['unverified'])
  expect(await atBob.engine.canMessage(carol.address)).toBe(false)
})

test('a wallet that signs for no contract of the chain is refused before anything is published', async () => {
  const world = await aWorld()
  const owner = anAccount()
  const address = await chain.deployWallet(owner.address)
  for (const chains of [askable(), undefined]) {
    const opening = world.open({
      account: asContract(anAccount(), address),
      database: freshDatabase(),
      contractChainId: chain.id,
      ...(chains && { chains }),
    })
    await expect(opening).rejects.toMatchObject({ code: 'wallet_wrong_account' })
  }
  expect(await topicOf(world, contactTopic(address))).toEqual([])
})

test('an account that is deployed a little later registers without another signature', async () => {
  const world = await aWorld()
  const owner = anAccount()
  const later = await chain.prepareWallet(owner.address)
  const database = freshDatabase()
  const account = asContract(owner, later.address)
  const open = () => world.open({ account, database, contractChainId: chain.id })
  // The node's server may be some blocks behind: nobody is told that they hold another account.
  await expect(open()).rejects.toMatchObject({ code: 'chain_unavailable', retryable: true })
  await chain.deployPrepared(later)
  await open()
  expect(world.asked).toHaveLength(1)
  expect(await topicOf(world, contactTopic(later.address))).toHaveLength(1)
})

test('an application that named the wrong chain names the right one, and the wallet is asked again', async () => {
  const other = await anEngineWorld({
    chains: {
      ids: [5n, chain.id],
      verify: async ({ chainId }) => (chainId === chain.id ? 'valid' : 'unavailable'),
      close: () => undefined,
    },
  })
  const owner = anAccount()
  const database = freshDatabase()
  const open = (contractChainId: bigint) =>
    other.open({ account: owner, database, contractChainId, sign: async () => new Uint8Array(100) })
  await expect(open(5n)).rejects.toMatchObject({ code: 'chain_unavailable' })
  await expect(open(5n)).rejects.toMatchObject({ code: 'chain_unavailable' })
  expect(other.asked).toHaveLength(1)
  await open(chain.id)
  expect(other.asked).toHaveLength(2)
})
