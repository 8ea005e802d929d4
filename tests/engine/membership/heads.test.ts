/**
 * Heads (docs/protocol.md section 8): when they are told, and that a node that shows people different
 * histories is noticed, while nobody who lies about it does any harm.
 */

import { create } from '@bufbuild/protobuf'
import { expect, test } from 'vitest'
import { addTold, wasTold } from '../../../src/engine/membership/heads.ts'
import { Cursors } from '../../../src/engine/runtime/cursors.ts'
import { PadlockError } from '../../../src/errors.ts'
import { TopicHeadSchema } from '../../../src/gen/padlock/v1/message_pb.ts'
import type { Network } from '../../../src/network/network.ts'
import { encodeHex } from '../../../src/protocol/bytes.ts'
import { emptyHead } from '../../../src/protocol/heads.ts'
import { contactTopic, revokedTopic } from '../../../src/protocol/topics.ts'
import { joinKey, put, tables } from '../../../src/store/tables.ts'
import { addressOf } from '../../support/checked.ts'
import {
  anAccount,
  anEngineWorld,
  countOf,
  freshDatabase,
  until,
  untilState,
} from '../../support/engine.ts'
import { storeWithTransaction } from '../../support/store-with-transaction.ts'
import {
  accept,
  accusations,
  aPair,
  chainOf,
  rewrite,
  say,
  untilHas,
  watchPayloads,
} from './heads-world.ts'

test('section 8: heads are told by the first message of a session and the first after a topic grew, also across a reload', async () => {
  const pair = await aPair()
  const { atAlice, atBob, id, world, alice, bob } = pair
  const payloads = watchPayloads(world)
  await say(atAlice, id, 'first')
  const [told] = payloads.seen
  const expected = []
  for (const account of [alice, bob].map(addressOf)) {
    for (const topic of [contactTopic(account), revokedTopic(account)]) {
      const chain = await chainOf(world, topic)
      const hash = chain.at(-1) ?? emptyHead
      expected.push(create(TopicHeadSchema, { topic, sequence: BigInt(chain.length - 1), hash }))
    }
  }
  const byTopic = (a: { topic: string }, b: { topic: string }) => (a.topic < b.topic ? -1 : 1)
  expect(told?.heads.sort(byTopic)).toEqual(expected.sort(byTopic))
  expect(told?.nodeId).toEqual((await world.network.getInfo()).nodeId)
  payloads.take()

  await say(atAlice, id, 'second')
  expect(payloads.take()).toEqual([0])
  await untilHas(atBob, id, 'second')
  await say(atBob, id, 'answer')
  await say(atBob, id, 'and more')
  expect(payloads.take()).toEqual([0, 4])
  await untilHas(atAlice, id, 'and more')
  await say(atAlice, id, 'third')
  expect(payloads.take()).toEqual([0])

  const second = await world.open({ account: bob, database: freshDatabase() })
  await accept(second, alice)
  await untilState(second, 'live')
  await until(() => atAlice.events.some(({ kind }) => kind === 'installation-added'))
  await say(atAlice, id, 'to both devices')
  expect(payloads.take()).toEqual([4, 4])
  await say(atAlice, id, 'to both again')
  expect(payloads.take()).toEqual([0, 0])
  await atAlice.engine.close()
  const again = await pair.openAlice()
  await untilState(again, 'live')
  await say(again, id, 'after a reload')
  expect(payloads.take()).toEqual([0, 0])
  await untilHas(atBob, id, 'after a reload')
  expect([...accusations(atBob), ...accusations(atAlice), ...accusations(again)]).toEqual([])
})

test('section 8: a node that hides a new device from one person is noticed by the device that knows it', async () => {
  let hidden = ''
  const hide = rewrite((envelope) =>
    envelope.topic === hidden && envelope.sequence > 1n ? [] : [envelope],
  )
  const { world, bob, atAlice, atBob, id } = await aPair({ network: hide })
  hidden = contactTopic(addressOf(bob))
  for (const text of ['one', 'two']) {
    const another = await world.open({ account: bob, database: freshDatabase() })
    await untilState(another, 'live')
    await until(() => {
      const added = atBob.events.filter(({ kind }) => kind === 'installation-added')
      return added.length === (text === 'one' ? 1 : 2)
    })
    await say(atBob, id, text)
    await untilHas(atAlice, id, text)
    await until(() => accusations(atAlice).length > 0)
  }
  expect(accusations(atAlice)).toEqual([
    {
      kind: 'node-accused',
      code: 'node_withholding',
      account: bob.address,
      claimant: expect.objectContaining({ id: atBob.engine.installationId, address: bob.address }),
    },
  ])
  expect(countOf(atAlice, 'node_withholding')).toBe(1)
  expect(accusations(atBob)).toEqual([])
  await say(atAlice, id, 'still talking')
  await untilHas(atBob, id, 'still talking')
})

