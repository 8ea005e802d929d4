/** Asking for what could not be decrypted: the numbers of docs/protocol.md section 10, one part alone. */

import { expect, test, vi } from 'vitest'
import { commit } from '../../../src/engine/runtime/change.ts'
import { PadlockError } from '../../../src/errors.ts'
import { buildConversationId } from '../../../src/protocol/ids.ts'
import { hourMs, minuteMs } from '../../../src/protocol/limits.ts'
import { tables } from '../../../src/store/tables.ts'
import { freshDatabase, until } from '../../support/engine.ts'
import { aDevice, known } from '../../support/engine-context.ts'
import { aFailure, aRequester, askedOf, countsOf } from '../../support/requester-part.ts'

test('section 10: a request goes a minute after the first failure, and names what failed since', async () => {
  const all = await aRequester()
  const [peer] = all.peers
  if (!peer) return
  const [first, second] = [aFailure(peer), aFailure(peer)]
  await all.run()
  await all.note([first])
  await all.settled()
  await all.turn(30_000)
  await all.note([second])
  await all.settled()
  await all.turn(29_999)
  expect(askedOf(all)).toEqual([])
  await all.turn(1)
  expect(askedOf(all)).toEqual([[first.digest, second.digest]])
})

test('the second request comes an hour after the first, not a millisecond before', async () => {
  const all = await aRequester()
  const [peer] = all.peers
  if (!peer) return
  await all.run()
  await all.note([aFailure(peer)])
  await all.settled()
  await all.turn(minuteMs)
  expect(all.parts.fanout.calls).toHaveLength(1)
  await all.turn(hourMs - 1)
  expect(all.parts.fanout.calls).toHaveLength(1)
  await all.turn(1)
  expect(all.parts.fanout.calls).toHaveLength(2)
  // Of requests only those of the last hour are remembered.
  const times = (await all.world.store.get(tables.times, 'times'))?.value
  expect(times?.askedMs).toEqual([BigInt(all.world.clock.nowMs)])
})

test('each digest is asked for twice and never again, however late the others failed', async () => {
  const all = await aRequester()
  const [peer] = all.peers
  if (!peer) return
  const failures = [aFailure(peer), aFailure(peer)]
  await all.run()
  for (const failure of failures) {
    await all.note([failure])
    await all.settled()
    await all.turn(hourMs / 2)
  }
  for (let hour = 0; hour < 30; hour += 1) await all.turn(hourMs)
  expect(countsOf(all, failures)).toEqual([2, 2])
  // They stay noted, as an answer may still come.
  const [stored] = await all.world.store.all(tables.recovery)
  expect(stored?.value.missing.map(({ asks }) => asks)).toEqual([2, 2])
})

test('one request names at most 500 digests, and the rest are asked for too', async () => {
  const all = await aRequester()
  const [peer] = all.peers
  if (!peer) return
  const failures = Array.from({ length: 501 }, () => aFailure(peer))
  await all.run()
  await all.note(failures)
  await all.settled()
  await all.turn(minuteMs)
  for (let n = 0; n < 4; n += 1) await all.turn(hourMs)
  const sizes = askedOf(all).map(({ length }) => length)
  expect(sizes[0]).toBe(500)
  expect(Math.max(...sizes)).toBe(500)
  expect(new Set(countsOf(all, failures))).toEqual(new Set([2]))
})

test('a request goes on a new session, in the conversation of both accounts, to that installation alone', async () => {
  const all = await aRequester()
  const { world, parts, peers, claims } = all
  const [peer] = peers
  if (!peer) return
  // There is a session already, and another device of the same account.
  const there = await parts.fanout.prepareNew(peer)
  if (!there) throw new Error('no session')
  await commit(world.store, parts.sessions.statesChange([there]))
  parts.directory.people.set(peer.address, [known(aDevice(peer.address)), peer])
  await all.run()
  world.committed.length = 0
  await all.note([aFailure(peer)])
  await all.settled()
  await all.turn(minuteMs)
  const [call] = parts.fanout.calls
  expect(call?.messages).toMatchObject([
    {
      conversationId: buildConversationId(world.context.account.address, peer.address),
      recipients: [{ id: peer.id }],
    },
  ])
  const on = call?.on.get(peer.id)
  expect(on).toBeDefined()
  expect(on?.sessionId).not.toEqual(there.sessionId)
  expect(claims).toEqual([[peer.id], [peer.id]])
  // It is an entry of its own in the outbox, which stands for no message.
  expect(parts.queue.enqueued).toMatchObject([{ record: { messageId: '', sealed: true } }])
  expect(parts.queue.enqueued[0]?.record.rows).toHaveLength(1)
})

