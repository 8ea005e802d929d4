/** What could not be decrypted comes again: docs/protocol.md section 10. */

import { expect, test } from 'vitest'
import { PadlockError } from '../../../src/errors.ts'
import { encodeBase64Url } from '../../../src/protocol/bytes.ts'
import { hourMs, minuteMs } from '../../../src/protocol/limits.ts'
import type { Store } from '../../../src/store/store.ts'
import { joinKey, remove, tables } from '../../../src/store/tables.ts'
import { addressOf } from '../../support/checked.ts'
import {
  anAccount,
  countOf,
  freshDatabase,
  inboxOf,
  type Opened,
  until,
  untilState,
  untilTexts,
} from '../../support/engine.ts'
import { storeWithTransaction } from '../../support/store-with-transaction.ts'
import { aTurnedWorld } from '../../support/turned-world.ts'

const undecryptable = (one: Opened): number =>
  countOf(one, 'session_unknown') + countOf(one, 'decryption_failed') + countOf(one, 'prekey_gone')

/** Alice and Bob, who have talked both ways; then Bob's device loses the sessions it had. */
const aPairWithLostSessions = async ({
  atAlice: storeOfAlice = (real: Store) => real,
  atBob: storeOfBob = (real: Store) => real,
} = {}) => {
  const { clocks, world } = await aTurnedWorld()
  const { platform } = clocks
  const [alice, bob] = [anAccount(), anAccount()]
  const databases = { alice: freshDatabase(), bob: freshDatabase() }
  const openAlice = (store = (real: Store) => real) =>
    world.open({ account: alice, database: databases.alice, platform, store })
  const atAlice = await openAlice(storeOfAlice)
  const first = await world.open({ account: bob, database: databases.bob, platform })
  for (const each of [atAlice, first]) await untilState(each, 'live')
  const { id } = await atAlice.engine.conversation(bob.address)
  await atAlice.engine.send(id, 'one')
  await untilTexts(first, id, 1)
  await first.engine.send(id, 'two')
  await untilTexts(atAlice, id, 2)
  await first.engine.close()
  const closed = await world.openStore(databases.bob)
  const sessions = await closed.all(tables.sessions)
  await closed.transaction([], () => ({
    writes: sessions.map(({ value }) =>
      remove(tables.sessions, joinKey(value.installationId, encodeBase64Url(value.sessionId))),
    ),
    result: undefined,
  }))
  await closed.close()
  const atBob = await world.open({
    account: bob,
    database: databases.bob,
    platform,
    store: storeOfBob,
  })
  await untilState(atBob, 'live')
  return { clocks, world, bob, atAlice, openAlice, atBob, id, databases }
}

/**
 * Fails what would store an answer, after as many as `spared` says and as often as `left` says, and
 * all that comes after a `crash`.
 */
const aFailingStore = () => {
  const control = { spared: 0, left: 0, failed: 0, crash: false }
  const store = (real: Store): Store =>
    storeWithTransaction(real, (reads, step, durability) =>
      real.transaction(
        reads,
        (rows) => {
          const made = step(rows)
          const written = new Set(made.writes.map(({ table }) => table.store))
          const isAnswer = written.has('sent') && written.has('outbox')
          if (control.left > 0 && isAnswer && control.spared-- > 0) return made
          if (control.left > 0 && (isAnswer || (control.crash && control.failed > 0))) {
            control.left -= 1
            control.failed += 1
            throw new PadlockError('storage_failed')
          }
          return made
        },
        durability,
      ),
    )
  return { control, store }
}