test('section 8: a client that is only behind asks the node, and has nothing to report', async () => {
  let late = ''
  const slow = (real: Network): Network => ({
    ...rewrite((envelope) => (envelope.topic === late && envelope.sequence > 1n ? [] : [envelope]))(
      real,
    ),
    query: real.query,
  })
  const { world, alice, bob, atAlice, atBob, id } = await aPair({ network: slow })
  late = contactTopic(addressOf(bob))
  const second = await world.open({ account: bob, database: freshDatabase() })
  await accept(second, alice)
  await untilState(second, 'live')
  await until(() => atBob.events.some(({ kind }) => kind === 'installation-added'))
  expect(atAlice.events.map(({ kind }) => kind)).not.toContain('installation-added')
  await say(atBob, id, 'there is another of me')
  await until(() => atAlice.events.some(({ kind }) => kind === 'installation-added'))
  await say(atAlice, id, 'so I see')
  await untilHas(second, id, 'so I see')
  expect(accusations(atAlice)).toEqual([])
})

test('section 8: a node that serves another envelope under the same number is noticed by both', async () => {
  let changed = ''
  // A field that no release knows: the bundle is as good, and not the same.
  const replace = rewrite((envelope) =>
    envelope.topic === changed
      ? [{ ...envelope, message: Uint8Array.of(...envelope.message, 0xc0, 0x3e, 0x01) }]
      : [envelope],
  )
  const world = await anEngineWorld()
  const [alice, bob] = [anAccount(), anAccount()]
  changed = contactTopic(addressOf(bob))
  const atAlice = await world.open({ account: alice, database: freshDatabase(), network: replace })
  const atBob = await world.open({ account: bob, database: freshDatabase() })
  await untilState(atAlice, 'live')
  await untilState(atBob, 'live')
  const { id } = await atAlice.engine.conversation(bob.address)
  await accept(atAlice, bob)
  await accept(atBob, alice)
  await say(atAlice, id, 'hello')
  await untilHas(atBob, id, 'hello')
  await say(atBob, id, 'hello too')
  await untilHas(atAlice, id, 'hello too')
  for (const [at, claimant] of [
    [atAlice, atBob],
    [atBob, atAlice],
  ] as const) {
    await until(() => accusations(at).length > 0)
    expect(accusations(at)).toMatchObject([{ code: 'node_equivocating', account: bob.address }])
    expect(accusations(at)[0]?.claimant.id).toBe(claimant.engine.installationId)
    expect(countOf(at, 'node_equivocating')).toBe(1)
  }
})