test('a request, its ratchet, its timer and its place in the outbox are saved together, on the disk, before it leaves', async () => {
  const all = await aRequester()
  const { world, parts, peers } = all
  const [peer] = peers
  if (!peer) return
  let storedFirst: boolean | undefined
  vi.spyOn(parts.outbox, 'wake').mockImplementation(() => {
    storedFirst = world.committed.some(({ tables: names }) => names.includes('outbox'))
  })
  await all.run()
  await all.note([aFailure(peer)])
  world.committed.length = 0
  await all.settled()
  await all.turn(minuteMs)
  const asked = world.committed.filter(({ tables: names }) => names.includes('outbox'))
  expect(asked).toEqual([
    {
      durability: 'strict',
      tables: expect.arrayContaining(['recovery', 'account', 'sessions', 'outbox']),
    },
  ])
  expect(storedFirst).toBe(true)
  // What is kept in memory is what was saved: the next message goes on the state after this one.
  const [session] = parts.sessions.of(peer.id)
  const stored = (await world.store.all(tables.sessions)).map(({ value }) => value)
  expect(stored).toHaveLength(1)
  expect(stored[0]?.state).toEqual(session?.state)
  expect(session?.sentSince).toBe(1)
  // The claim that its session was made from is settled with it.
  for (const name of ['claim', 'claim of one']) {
    expect(await world.store.get(tables.claim, name)).toBeUndefined()
  }
  const outbox = await world.store.scan(tables.outbox, { after: 0, limit: 9 })
  expect(outbox.rows.map(({ value }) => value.rows.length)).toEqual([1])
  // The times of composition and of uploads stay as they were.
  const times = (await world.store.get(tables.times, 'times'))?.value
  expect(times).toMatchObject({ lastComposedNs: 5n, lastCreatedNs: 6n })
  expect(times?.askedMs).toEqual([BigInt(world.clock.nowMs)])
})

test('at most twenty requests an hour in all, whatever is restarted; the next one when the first is an hour old', async () => {
  const database = freshDatabase()
  const all = await aRequester(22, { database })
  const { world, parts } = all
  await all.run()
  await all.note(all.peers.map((peer) => aFailure(peer)))
  await all.settled()
  await all.turn(minuteMs)
  expect(parts.fanout.calls).toHaveLength(20)
  expect(all.claims).toHaveLength(20)
  // Looked at again in a minute, not at once.
  expect(world.waits).toEqual([minuteMs])
  // Another one over the same store, as after a restart, counts on.
  const again = all.start()
  await again.load()
  all.requester.setLive(false)
  world.turn(2 * minuteMs)
  await all.settled()
  void again.run()
  again.setLive(true)
  await new Promise((resolve) => setTimeout(resolve, 30))
  expect(parts.fanout.calls).toHaveLength(20)
  for (let minute = 0; minute < 57; minute += 1) {
    world.turn(minuteMs)
    await new Promise((resolve) => setTimeout(resolve, 1))
  }
  await until(() => world.waits.length >= 2)
  expect(parts.fanout.calls).toHaveLength(20)
  world.turn(minuteMs)
  await until(() => parts.fanout.calls.length > 20)
  await until(() => world.waits.length >= 2)
  // Those twenty are due again too: the hour holds for them all.
  expect(parts.fanout.calls).toHaveLength(40)
  const times = (await world.store.get(tables.times, 'times'))?.value
  expect(times?.askedMs).toHaveLength(20)
})