test('section 10: undecryptable messages are asked for a minute later and come in their place', async () => {
  const { clocks, world, atAlice, atBob, id } = await aPairWithLostSessions()
  await atAlice.engine.send(id, 'lost one')
  await atAlice.engine.send(id, 'lost two')
  await until(() => undecryptable(atBob) === 2)
  const before = (await inboxOf(world, atAlice.engine.installationId)).length
  clocks.turn(minuteMs / 2)
  expect(await inboxOf(world, atAlice.engine.installationId)).toHaveLength(before)
  clocks.turn(minuteMs)
  const texts = await untilTexts(atBob, id, 4)
  expect(texts.slice(2).sort()).toEqual(['lost one', 'lost two'])
  // One request for both.
  expect(await inboxOf(world, atAlice.engine.installationId)).toHaveLength(before + 1)
  const histories = await Promise.all(
    [atAlice, atBob].map(async ({ engine }) =>
      (await engine.history(id, undefined, 10)).map(({ id: messageId, content, order }) => ({
        messageId,
        content,
        order,
      })),
    ),
  )
  expect(histories[1]).toEqual(histories[0])
  expect(atAlice.events.filter(({ kind }) => kind === 'retransmitted')).toMatchObject([
    { count: 2, to: { id: atBob.engine.installationId } },
  ])
  // From here on they talk as before, and nothing more is asked for.
  await atBob.engine.send(id, 'thanks')
  await atAlice.engine.send(id, 'gladly')
  await untilTexts(atBob, id, 6)
  const after = (await inboxOf(world, atAlice.engine.installationId)).length
  clocks.turn(2 * hourMs)
  await atAlice.engine.send(id, 'the end')
  await untilTexts(atBob, id, 7)
  expect(await inboxOf(world, atAlice.engine.installationId)).toHaveLength(after)
})

test('section 10: a store that fails while answering is tried again, and the answer goes once', async () => {
  const { control, store } = aFailingStore()
  const { clocks, world, atAlice, atBob, id } = await aPairWithLostSessions({ atAlice: store })
  await atAlice.engine.send(id, 'lost')
  await until(() => undecryptable(atBob) === 1)
  control.left = 2
  clocks.turn(minuteMs + 1)
  expect((await untilTexts(atBob, id, 3))[2]).toBe('lost')
  expect(control.failed).toBe(2)
  expect(countOf(atAlice, 'storage_failed')).toBe(2)
  expect(atAlice.events.filter(({ kind }) => kind === 'retransmitted')).toMatchObject([
    { count: 1 },
  ])
  // The first of the loss, and the request.
  expect(await inboxOf(world, atBob.engine.installationId)).toHaveLength(3)
})

test('section 10: a store that fails within an answer is tried again with the rest of it', async () => {
  const { control, store } = aFailingStore()
  const { clocks, world, atAlice, atBob, id } = await aPairWithLostSessions({ atAlice: store })
  // Sent in two requests, so answered in two parts.
  for (const text of ['lost one', 'lost two']) {
    const before = undecryptable(atBob)
    await atAlice.engine.send(id, text)
    await until(() => undecryptable(atBob) === before + 1)
  }
  const before = (await inboxOf(world, atBob.engine.installationId)).length
  Object.assign(control, { spared: 1, left: 2 })
  clocks.turn(minuteMs + 1)
  expect((await untilTexts(atBob, id, 4)).slice(2).sort()).toEqual(['lost one', 'lost two'])
  expect(control.failed).toBe(2)
  // Each once.
  expect(await inboxOf(world, atBob.engine.installationId)).toHaveLength(before + 2)
  expect(countOf(atBob, 'duplicate_message')).toBe(0)
})

test('section 10: when two requests for one envelope are answered, the second answer is a duplicate', async () => {
  const { clocks, world, atAlice, openAlice, atBob, id } = await aPairWithLostSessions()
  await atAlice.engine.send(id, 'lost')
  await until(() => undecryptable(atBob) === 1)
  // Bob asks twice while Alice is away.
  await atAlice.engine.close()
  for (const ms of [minuteMs, hourMs]) {
    const before = (await inboxOf(world, atAlice)).length
    clocks.turn(ms)
    await until(async () => (await inboxOf(world, atAlice)).length === before + 1)
  }
  await openAlice()
  expect((await untilTexts(atBob, id, 3))[2]).toBe('lost')
  await until(() => countOf(atBob, 'duplicate_message') === 1)
  expect(countOf(atBob, 'bad_payload')).toBe(0)
})