test('section 8: a lying peer is reported once a day for each topic, asks little of the node, and stops nothing', async () => {
  let now = Date.now()
  const world = await anEngineWorld()
  const [alice, bob] = [anAccount(), anAccount()]
  let queries = 0
  const atAlice = await world.open({ account: alice, database: freshDatabase() })
  const atBob = await world.open({
    account: bob,
    database: freshDatabase(),
    platform: { nowMs: () => now },
    network: (real) => ({
      ...real,
      query: (...args) => {
        queries += 1
        return real.query(...args)
      },
    }),
  })
  await untilState(atAlice, 'live')
  await untilState(atBob, 'live')
  const { id } = await atBob.engine.conversation(alice.address)
  await accept(atAlice, bob)
  await accept(atBob, alice)
  await say(atBob, id, 'honest')
  await untilHas(atAlice, id, 'honest')
  const { nodeId } = await world.network.getInfo()
  let lie: { topic: string; sequence: bigint; nodeId: Uint8Array }[] = []
  watchPayloads(world, (payload) => {
    payload.heads = lie.map(({ topic, sequence }) =>
      create(TopicHeadSchema, { topic, sequence, hash: new Uint8Array(32).fill(7) }),
    )
    payload.nodeId = lie[0]?.nodeId ?? new Uint8Array()
  })
  const topic = contactTopic(addressOf(alice))
  const others = [contactTopic(addressOf(bob)), revokedTopic(addressOf(bob))]

  // Of another node, of a topic that is none of the four, and of the empty log: nobody's business.
  lie = [{ topic, sequence: 1n, nodeId: new Uint8Array(16).fill(9) }]
  await say(atAlice, id, 'about another node')
  lie = [
    { topic: contactTopic(addressOf(anAccount())), sequence: 9n, nodeId },
    { topic: revokedTopic(addressOf(alice)), sequence: 0n, nodeId },
  ]
  await say(atAlice, id, 'about others')
  await untilHas(atBob, id, 'about others')

  queries = 0
  lie = [
    { topic, sequence: 1n, nodeId },
    ...others.map((topic) => ({ topic, sequence: 2n ** 64n - 1n, nodeId })),
  ]
  for (let at = 0; at < 20; at += 1) {
    await say(atAlice, id, `lie ${at}`)
    await untilHas(atBob, id, `lie ${at}`)
  }
  await until(() => accusations(atBob).length >= 3)
  const byCode = accusations(atBob).sort((a, b) => (a.code < b.code ? -1 : 1))
  expect(byCode).toMatchObject([
    { code: 'node_equivocating', account: alice.address },
    { code: 'node_withholding', account: bob.address },
    { code: 'node_withholding', account: bob.address },
  ])
  expect(countOf(atBob, 'node_withholding')).toBe(2)
  expect(queries).toBe(2)

  now += 86_400_000
  await say(atAlice, id, 'a day later')
  await until(() => accusations(atBob).length >= 6)
  await say(atAlice, id, 'and again')
  await untilHas(atBob, id, 'and again')
  await say(atBob, id, 'whatever')
  await untilHas(atAlice, id, 'whatever')
  expect(accusations(atBob)).toHaveLength(6)
})

test('section 8: a report is not repeated that day after a reload, and is the day after', async () => {
  let now = Date.now()
  const { world, alice, openAlice, atAlice, atBob, id } = await aPair({
    platform: { nowMs: () => now },
  })
  const { nodeId } = await world.network.getInfo()
  let topics = [contactTopic(addressOf(alice))]
  watchPayloads(world, (payload) => {
    payload.heads = topics.map((topic) =>
      create(TopicHeadSchema, { topic, sequence: 1n, hash: new Uint8Array(32).fill(7) }),
    )
    payload.nodeId = nodeId
  })
  await say(atBob, id, 'a lie')
  await until(() => accusations(atAlice).length > 0)
  await say(atBob, id, 'the same lie')
  await untilHas(atAlice, id, 'the same lie')
  await atAlice.engine.close()

  now += 86_399_000
  const again = await openAlice()
  await untilState(again, 'live')
  topics = [...topics, revokedTopic(addressOf(alice))]
  await say(atBob, id, 'the same lie, and another one')
  await until(() => accusations(again).length > 0)
  expect(accusations(again)).toMatchObject([{ code: 'node_withholding' }])
  await again.engine.close()

  now += 1_000
  const later = await openAlice()
  await untilState(later, 'live')
  await say(atBob, id, 'both once more')
  await until(() => accusations(later).length > 0)
  expect(accusations(later)).toMatchObject([{ code: 'node_equivocating' }])
})

test('section 8: a report that cannot be saved is made when it can be', async () => {
  let failures = 0
  const { world, alice, atAlice, atBob, id } = await aPair({
    store: (real) =>
      storeWithTransaction(real, (reads, step, durability) =>
        real.transaction(
          reads,
          (rows) => {
            const next = step(rows)
            if (failures === 0 && next.writes.some(({ table }) => table === tables.news)) {
              failures += 1
              throw new PadlockError('storage_failed')
            }
            return next
          },
          durability,
        ),
      ),
  })
  const { nodeId } = await world.network.getInfo()
  watchPayloads(world, (payload) => {
    const topic = contactTopic(addressOf(alice))
    payload.heads = [create(TopicHeadSchema, { topic, sequence: 1n, hash: new Uint8Array(32) })]
    payload.nodeId = nodeId
  })
  await say(atBob, id, 'a lie')
  await until(() => failures === 1)
  expect(accusations(atAlice)).toEqual([])
  await say(atBob, id, 'the same lie')
  await until(() => accusations(atAlice).length > 0)
  expect(await atAlice.engine.news('0', 9)).toMatchObject([{ event: { kind: 'node-accused' } }])
})