test('section 10: the installation that was asked longest ago is asked first, so that nobody uses up the requests of others', async () => {
  const all = await aRequester(22)
  const [quiet] = all.peers.slice(-1)
  if (!quiet) return
  await all.run()
  // Twenty-one that fail again and again, and one that failed once, after them.
  await all.note(all.peers.slice(0, 21).map((peer) => aFailure(peer)))
  await all.settled()
  await all.turn(minuteMs)
  await all.note([...all.peers.slice(0, 21).map((peer) => aFailure(peer)), aFailure(quiet)])
  await all.settled()
  const asked = () =>
    all.parts.fanout.calls.flatMap(({ messages }) => messages[0]?.recipients[0]?.id ?? [])
  expect(asked()).toHaveLength(20)
  await all.turn(hourMs)
  await until(() => asked().length > 20)
  expect(asked().slice(20, 22).sort()).toEqual([all.peers[20]?.id, quiet.id].sort())
})

test('nothing is asked while offline, nor of an installation that is revoked or gone', async () => {
  const all = await aRequester()
  const [peer] = all.peers
  if (!peer) return
  void all.requester.run()
  await all.settled()
  await all.note([aFailure(peer)])
  await all.settled()
  await all.turn(2 * minuteMs)
  expect(all.claims).toEqual([])
  all.parts.directory.people.set(peer.address, [{ ...peer, revokedNs: 1n }])
  all.requester.setLive(true)
  await all.settled()
  // It counts as asked, so that it ends; but not among the twenty an hour.
  await until(
    async () => (await all.world.store.all(tables.recovery))[0]?.value.missing[0]?.asks === 1,
  )
  expect((await all.world.store.get(tables.times, 'times'))?.value.askedMs).toEqual([])
  await all.turn(3 * hourMs)
  expect(all.claims).toEqual([])
  expect(all.parts.fanout.calls).toEqual([])
  expect(all.parts.queue.enqueued).toEqual([])
})

test('a failure on the way is reported, and tried again a minute later', async () => {
  const all = await aRequester()
  const [peer] = all.peers
  if (!peer) return
  await all.run()
  await all.note([aFailure(peer)])
  await all.settled()
  all.refuse.error = new PadlockError('network_unavailable')
  await all.turn(minuteMs)
  expect(all.world.waits).toEqual([minuteMs])
  expect(all.world.context.status.current.warnings).toMatchObject([{ code: 'network_unavailable' }])
  all.refuse.error = undefined
  await all.turn(minuteMs)
  expect(all.parts.fanout.calls).toHaveLength(1)
})

test('section 10: an installation that gives no prekey is asked when it gives one, tried once an hour', async () => {
  const all = await aRequester()
  const [peer] = all.peers
  if (!peer) return
  all.meanwhile.isEmpty = true
  await all.run()
  await all.note([aFailure(peer)])
  await all.settled()
  await all.turn(minuteMs)
  expect(all.world.context.status.current.warnings).toEqual([])
  expect(all.parts.queue.enqueued).toEqual([])
  const [stored] = await all.world.store.all(tables.recovery)
  expect(stored?.value.missing).toMatchObject([{ asks: 0 }])
  for (let hour = 0; hour < 4; hour += 1) await all.turn(hourMs)
  expect(all.claims).toHaveLength(5)
  all.meanwhile.isEmpty = false
  await all.turn(hourMs)
  expect(all.claims).toHaveLength(6)
  expect(all.parts.queue.enqueued).toHaveLength(1)
})

test('an installation that nobody can encrypt to counts as asked: it is tried again in an hour', async () => {
  const all = await aRequester()
  const [peer] = all.peers
  if (!peer) return
  all.parts.directory.people.set(peer.address, [{ ...peer, sealingKey: new Uint8Array(32) }])
  await all.run()
  await all.note([aFailure(peer)])
  await all.settled()
  await all.turn(minuteMs)
  expect(all.claims).toHaveLength(1)
  expect(all.world.waits).toEqual([hourMs])
  expect(all.parts.queue.enqueued).toEqual([])
  const [stored] = await all.world.store.all(tables.recovery)
  const askedMs = BigInt(all.world.clock.nowMs)
  expect(stored?.value.missing).toMatchObject([{ asks: 1, askedMs }])
  expect(await all.world.store.get(tables.claim, 'claim of one')).toBeUndefined()
  expect((await all.world.store.get(tables.times, 'times'))?.value.askedMs).toEqual([])
})