test('section 10: a request that was read before a crash is answered after it, without being asked again', async () => {
  const { control, store } = aFailingStore()
  const { clocks, world, atAlice, openAlice, atBob, id, databases } = await aPairWithLostSessions({
    atAlice: store,
  })
  await atAlice.engine.send(id, 'lost')
  await until(() => undecryptable(atBob) === 1)
  Object.assign(control, { left: Number.POSITIVE_INFINITY, crash: true })
  clocks.turn(minuteMs + 1)
  await until(() => control.failed > 0)
  await atAlice.engine.close()
  const stored = await world.openStore(databases.alice)
  expect((await stored.get(tables.requests, 'requests'))?.value.requests).toHaveLength(1)
  await stored.close()
  const again = await openAlice()
  expect((await untilTexts(atBob, id, 3))[2]).toBe('lost')
  await again.engine.close()
  const after = await world.openStore(databases.alice)
  expect(await after.get(tables.requests, 'requests')).toBeUndefined()
})

test('section 10: asking does not set back the time of a message that is written meanwhile', async () => {
  let writeNow: (() => Promise<unknown>) | undefined
  const store = (real: Store): Store => ({
    ...storeWithTransaction(real, (reads, step, durability) =>
      real.transaction(reads, step, durability),
    ),
    get: async (table, key) => {
      const row = await real.get(table, key)
      const write = writeNow
      if (write && table.store === tables.times.store) {
        writeNow = undefined
        await write()
      }
      return row
    },
  })
  const { world, clocks, atAlice, atBob, bob, id, databases } = await aPairWithLostSessions({
    atBob: store,
  })
  await atAlice.engine.send(id, 'lost')
  await until(() => undecryptable(atBob) === 1)
  const before = (await inboxOf(world, atAlice)).length
  writeNow = () => atBob.engine.send(id, 'meanwhile')
  clocks.turn(minuteMs)
  await until(async () => (await inboxOf(world, atAlice)).length === before + 2)
  expect(writeNow).toBeUndefined()
  await atBob.engine.close()
  const opened = await world.openStore(databases.bob)
  const times = (await opened.get(tables.times, 'times'))?.value
  const composed = (await opened.all(tables.messages)).map(({ value }) => value)
  const own = composed.filter(({ sender }) => sender === addressOf(bob))
  expect(own).toHaveLength(2)
  expect(own.map(({ composedNs }) => composedNs)).toContain(times?.lastComposedNs)
  expect(own.every(({ composedNs }) => composedNs <= (times?.lastComposedNs ?? 0n))).toBe(true)
})

test('section 10: internal messages are not stored, not shown and not kept for sending again', async () => {
  const { clocks, world, atAlice, atBob, id, databases } = await aPairWithLostSessions()
  await atAlice.engine.send(id, 'lost')
  await until(() => undecryptable(atBob) === 1)
  clocks.turn(minuteMs)
  expect((await untilTexts(atBob, id, 3)).at(-1)).toBe('lost')
  const shown = (await atAlice.engine.history(id, undefined, 10)).map(({ content }) => content)
  expect(shown.sort()).toEqual(['lost', 'one', 'two'])
  for (const { engine } of [atAlice, atBob]) await engine.close()
  for (const [database, sent] of [
    [databases.alice, [0, 1]],
    [databases.bob, [0]],
  ] as const) {
    const store = await world.openStore(database)
    expect(await store.all(tables.messages)).toHaveLength(3)
    const records = (await store.all(tables.sent)).map(({ value }) => value)
    // Neither the request nor the answer.
    expect(records.flatMap(({ envelopes }) => envelopes.map(({ answers }) => answers))).toEqual(
      sent,
    )
  }
})
