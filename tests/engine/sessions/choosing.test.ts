/** docs/protocol.md section 7: which session a message goes on, and how long old ones stay, in a running client. */

import { expect, test } from 'vitest'
import { encodeBase64Url } from '../../../src/protocol/bytes.ts'
import { dayMs, hourMs } from '../../../src/protocol/limits.ts'
import type { Store } from '../../../src/store/store.ts'
import { joinKey, put, type SessionRecord, tables } from '../../../src/store/tables.ts'
import {
  anAccount,
  type EngineWorld,
  freshDatabase,
  isSent,
  until,
  untilState,
  untilTexts,
} from '../../support/engine.ts'
import { aLine, aTurnedWorld } from '../../support/turned-world.ts'

/** The sessions of a database that no engine has open. */
const sessionsOf = async (world: EngineWorld, database: string): Promise<SessionRecord[]> => {
  const store = await world.openStore(database)
  const rows = await store.all(tables.sessions)
  await store.close()
  return rows.map(({ value }) => value)
}

const putSessions = async (
  world: EngineWorld,
  database: string,
  records: readonly Omit<SessionRecord, '$typeName'>[],
): Promise<void> => {
  const store = await world.openStore(database)
  await store.transaction([], () => ({
    writes: records.map((record) =>
      put(
        tables.sessions,
        joinKey(record.installationId, encodeBase64Url(record.sessionId)),
        record,
      ),
    ),
    result: undefined,
  }))
  await store.close()
}

/** Alice and Bob, who talked both ways; Alice is closed, and `line` is her line to the node. */
const aPair = async () => {
  const { world, clocks } = await aTurnedWorld()
  const { platform } = clocks
  const [alice, bob] = [anAccount(), anAccount()]
  const database = freshDatabase()
  const line = aLine()
  const open = (store = (real: Store) => real) =>
    world.open({ account: alice, database, platform, network: line.network, store })
  const atBob = await world.open({ account: bob, database: freshDatabase(), platform })
  const first = await open()
  for (const each of [atBob, first]) await untilState(each, 'live')
  const { id } = await first.engine.conversation(bob.address)
  await first.engine.send(id, 'one')
  await untilTexts(atBob, id, 1)
  await atBob.engine.send(id, 'two')
  await untilTexts(first, id, 2)
  await until(() => isSent(first, id, 'one'))
  await first.engine.close()
  const [session] = await sessionsOf(world, database)
  if (!session) throw new Error('no session')
  line.claimed.length = 0
  return { world, clocks, alice, bob, atBob, open, line, id, database, session }
}

test('section 7: messages sent together do not take a session past 1,000', async () => {
  const { world, open, line, id, database, session, atBob } = await aPair()
  await putSessions(world, database, [{ ...session, sentSince: 990 }])
  const atAlice = await open()
  // Composed before there is a line, so that they go as one batch.
  const texts = Array.from({ length: 30 }, (_, n) => `number ${n}`)
  for (const text of texts) await atAlice.engine.send(id, text)
  expect(await untilTexts(atBob, id, 32)).toEqual(['one', 'two', ...texts])
  await until(() => isSent(atAlice, id, 'number 29'))
  expect(line.claimed).toHaveLength(1)
  await atAlice.engine.close()
  const after = await sessionsOf(world, database)
  expect(after.map(({ sentSince }) => sentSince).sort()).toEqual([1_000, 20])
})

test('section 7: a closed session is never sent on again, and still decrypts', async () => {
  const { world, open, line, id, database, session, atBob } = await aPair()
  await putSessions(world, database, [{ ...session, closed: true }])
  const atAlice = await open()
  await untilState(atAlice, 'live')
  await atBob.engine.send(id, 'on the closed one')
  expect((await untilTexts(atAlice, id, 3)).at(-1)).toBe('on the closed one')
  await atAlice.engine.send(id, 'on a new one')
  expect((await untilTexts(atBob, id, 4)).at(-1)).toBe('on a new one')
  expect(line.claimed).toHaveLength(1)
  await atAlice.engine.close()
  const after = await sessionsOf(world, database)
  expect(after).toHaveLength(2)
  expect(after.filter(({ closed }) => closed).map(({ sessionId }) => sessionId)).toEqual([
    session.sessionId,
  ])
})

