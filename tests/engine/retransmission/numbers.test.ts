/** docs/protocol.md section 10: asking for what could not be decrypted, and answering, to the number. */

import { expect, test } from 'vitest'
import { createInProcessNode } from '../../../node/src/testing.ts'
import { encodeRetransmitRequest } from '../../../src/content/retransmit.ts'
import { networkOver } from '../../../src/network/connect.ts'
import { encodeBase64Url } from '../../../src/protocol/bytes.ts'
import { buildConversationId } from '../../../src/protocol/ids.ts'
import { buildPayload } from '../../../src/protocol/payload.ts'
import type { Store } from '../../../src/store/store.ts'
import { joinKey, put, remove, tables } from '../../../src/store/tables.ts'
import {
  anAccount,
  type EngineWorld,
  freshDatabase,
  type Opened,
  until,
  untilState,
  untilTexts,
} from '../../support/engine.ts'
import {
  addressOf,
  aLine,
  aTurnedWorld,
  countOf,
  dayMs,
  envelopesFrom,
  inboxOf,
  insiderOf,
  isSent,
  minuteMs,
} from '../../support/turned-world.ts'

const failures = (one: Opened): number =>
  countOf(one, 'session_unknown') + countOf(one, 'decryption_failed') + countOf(one, 'prekey_gone')

/** The device loses the sessions that it had, as after a disk error. */
const loseSessions = async (world: EngineWorld, database: string): Promise<void> => {
  const store = await world.openStore(database)
  const sessions = await store.all(tables.sessions)
  await store.transaction([], () => ({
    writes: sessions.map(({ value }) =>
      remove(tables.sessions, joinKey(value.installationId, encodeBase64Url(value.sessionId))),
    ),
    result: undefined,
  }))
  store.close()
}

/** Alice and Bob, who talked both ways; Bob lost his sessions since, and `line` is his line to the node. */
const aPairWithLostSessions = async () => {
  const { world, clocks } = await aTurnedWorld()
  const { platform } = clocks
  const [alice, bob] = [anAccount(), anAccount()]
  const [aliceDatabase, database] = [freshDatabase(), freshDatabase()]
  const line = aLine()
  const open = () => world.open({ account: bob, database, platform, network: line.network })
  const atAlice = await world.open({ account: alice, database: aliceDatabase, platform })
  const first = await open()
  for (const each of [atAlice, first]) await untilState(each, 'live')
  const { id } = await atAlice.engine.conversation(bob.address)
  await atAlice.engine.send(id, 'one')
  await untilTexts(first, id, 1)
  await first.engine.send(id, 'two')
  await untilTexts(atAlice, id, 2)
  await first.engine.close()
  await loseSessions(world, database)
  return { world, clocks, alice, aliceDatabase, bob, atAlice, open, line, id, database }
}

test('section 10: one request, on one new session, names all that failed until a minute after the first', async () => {
  const { world, clocks, atAlice, open, line, id } = await aPairWithLostSessions()
  const atBob = await open()
  await untilState(atBob, 'live')
  line.claimed.length = 0
  const before = (await inboxOf(world, atAlice)).length
  for (const [nth, waitMs] of [0, 30_000, 29_000].entries()) {
    clocks.turn(waitMs)
    await atAlice.engine.send(id, `lost ${nth}`)
    await until(() => failures(atBob) === nth + 1)
  }
  expect(await inboxOf(world, atAlice)).toHaveLength(before)
  clocks.turn(1_000)
  const texts = await untilTexts(atBob, id, 5)
  expect(texts.slice(2).sort()).toEqual(['lost 0', 'lost 1', 'lost 2'])
  clocks.turn(minuteMs)
  clocks.turn(minuteMs)
  await atBob.engine.send(id, 'thanks')
  await until(() => isSent(atBob, id, 'thanks'))
  // The request and the thanks.
  expect(await inboxOf(world, atAlice)).toHaveLength(before + 2)
  expect(line.claimed).toHaveLength(1)
  expect(atAlice.events.filter(({ kind }) => kind === 'retransmitted')).toMatchObject([
    { count: 3, to: { id: atBob.engine.installationId } },
  ])
})

test('section 10: the request goes out a minute after the failure, not a millisecond before', async () => {
  const { world, clocks, atAlice, open, id } = await aPairWithLostSessions()
  const atBob = await open()
  await untilState(atBob, 'live')
  const before = (await inboxOf(world, atAlice)).length
  await atAlice.engine.send(id, 'lost')
  await until(() => failures(atBob) === 1)
  clocks.turn(minuteMs - 1)
  // Whatever was to be asked would have been asked before this.
  await atBob.engine.send(id, 'meanwhile')
  await untilTexts(atAlice, id, 4)
  expect(await inboxOf(world, atAlice)).toHaveLength(before + 1)
  clocks.turn(1)
  expect((await untilTexts(atBob, id, 4)).at(-1)).toBe('lost')
})