test('section 8: every head stays across a reload, and is under the id of its node', async () => {
  const { world, alice, bob, databases, openAlice, atAlice, atBob, id } = await aPair()
  const second = await world.open({ account: bob, database: freshDatabase() })
  await accept(second, alice)
  await untilState(second, 'live')
  await until(() => atAlice.events.some(({ kind }) => kind === 'installation-added'))
  await atAlice.engine.close()
  const topic = contactTopic(addressOf(bob))
  const [, first, newest] = await chainOf(world, topic)
  const node = encodeHex((await world.network.getInfo()).nodeId)
  const store = await world.openStore(databases.alice)
  const headAt = async (...key: string[]) =>
    (await store.get(tables.cursors, joinKey(...key)))?.value.head
  expect(await headAt(node, topic)).toEqual(newest)
  expect(await headAt(node, topic, '1')).toEqual(first)
  await store.close()

  // What was true when there was one device still is; what never was is not.
  const again = await openAlice()
  await untilState(again, 'live')
  const { nodeId } = await world.network.getInfo()
  let hash = first ?? emptyHead
  watchPayloads(world, (payload) => {
    payload.heads = [create(TopicHeadSchema, { topic, sequence: 1n, hash })]
    payload.nodeId = nodeId
  })
  await say(atBob, id, 'an old head')
  await untilHas(again, id, 'an old head')
  hash = new Uint8Array(32)
  await say(second, (await second.engine.conversation(alice.address)).id, 'a false old head')
  await until(() => accusations(again).length > 0)
  expect(accusations(again)).toMatchObject([
    { code: 'node_equivocating', claimant: { id: second.engine.installationId } },
  ])
  await again.engine.close()

  const elsewhere = await anEngineWorld()
  const moved = await elsewhere.open({ account: alice, database: databases.alice })
  await untilState(moved, 'live')
  await moved.engine.close()
  const own = contactTopic(addressOf(alice))
  const other = encodeHex((await elsewhere.network.getInfo()).nodeId)
  const movedStore = await elsewhere.openStore(databases.alice)
  const position = await movedStore.get(tables.cursors, joinKey(other, own))
  expect(position?.value.sequence).toBe(1n)
  expect(position?.value.head).toEqual((await chainOf(elsewhere, own))[1])
  expect(await movedStore.get(tables.cursors, joinKey(other, topic))).toBeUndefined()
  expect((await movedStore.get(tables.cursors, joinKey(node, topic)))?.value.head).toEqual(newest)
})

test('section 8: a topic whose cursor has no head is read again; an inbox is not', async () => {
  const world = await anEngineWorld()
  const store = await world.openStore(freshDatabase())
  const node = new Uint8Array(16).fill(1)
  const [contact, inbox] = [contactTopic(addressOf(anAccount())), 'message-x']
  await store.transaction([], () => ({
    writes: [contact, inbox].map((topic) =>
      put(tables.cursors, joinKey(encodeHex(node), topic), { topic, sequence: 3n }),
    ),
    result: undefined,
  }))
  const cursors = new Cursors(store)
  cursors.setNode(node)
  expect(await cursors.position(contact)).toEqual({ sequence: 0n, head: emptyHead })
  expect(await cursors.load(inbox)).toBe(3n)
})

test('section 8: a session remembers the eight heads that it told last', () => {
  const digest = (byte: number) => new Uint8Array(16).fill(byte)
  let told: Uint8Array | undefined
  for (let byte = 1; byte <= 10; byte += 1) told = addTold(told, digest(byte))
  expect(told).toHaveLength(8 * 16)
  const known = [1, 2, 3, 10].map((byte) => wasTold(told, digest(byte)))
  expect(known).toEqual([false, false, true, true])
  expect(wasTold(undefined, digest(1))).toBe(false)
})
