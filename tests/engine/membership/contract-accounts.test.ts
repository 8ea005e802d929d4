/**
 * Contract accounts (docs/protocol.md section 3) with real contracts on a real chain: who is written to
 * and heard, and what happens while their chain cannot be asked.
 */

import type { Hex, PrivateKeyAccount } from 'viem'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { type Chains as NodeChains, openChains } from '../../../node/src/chains/chains.ts'
import { chainsFrom } from '../../../src/chains/chain-option.ts'
import type { Chains, ContractQuestion } from '../../../src/chains/chains.ts'
import type { Network, NodeEnvelope } from '../../../src/network/network.ts'
import { decodeHex } from '../../../src/protocol/bytes.ts'
import { parseContactBundle } from '../../../src/protocol/contact.ts'
import { type Address, parseAddress } from '../../../src/protocol/ids.ts'
import { contactTopic, revokedTopic } from '../../../src/protocol/topics.ts'
import type { Store } from '../../../src/store/store.ts'
import { tables } from '../../../src/store/tables.ts'
import { aTurnedClock } from '../../support/cheating-clock.ts'
import {
  anAccount,
  anEngineWorld,
  type EngineWorld,
  freshDatabase,
  type Opened,
  type OpenOptions,
  until,
  untilState,
  untilTexts,
} from '../../support/engine.ts'
import { type LocalChain, startLocalChain, wrapSignature } from '../../support/local-chain.ts'

let chain: LocalChain
beforeAll(async () => {
  chain = await startLocalChain()
  // Compiles the contracts, which takes its time once.
  await chain.deploy('WalletFactory')
})
afterAll(() => chain.close())

const never = new AbortController().signal

const addressOf = ({ address }: { readonly address: string }): Address => {
  const parsed = parseAddress(address)
  if (!parsed.ok) throw new Error(parsed.why)
  return parsed.value
}

/** A node that asks the chain; or one that takes whatever it is given. */
const aWorld = async ({ isCheating = false } = {}): Promise<EngineWorld> => {
  const honest = openChains(new Map([[chain.id, chain.url]]))
  onTestFinished(() => honest.close())
  const cheating: NodeChains = { ...honest, verify: async () => 'valid' }
  return anEngineWorld({ chains: isCheating ? cheating : honest })
}

/** The chain as a client asks it, with what it was asked. */
const askable = (): Chains & { readonly asked: ContractQuestion[] } => {
  const chains = chainsFrom({ [Number(chain.id)]: chain.url }, { timeoutMs: 30_000 })
  const asked: ContractQuestion[] = []
  return {
    ids: chains.ids,
    asked,
    verify: (question, signal) => {
      asked.push(question)
      return chains.verify(question, signal)
    },
  }
}

/** The owner as its contract account: the address is the contract's, the signature the owner's. */
const asContract = (owner: PrivateKeyAccount, address: string): PrivateKeyAccount => ({
  ...owner,
  address: address as Hex,
})

const openLive = async (world: EngineWorld, options: OpenOptions): Promise<Opened> => {
  const opened = await world.open(options)
  await untilState(opened, 'live')
  return opened
}

const openContract = (world: EngineWorld, account: PrivateKeyAccount, database = freshDatabase()) =>
  openLive(world, { account, database, contractChainId: chain.id, chains: askable() })

/** A deployed contract account with one device, and someone with an ordinary one who knows the chain. */
const aCouple = async (world: EngineWorld) => {
  const owner = anAccount()
  const safe = asContract(owner, await chain.deployWallet(owner.address))
  const atSafe = await openContract(world, safe)
  const bob = anAccount()
  const database = freshDatabase()
  const openBob = (chains: Chains = askable(), more: Partial<OpenOptions> = {}) =>
    openLive(world, { account: bob, database, chains, ...more })
  return { owner, safe, atSafe, bob, openBob }
}

/** Heartbeats look at what is parked too: without them only news do. */
const withoutHeartbeats = (real: Network): Network => ({
  ...real,
  subscribe: async function* (positions, proof, signal) {
    for await (const frame of real.subscribe(positions, proof, signal)) {
      if (frame.kind !== 'heartbeat') yield frame
    }
  },
})

