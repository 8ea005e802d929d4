/** What could not be decrypted comes again: docs/protocol.md section 10. */

import { expect, test } from 'vitest'
import { PadlockError } from '../../../src/errors.ts'
import type { Platform } from '../../../src/platform/platform.ts'
import { encodeBase64Url } from '../../../src/protocol/bytes.ts'
import type { Store } from '../../../src/store/store.ts'
import { joinKey, put, remove, tables } from '../../../src/store/tables.ts'
import {
  anAccount,
  anEngineWorld,
  type EngineWorld,
  freshDatabase,
  type Opened,
  until,
  untilState,
  untilTexts,
} from '../../support/engine.ts'
import { storeWithTransaction } from '../../support/store-with-transaction.ts'

const _never = new AbortController().signal
const minuteMs = 60_000
const hourMs = 60 * minuteMs

/** A clock that the test turns; waits of a minute or more end when it is turned that far. */
const aClock = () => {
  const start = Date.now()
  let aheadMs = 0
  const waiting = new Set<{ dueMs: number; end: () => void }>()
  const nowMs = () => Date.now() + aheadMs
  const platform: Partial<Platform> = {
    nowMs,
    wait: (ms, signal) =>
      new Promise((resolve) => {
        if (signal?.aborted) return resolve()
        const one = { dueMs: nowMs() + ms, end: () => finish() }
        const timer = ms < minuteMs / 2 ? setTimeout(() => finish(), ms) : undefined
        const finish = () => {
          clearTimeout(timer)
          waiting.delete(one)
          signal?.removeEventListener('abort', finish)
          resolve()
        }
        waiting.add(one)
        signal?.addEventListener('abort', finish, { once: true })
      }),
  }
  const turn = (ms: number) => {
    aheadMs += ms
    for (const one of [...waiting]) if (one.dueMs <= nowMs()) one.end()
  }
  return { platform, turn, nowMs, start }
}

const inboxOf = async (world: EngineWorld, installationId: string) => {
  const topic = `message-${installationId}`
  const page = await world.node.store.page([{ topic, afterSequence: 0n }], {
    envelopes: 500,
    bytes: 1e9,
  })
  return page.envelopes
}

const countOf = ({ engine }: Opened, code: string): number =>
  engine.status.warnings.find((warning) => warning.code === code)?.count ?? 0

const undecryptable = (one: Opened): number =>
  countOf(one, 'session_unknown') + countOf(one, 'decryption_failed') + countOf(one, 'prekey_gone')

/** Alice and Bob, who have talked both ways; then Bob's device loses the sessions it had. */
const aPairWithLostSessions = async (store: (real: Store) => Store = (real) => real) => {
  const clock = aClock()
  const world = await anEngineWorld()
  const [alice, bob] = [anAccount(), anAccount()]
  const database = freshDatabase()
  const { platform } = clock
  const databaseOfAlice = freshDatabase()
  const atAlice = await world.open({ account: alice, database: databaseOfAlice, platform, store })
  const first = await world.open({ account: bob, database, platform })
  for (const each of [atAlice, first]) await untilState(each, 'live')
  const { id } = await atAlice.engine.conversation(bob.address)
  await atAlice.engine.send(id, 'one')
  await untilTexts(first, id, 1)
  await first.engine.send(id, 'two')
  await untilTexts(atAlice, id, 2)
  await first.engine.close()
  const closed = await world.openStore(database)
  const sessions = await closed.all(tables.sessions)
  await closed.transaction([], () => ({
    writes: sessions.map(({ value }) =>
      remove(tables.sessions, joinKey(value.installationId, encodeBase64Url(value.sessionId))),
    ),
    result: undefined,
  }))
  closed.close()
  const atBob = await world.open({ account: bob, database, platform })
  await untilState(atBob, 'live')
  return { clock, world, alice, bob, atAlice, atBob, id, database, databaseOfAlice }
}