test('section 10: at most twenty requests an hour in all, across restarts; beyond that nobody is asked and no prekey is claimed', async () => {
  const { world, clocks, atAlice, open, line, id, database } = await aPairWithLostSessions()
  const store = await world.openStore(database)
  const times = (await store.get(tables.times, 'times'))?.value
  if (!times) throw new Error('no times')
  const askedMs = Array.from({ length: 20 }, (_, n) => BigInt(clocks.nowMs - n))
  await store.transaction([], () => ({
    writes: [put(tables.times, 'times', { ...times, askedMs })],
    result: undefined,
  }))
  store.close()
  const atBob = await open()
  await untilState(atBob, 'live')
  line.claimed.length = 0
  const before = (await inboxOf(world, atAlice)).length
  await atAlice.engine.send(id, 'lost')
  await until(() => failures(atBob) === 1)
  for (let minute = 0; minute < 59; minute += 1) {
    clocks.turn(minuteMs)
    await new Promise((resolve) => setTimeout(resolve, 1))
  }
  expect(await inboxOf(world, atAlice)).toHaveLength(before)
  expect(line.claimed).toHaveLength(0)
  clocks.turn(minuteMs)
  expect((await untilTexts(atBob, id, 3)).at(-1)).toBe('lost')
  expect(await inboxOf(world, atAlice)).toHaveLength(before + 1)
})

test('section 10: asking does not set back the time of a message that is written meanwhile', async () => {
  const { world, clocks, atAlice, bob, id, database } = await aPairWithLostSessions()
  let writeNow: (() => Promise<unknown>) | undefined
  const store = (real: Store): Store => ({
    get: async (table, key) => {
      const row = await real.get(table, key)
      const write = writeNow
      if (write && table.store === tables.times.store) {
        writeNow = undefined
        await write()
      }
      return row
    },
    list: (table, options) => real.list(table, options),
    all: (table) => real.all(table),
    scan: (table, options) => real.scan(table, options),
    transaction: (reads, step, durability) => real.transaction(reads, step, durability),
    nextNumber: (table) => real.nextNumber(table),
    close: () => real.close(),
  })
  const { platform } = clocks
  const atBob = await world.open({ account: bob, database, platform, store })
  await untilState(atBob, 'live')
  await atAlice.engine.send(id, 'lost')
  await until(() => failures(atBob) === 1)
  const before = (await inboxOf(world, atAlice)).length
  writeNow = () => atBob.engine.send(id, 'meanwhile')
  clocks.turn(minuteMs)
  await until(async () => (await inboxOf(world, atAlice)).length === before + 2)
  expect(writeNow).toBeUndefined()
  await atBob.engine.close()
  const opened = await world.openStore(database)
  const times = (await opened.get(tables.times, 'times'))?.value
  const composed = (await opened.all(tables.messages)).map(({ value }) => value)
  const own = composed.filter(({ sender }) => sender === addressOf(bob))
  expect(own).toHaveLength(2)
  expect(own.map(({ composedNs }) => composedNs)).toContain(times?.lastComposedNs)
  expect(own.every(({ composedNs }) => composedNs <= (times?.lastComposedNs ?? 0n))).toBe(true)
})

/** Alice sent one message to Bob, whose device is in the test's hands. */
const anAskedSender = async () => {
  const { world, clocks } = await aTurnedWorld()
  const { platform } = clocks
  const [alice, bob] = [anAccount(), anAccount()]
  const [aliceDatabase, bobDatabase] = [freshDatabase(), freshDatabase()]
  const openAlice = () => world.open({ account: alice, database: aliceDatabase, platform })
  const atAlice = await openAlice()
  const atBob = await world.open({ account: bob, database: bobDatabase, platform })
  for (const each of [atAlice, atBob]) await untilState(each, 'live')
  const { id } = await atAlice.engine.conversation(bob.address)
  await atAlice.engine.send(id, 'said once')
  await untilTexts(atBob, id, 1)
  await atBob.engine.close()
  const insider = await insiderOf(world, bobDatabase)
  const [envelope] = await inboxOf(world, atBob)
  const [digest] = world.crypto.digest(envelope ? [envelope.message] : [])
  if (!digest) throw new Error('nothing was sent')
  const request = (n: number, digests: readonly Uint8Array[] = [digest]) =>
    buildPayload({
      convoId: buildConversationId(addressOf(alice), addressOf(bob)),
      contentBytes: encodeRetransmitRequest(digests),
      composedNs: BigInt(n),
    })
  const ask = async (payloads: readonly Uint8Array[]) => {
    await world.network.publish(await envelopesFrom(world, insider, alice, payloads))
  }
  return { world, clocks, alice, aliceDatabase, atAlice, atBob, openAlice, id, request, ask }
}

const answered = ({ events }: Opened): number =>
  events.reduce((sum, event) => sum + (event.kind === 'retransmitted' ? event.count : 0), 0)

test('section 10: each digest is answered at most twice, however many requests name it at once', async () => {
  const { world, atAlice, atBob, request, ask } = await anAskedSender()
  await ask([1, 2, 3, 4, 5].map((n) => request(n)))
  await until(() => answered(atAlice) >= 2)
  await until(async () => (await inboxOf(world, atBob)).length >= 3)
  // Once more, and something later that is answered by nothing.
  await ask([request(6)])
  const heard = (await inboxOf(world, atAlice)).length
  await until(async () => (await inboxOf(world, atAlice)).length === heard)
  await new Promise((resolve) => setTimeout(resolve, 100))
  expect(answered(atAlice)).toBe(2)
  expect(await inboxOf(world, atBob)).toHaveLength(3)
})