const statesOf = async ({ engine }: Opened, address: string): Promise<string[]> =>
  (await engine.installations(address)).map(({ state }) => state)

const stateOf = async ({ engine }: Opened, address: string, id: string) =>
  (await engine.installations(address)).find((one) => one.id === id)?.state

const textsOf = async ({ engine }: Opened, id: string) =>
  (await engine.history(id, undefined, 100)).map(({ content }) => content).reverse()

const say = async ({ engine }: Opened, id: string, text: string) => {
  const { id: message } = await engine.send(id, text)
  expect((await engine.whenSent(message, never)).state).toBe('sent')
}

const topicOf = async (world: EngineWorld, topic: string): Promise<readonly NodeEnvelope[]> =>
  (await world.network.query([{ topic, afterSequence: 0n }])).envelopes

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

test('whoever is written to first by a contract account gets it as soon as its chain was asked', async () => {
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
      return message?.reason === 'no_installation'
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

test('who knows no chain keeps what waits, also over a restart, until the chain is named', async () => {
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

test('what a contract account wrote waits for its chain for two weeks, by both clocks', async () => {
  const dayMs = 86_400_000
  const nobody: Chains = { ids: new Set(), verify: async () => 'unreachable' }
  // Of the own clock and the node's, one alone may run ahead.
  for (const [ownDays, nodeDays, isKept] of [
    [13, 13, true],
    [15, 13, true],
    [13, 15, true],
    [15, 15, false],
  ] as const) {
    const [own, nodes] = [aTurnedClock(), aTurnedClock()]
    const honest = openChains(new Map([[chain.id, chain.url]]))
    onTestFinished(() => honest.close())
    const world = await anEngineWorld({ chains: honest, clock: nodes.nowNs })
    const { atSafe, bob, safe } = await aCouple(world)
    const database = freshDatabase()
    let bobs: Store | undefined
    const keep = (store: Store) => {
      bobs = store
      return store
    }
    const openBob = (chains: Chains) =>
      openLive(world, { account: bob, database, chains, platform: own.platform, store: keep })
    const before = await openBob(nobody)
    const { id } = await atSafe.engine.conversation(bob.address)
    await say(atSafe, id, 'are you there?')
    await until(
      async () => (await bobs?.scan(tables.parked, { after: 0, limit: 9 }))?.rows.length === 1,
    )
    await before.engine.close()

    own.turn(ownDays * dayMs)
    nodes.turn(nodeDays * dayMs)
    const later = await openBob(nobody)
    const warnings = later.engine.status.warnings.map(({ code }) => code)
    expect([ownDays, nodeDays, warnings.includes('unknown_sender')]).toEqual([
      ownDays,
      nodeDays,
      !isKept,
    ])
    await later.engine.close()
    const last = await openBob(askable())
    await until(async () => (await statesOf(last, safe.address))[0] === 'valid')
    if (isKept) expect(await untilTexts(last, id, 1)).toEqual(['are you there?'])
    else expect(await textsOf(last, id)).toEqual([])
  }
})

test('what the chain confirmed is kept: nobody asks again, and the chain may be away', async () => {
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

/** Serves these on a topic, and only these, whatever the node has; more may be added later. */
const serving =
  (lists: ReadonlyMap<string, readonly Uint8Array[]>) =>
  (real: Network): Network => {
    const own = (topic: string, after: bigint): readonly NodeEnvelope[] =>
      (lists.get(topic) ?? []).flatMap((message, at) =>
        BigInt(at) < after
          ? []
          : [{ topic, message, sequence: BigInt(at + 1), nodeNs: BigInt(at + 1) }],
      )
    const lies = (positions: Parameters<Network['query']>[0]) =>
      positions.flatMap(({ topic, afterSequence }) => own(topic, afterSequence))
    const honest = (envelopes: readonly NodeEnvelope[]) =>
      envelopes.filter(({ topic }) => !lists.has(topic))
    return {
      ...real,
      query: async (positions, signal) => {
        const page = await real.query(positions, signal)
        return { ...page, envelopes: [...lies(positions), ...honest(page.envelopes)] }
      },
      subscribe: async function* (positions, proof, signal) {
        for await (const frame of real.subscribe(positions, proof, signal)) {
          if (frame.kind === 'caught_up') yield { kind: 'envelopes', envelopes: lies(positions) }
          if (frame.kind !== 'envelopes') yield frame
          else yield { ...frame, envelopes: honest(frame.envelopes) }
        }
      },
    }
  }

/** The bundles and revocations of an account at a node. */
const publishedBy = async (world: EngineWorld, account: { readonly address: string }) => {
  const address = addressOf(account)
  const bytes = async (topic: string) => (await topicOf(world, topic)).map(({ message }) => message)
  return {
    bundles: await bytes(contactTopic(address)),
    revocations: await bytes(revokedTopic(address)),
  }
}

test('of both kinds the own key’s counts, whichever a node serves first', async () => {
  // An account that delegates to a contract which takes its key: both kinds of signature are good.
  const carol = anAccount()
  await chain.delegate(carol, await chain.deploy('SelfOwnedWallet'))
  const [plain, byContract] = [await aWorld(), await aWorld()]
  const atPlain = await openLive(plain, { account: carol, database: freshDatabase() })
  const atContract = await openContract(byContract, carol)
  const [key] = (await publishedBy(plain, carol)).bundles
  const [contract] = (await publishedBy(byContract, carol)).bundles
  if (!key || !contract) throw new Error('both are published')
  const contact = contactTopic(addressOf(carol))

  for (const order of [
    [key, contract],
    [contract, key],
  ]) {
    const lists = new Map<string, readonly Uint8Array[]>([[contact, order.slice(0, 1)]])
    const chains = askable()
    const world = await anEngineWorld()
    const atBob = await openLive(world, {
      account: anAccount(),
      database: freshDatabase(),
      network: serving(lists),
      chains,
    })
    await atBob.engine.conversation(carol.address)
    const [first] = order
    const firstId = first === key ? atPlain.engine.installationId : atContract.engine.installationId
    expect(await stateOf(atBob, carol.address, firstId)).toBe('valid')
    lists.set(contact, order)
    expect(await stateOf(atBob, carol.address, atPlain.engine.installationId)).toBe('valid')
    expect(await stateOf(atBob, carol.address, atContract.engine.installationId)).not.toBe('valid')
    // Of an account that signs with its key no chain is asked.
    expect(chains.asked).toHaveLength(first === key ? 0 : 1)
  }
})

test('a contract account revokes a device with one signature, and everybody hears of it', async () => {
  const world = await aWorld()
  const { safe, atSafe, bob, openBob } = await aCouple(world)
  const phone = await openContract(world, safe)
  const atBob = await openBob()
  const { id } = await atBob.engine.conversation(safe.address)
  await say(atBob, id, 'to both')
  await untilTexts(phone, id, 1)
  const asked = world.asked.length
  await atSafe.engine.revoke([phone.engine.installationId], never)
  expect(world.asked).toHaveLength(asked + 1)
  expect(world.asked.at(-1)).toMatch(/^XMTP: Revoke Messaging Access\n/)
  expect(world.asked.at(-1)).toMatch(new RegExp(`\\nChain ID: ${chain.id}$`))
  // Whoever revokes need not ask whether it is done.
  const revoked = expect.objectContaining({ id: phone.engine.installationId, state: 'revoked' })
  const told = { kind: 'installation-revoked', installation: revoked }
  expect(atSafe.events).toContainEqual(told)
  expect(await stateOf(atSafe, safe.address, phone.engine.installationId)).toBe('revoked')
  await untilState(phone, 'revoked')
  await until(async () => {
    const state = await stateOf(atBob, safe.address, phone.engine.installationId)
    return state === 'revoked'
  })
  expect(atBob.events).toContainEqual(
    expect.objectContaining({
      kind: 'installation-revoked',
      installation: expect.objectContaining({ id: phone.engine.installationId, state: 'revoked' }),
    }),
  )
  await say(atBob, id, 'to one')
  await untilTexts(atSafe, id, 2)
  expect(await textsOf(phone, id)).toEqual(['to both'])
  expect(await statesOf(atSafe, bob.address)).toEqual(['valid'])
})

test('a revocation that cannot be checked makes its device unverified, until the chain is back', async () => {
  const world = await aWorld()
  const { safe, atSafe, openBob } = await aCouple(world)
  const phone = await openContract(world, safe)
  const before = await openBob()
  const { id } = await before.engine.conversation(safe.address)
  await say(before, id, 'to both')
  await before.engine.close()
  await untilTexts(phone, id, 1)
  await atSafe.engine.revoke([phone.engine.installationId], never)
  await phone.engine.close()

  chain.leave()
  try {
    const atBob = await openBob()
    const state = () => stateOf(atBob, safe.address, phone.engine.installationId)
    expect(await state()).toBe('unverified')
    expect(await stateOf(atBob, safe.address, atSafe.engine.installationId)).toBe('valid')
    const inbox = { topic: `message-${phone.engine.installationId}`, afterSequence: 0n }
    const limits = { envelopes: 500, bytes: 1e9 }
    const had = (await world.node.store.page([inbox], limits)).envelopes.length
    await say(atBob, id, 'to one')
    expect((await world.node.store.page([inbox], limits)).envelopes).toHaveLength(had)
    chain.comeBack()
    await until(async () => (await state()) === 'revoked')
  } finally {
    chain.comeBack()
  }
})

test('a revocation that the chain does not confirm any more leaves its device unverified for good', async () => {
  const world = await aWorld()
  const { owner, safe, atSafe, openBob } = await aCouple(world)
  const phone = await openContract(world, safe)
  const before = await openBob()
  expect(await statesOf(before, safe.address)).toEqual(['valid', 'valid'])
  await before.engine.close()
  await atSafe.engine.revoke([phone.engine.installationId], never)
  await chain.changeOwner(addressOf(safe), owner, anAccount().address)

  const chains = askable()
  const atBob = await openBob(chains)
  for (let time = 0; time < 2; time += 1) {
    expect(await stateOf(atBob, safe.address, phone.engine.installationId)).toBe('unverified')
    // What was confirmed before the owner changed is kept.
    expect(await stateOf(atBob, safe.address, atSafe.engine.installationId)).toBe('valid')
  }
  // A no is not asked about again at every turn.
  expect(chains.asked).toHaveLength(1)
})

test('a revocation of another chain has no say', async () => {
  const other = await startLocalChain(31_338n)
  try {
    const owner = anAccount()
    const squatter = anAccount()
    const world = await aWorld()
    const safe = asContract(owner, await chain.deployWallet(owner.address))
    const atSafe = await openContract(world, safe)
    const lying = await anEngineWorld({
      chains: { ids: [other.id], verify: async () => 'valid', close: () => undefined },
    })
    // The squatter grants and revokes at a node of their own, over the same address.
    const [bundle] = (await publishedBy(world, safe)).bundles
    const atSquatter = await openLive(lying, {
      account: asContract(squatter, safe.address),
      database: freshDatabase(),
      contractChainId: other.id,
    })
    await atSquatter.engine.revoke([atSquatter.engine.installationId], never)
    const { revocations } = await publishedBy(lying, safe)
    const address = addressOf(safe)
    const lists = new Map([
      [contactTopic(address), bundle ? [bundle] : []],
      [revokedTopic(address), revocations],
    ])
    const atBob = await openLive(world, {
      account: anAccount(),
      database: freshDatabase(),
      network: serving(lists),
      chains: askable(),
    })
    expect(await stateOf(atBob, safe.address, atSafe.engine.installationId)).toBe('valid')
    expect(await statesOf(atBob, safe.address)).toEqual(['valid'])
  } finally {
    await other.close()
  }
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