test('section 7: no session is made in advance: only when there is a message for that installation', async () => {
  const { world, clocks } = await aTurnedWorld()
  const { platform } = clocks
  const [alice, bob] = [anAccount(), anAccount()]
  const atBob = await world.open({ account: bob, database: freshDatabase(), platform })
  await untilState(atBob, 'live')
  const line = aLine()
  const { network } = line
  const atAlice = await world.open({ account: alice, database: freshDatabase(), platform, network })
  await untilState(atAlice, 'live')
  await atAlice.engine.conversation(bob.address)
  await atAlice.engine.installations(bob.address)
  const { id } = await atAlice.engine.conversation(alice.address)
  await atAlice.engine.send(id, 'alone')
  await until(() => isSent(atAlice, id, 'alone'))
  expect(line.claimed).toHaveLength(0)
})

test('section 7: an old session goes a day after its last use, while live and by both clocks, and its id stays', async () => {
  for (const { isLive, clock, isGone } of [
    { isLive: true, clock: 'both', isGone: true },
    { isLive: true, clock: 'own', isGone: false },
    { isLive: true, clock: 'node', isGone: false },
    { isLive: false, clock: 'both', isGone: false },
  ] as const) {
    const { world, clocks, alice, open, id, database, session, atBob } = await aPair()
    // An older session beside the one in use, both of them used now.
    const older = { ...session, sessionId: new Uint8Array(32).fill(7) }
    const createdMs = session.createdMs - BigInt(dayMs)
    await putSessions(world, database, [{ ...older, createdMs }])
    const first = await open()
    await untilState(first, 'live')
    await atBob.engine.send(id, 'both are in memory')
    await untilTexts(first, id, 3)
    await first.engine.close()
    expect((await sessionsOf(world, database)).some(({ pruned }) => pruned)).toBe(false)

    // Times of sessions ascend strictly: the clock stood still while they were used.
    const later = dayMs + 10
    if (clock !== 'node') clocks.nowMs += later
    if (clock !== 'own') clocks.nodeMs += later
    await atBob.engine.send(id, 'a day later')
    const { platform } = clocks
    let running: Store | undefined
    const again = isLive
      ? await open((real) => {
          running = real
          return real
        })
      : await world.open({
          account: alice,
          database,
          platform,
          network: (real) => ({
            ...real,
            // What there is arrives, but the node never says that this is all.
            async *subscribe(...args) {
              for await (const frame of real.subscribe(...args)) {
                if (frame.kind !== 'caught_up') yield frame
              }
            },
          }),
        })
    await untilTexts(again, id, 4)
    if (isLive) await untilState(again, 'live')
    const pruned = async () => {
      await again.engine.close()
      return (await sessionsOf(world, database)).filter((one) => one.pruned)
    }
    // Maintenance comes at once when live, before anything is in memory, and then every hour.
    for (let n = 0; n < 3; n += 1) {
      clocks.monotonicMs += 2 * hourMs
      clocks.turn(0)
      await new Promise((resolve) => setTimeout(resolve, 20))
      if (clock !== 'both') clocks.monotonicMs -= 2 * hourMs
    }
    // It takes its time; whether it did anything is told by the store alone.
    const isPruned = async () =>
      (await running?.all(tables.sessions))?.some(({ value }) => value.pruned) === true
    if (isGone) await until(isPruned)
    const gone = await pruned()
    expect([clock, isLive, gone.map(({ sessionId }) => sessionId)]).toEqual([
      clock,
      isLive,
      isGone ? [older.sessionId] : [],
    ])
    if (isGone) expect(gone[0]?.state).toHaveLength(0)
  }
})