/** Fails what would store an answer, as often as `left` says, and all that comes after a `crash`. */
const aFailingStore = () => {
  const control = { left: 0, failed: 0, crash: false }
  const store = (real: Store): Store =>
    storeWithTransaction(real, (reads, step, durability) =>
      real.transaction(
        reads,
        (rows) => {
          const made = step(rows)
          const written = new Set(made.writes.map(({ table }) => table.store))
          const isAnswer = written.has('sent') && written.has('outbox')
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

test('section 10: what could not be decrypted is asked for a minute later and comes in its place', async () => {
  const { clock, world, atAlice, atBob, id } = await aPairWithLostSessions()
  await atAlice.engine.send(id, 'lost one')
  await atAlice.engine.send(id, 'lost two')
  await until(() => undecryptable(atBob) === 2)
  const before = (await inboxOf(world, atAlice.engine.installationId)).length
  clock.turn(minuteMs / 2)
  expect(await inboxOf(world, atAlice.engine.installationId)).toHaveLength(before)
  clock.turn(minuteMs)
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
  clock.turn(2 * hourMs)
  await atAlice.engine.send(id, 'the end')
  await untilTexts(atBob, id, 7)
  expect(await inboxOf(world, atAlice.engine.installationId)).toHaveLength(after)
})

test('section 10: a store that fails while answering is tried again, and the answer goes once', async () => {
  const { control, store } = aFailingStore()
  const { clock, world, atAlice, atBob, id } = await aPairWithLostSessions(store)
  await atAlice.engine.send(id, 'lost')
  await until(() => undecryptable(atBob) === 1)
  control.left = 2
  clock.turn(minuteMs + 1)
  expect((await untilTexts(atBob, id, 3))[2]).toBe('lost')
  expect(control.failed).toBe(2)
  expect(countOf(atAlice, 'storage_failed')).toBe(2)
  expect(atAlice.events.filter(({ kind }) => kind === 'retransmitted')).toMatchObject([
    { count: 1 },
  ])
  // The first of the loss, and the request.
  expect(await inboxOf(world, atBob.engine.installationId)).toHaveLength(3)
})

test('section 10: a request that was read before a crash is answered after it, without being asked again', async () => {
  const { control, store } = aFailingStore()
  const { clock, world, alice, atAlice, atBob, id, databaseOfAlice } =
    await aPairWithLostSessions(store)
  await atAlice.engine.send(id, 'lost')
  await until(() => undecryptable(atBob) === 1)
  Object.assign(control, { left: Number.POSITIVE_INFINITY, crash: true })
  clock.turn(minuteMs + 1)
  await until(() => control.failed > 0)
  await atAlice.engine.close()
  const stored = await world.openStore(databaseOfAlice)
  expect((await stored.get(tables.requests, 'requests'))?.value.requests).toHaveLength(1)
  stored.close()
  const again = await world.open({
    account: alice,
    database: databaseOfAlice,
    platform: clock.platform,
  })
  expect((await untilTexts(atBob, id, 3))[2]).toBe('lost')
  await again.engine.close()
  const after = await world.openStore(databaseOfAlice)
  expect(await after.get(tables.requests, 'requests')).toBeUndefined()
})

test('section 10: the timer survives a restart', async () => {
  const { clock, world, bob, atAlice, atBob, id, database } = await aPairWithLostSessions()
  await atAlice.engine.send(id, 'lost')
  await until(() => undecryptable(atBob) === 1)
  await atBob.engine.close()
  clock.turn(2 * minuteMs)
  const again = await world.open({ account: bob, database, platform: clock.platform })
  await untilState(again, 'live')
  expect((await untilTexts(again, id, 3)).at(-1)).toBe('lost')
})

test('section 10: who is not answered asks once more after an hour, and then never again', async () => {
  const { clock, world, alice, atAlice, atBob, id } = await aPairWithLostSessions()
  await atAlice.engine.send(id, 'lost')
  await until(() => undecryptable(atBob) === 1)
  const { installationId } = atAlice.engine
  // Alice is away for good.
  await atAlice.engine.close()
  expect(alice.address).toBeTruthy()
  const before = (await inboxOf(world, installationId)).length
  const asked = async (count: number) =>
    until(async () => (await inboxOf(world, installationId)).length === before + count)
  clock.turn(2 * minuteMs)
  await asked(1)
  clock.turn(hourMs / 2)
  clock.turn(hourMs)
  await asked(2)
  for (let n = 0; n < 30; n += 1) clock.turn(hourMs)
  // Something that happens later, so that whatever was to come would have come.
  await atBob.engine.send(id, 'anyone?')
  await asked(3)
})

test('section 10: what came is shown once, and asked for no more', async () => {
  const { clock, world, atAlice, atBob, id } = await aPairWithLostSessions()
  await atAlice.engine.send(id, 'lost')
  await until(() => undecryptable(atBob) === 1)
  clock.turn(2 * minuteMs)
  await untilTexts(atBob, id, 3)
  const before = (await inboxOf(world, atAlice.engine.installationId)).length
  for (let n = 0; n < 5; n += 1) clock.turn(hourMs)
  await atBob.engine.send(id, 'thanks')
  await untilTexts(atAlice, id, 4)
  expect(await inboxOf(world, atAlice.engine.installationId)).toHaveLength(before + 1)
  const history = await atBob.engine.history(id, undefined, 10)
  expect(history.filter(({ content }) => content === 'lost')).toHaveLength(1)
})

test('section 10: two that cannot decrypt each other stay within twenty requests an hour each', async () => {
  const { clock, world, atAlice, atBob, id, bob, database } = await aPairWithLostSessions()
  // Bob's one-time and fallback secrets are gone too: nothing that anybody begins can be decrypted.
  await atBob.engine.close()
  const store = await world.openStore(database)
  await store.transaction([{ table: tables.prekeys, key: 'prekeys' }], () => ({
    writes: [put(tables.prekeys, 'prekeys', { oneTime: [], fallback: [] })],
    result: undefined,
  }))
  store.close()
  const network = (real: EngineWorld['network']): EngineWorld['network'] => ({
    ...real,
    // And his uploads never arrive.
    publish: (envelopes, signal) =>
      envelopes.some(({ topic }) => topic.startsWith('prekey-'))
        ? new Promise((_, reject) => {
            signal?.addEventListener('abort', () => reject(signal.reason), { once: true })
          })
        : real.publish(envelopes, signal),
  })
  const again = await world.open({ account: bob, database, platform: clock.platform, network })
  await untilState(again, 'live')
  for (let n = 0; n < 5; n += 1) await atAlice.engine.send(id, `lost ${n}`)
  await until(() => undecryptable(again) >= 5)
  const sizes = async () => {
    const inboxes = [atAlice, again].map(({ engine }) => inboxOf(world, engine.installationId))
    return (await Promise.all(inboxes)).map(({ length }) => length)
  }
  const [alicesBefore = 0, bobsBefore = 0] = await sizes()
  for (let minute = 0; minute < 180; minute += 1) {
    clock.turn(minuteMs)
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
  const [alicesAfter = 0, bobsAfter = 0] = await sizes()
  // Three hours and a bit; answers go on the session of the request, so Bob gets what he lost.
  expect(alicesAfter - alicesBefore).toBeLessThanOrEqual(80)
  expect(bobsAfter - bobsBefore).toBeLessThanOrEqual(80)
})