test('section 10: what was answered twice stays answered across a restart', async () => {
  const { atAlice, openAlice, request, ask, world, atBob } = await anAskedSender()
  await ask([request(1), request(2)])
  await until(() => answered(atAlice) === 2)
  await until(async () => (await inboxOf(world, atBob)).length === 3)
  await atAlice.engine.close()
  await ask([request(3)])
  const again = await openAlice()
  await untilState(again, 'live')
  await new Promise((resolve) => setTimeout(resolve, 100))
  expect(answered(again)).toBe(0)
  expect(await inboxOf(world, atBob)).toHaveLength(3)
})

test('section 10: a digest is answered for 14 days, by both clocks', async () => {
  for (const [ownDays, nodeDays, answers] of [
    [13, 13, 1],
    [15, 13, 1],
    [13, 15, 1],
    [15, 15, 0],
  ] as const) {
    const { clocks, atAlice, openAlice, request, ask } = await anAskedSender()
    await atAlice.engine.close()
    clocks.nowMs += ownDays * dayMs
    clocks.nodeMs += nodeDays * dayMs
    await ask([request(1)])
    const again = await openAlice()
    await untilState(again, 'live')
    if (answers > 0) await until(() => answered(again) === answers)
    else await new Promise((resolve) => setTimeout(resolve, 150))
    expect([ownDays, nodeDays, answered(again)]).toEqual([ownDays, nodeDays, answers])
    await again.engine.close()
  }
})

test('section 10: nobody is answered what was sent to another installation', async () => {
  const { world, clocks, alice, atAlice, atBob } = await anAskedSender()
  const database = freshDatabase()
  const eve = anAccount()
  const { platform } = clocks
  const atEve = await world.open({ account: eve, database, platform })
  await untilState(atEve, 'live')
  await atEve.engine.close()
  const insider = await insiderOf(world, database)
  const [envelope] = await inboxOf(world, atBob)
  const digests = world.crypto.digest(envelope ? [envelope.message] : [])
  const payload = buildPayload({
    convoId: buildConversationId(addressOf(alice), addressOf(eve)),
    contentBytes: encodeRetransmitRequest(digests),
    composedNs: 7n,
  })
  await world.network.publish(await envelopesFrom(world, insider, alice, [payload]))
  const { id: eves } = await atAlice.engine.conversation(eve.address)
  await atAlice.engine.send(eves, 'who are you?')
  await until(() => isSent(atAlice, eves, 'who are you?'))
  expect(answered(atAlice)).toBe(0)
  expect(await inboxOf(world, atEve)).toHaveLength(1)
})

test('section 10: internal messages are not stored, not shown and not kept for sending again', async () => {
  const { world, atAlice, request, ask, aliceDatabase, id } = await anAskedSender()
  await ask([request(1)])
  await until(() => answered(atAlice) === 1)
  const history = await atAlice.engine.history(id, undefined, 10)
  expect(history.map(({ content }) => content)).toEqual(['said once'])
  await atAlice.engine.close()
  const store = await world.openStore(aliceDatabase)
  expect(await store.all(tables.messages)).toHaveLength(1)
  const sent = await store.all(tables.sent)
  expect(sent.map(({ value }) => value.envelopes.map(({ answers }) => answers))).toEqual([[1]])
})

test('section 5: at a node of another id, what fails and is no newer than the newest processed is counted and not asked for', async () => {
  for (const [offsetMs, requests] of [
    [-5 * minuteMs, 0],
    [5 * minuteMs, 1],
  ] as const) {
    const { world, clocks, alice, aliceDatabase, atAlice, bob, id, database } =
      await aPairWithLostSessions()
    await atAlice.engine.close()
    const other = createInProcessNode({
      clock: () => BigInt(clocks.nodeMs + offsetMs) * 1_000_000n,
    })
    const network = () => networkOver(other.transport)
    const { platform } = clocks
    const atBob = await world.open({ account: bob, database, platform, network })
    await untilState(atBob, 'live')
    const again = await world.open({
      account: alice,
      database: aliceDatabase,
      platform,
      network,
    })
    await untilState(again, 'live')
    await again.engine.send(id, 'lost')
    await until(() => failures(atBob) === 1)
    clocks.turn(minuteMs)
    await atBob.engine.send(id, 'later')
    await untilTexts(again, id, 4)
    const topic = `message-${again.engine.installationId}`
    const page = await other.store.page([{ topic, afterSequence: 0n }], {
      envelopes: 9,
      bytes: 1e9,
    })
    // The later message, and the request if there is one.
    expect([offsetMs, page.envelopes.length]).toEqual([offsetMs, 1 + requests])
    for (const { engine } of [again, atBob]) await engine.close()
    await other.close()
  }
})
