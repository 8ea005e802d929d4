/** Limits of requests, of sessions and of the age of bytes: docs/protocol.md sections 7, 8 and 11; one part alone. */

import { expect, test } from 'vitest'
import { commit } from '../../../src/engine/runtime/change.ts'
import { PadlockError } from '../../../src/errors.ts'
import { encodeHex } from '../../../src/protocol/bytes.ts'
import { messageTopic } from '../../../src/protocol/topics.ts'
import { MessageState, put, tables } from '../../../src/store/tables.ts'
import { until } from '../../support/engine.ts'
import { anAddress, sendingParts } from '../../support/engine-context.ts'
import { anOutbox, ones, storeSealed, topicsOf } from '../../support/outbox-part.ts'

const minuteMs = 60_000
const dayMs = 86_400_000

test('each message has the time of its own receipt, and those of one request the same', async () => {
  const all = await anOutbox()
  await storeSealed(all, [ones(499), ones(1), ones(1)])
  await all.run()
  await until(async () => (await all.message('message 2')).state === MessageState.SENT)
  const times = await Promise.all(
    [0, 1, 2].map(async (nth) => (await all.message(`message ${nth}`)).nodeNs),
  )
  expect(times[1]).toBe(times[0])
  expect(Number(times[2])).toBeGreaterThan(Number(times[1]))
})

test('bytes that no node took for fourteen days are dropped, and the message is encrypted anew', async () => {
  const all = await anOutbox()
  const address = await storeSealed(all, [ones(1)])
  const [peer] = all.aPeer(address)
  all.turn(14 * dayMs)
  all.answers.push(new PadlockError('network_unavailable'))
  await all.run()
  await until(() => all.requests.length === 1)
  await until(() => all.waits.length > 0)
  expect(all.requests[0]?.[0]?.message).toHaveLength(1)
  all.turn(minuteMs)
  await until(() => all.requests.length === 2)
  expect(topicsOf(all.requests[1])).toEqual([messageTopic(peer?.id ?? ('' as never))])
  expect(all.requests[1]?.[0]?.message.length).toBeGreaterThan(512)
  await until(async () => (await all.message('message 0')).state === MessageState.SENT)
})

test('a message and its bytes come back after a restart, with nothing lost and nothing sent twice', async () => {
  const all = await anOutbox()
  const [peer] = all.aPeer()
  if (!peer) return
  all.answers.push(...Array.from({ length: 50 }, () => new PadlockError('network_unavailable')))
  await all.run()
  const { id } = await all.outbox.send(all.conversationWith(peer.address), 'hello')
  await until(() => all.requests.length === 1)
  await until(() => all.waits.length > 0)
  all.outbox.setLive(false)
  all.answers.length = 0
  const again = sendingParts(all.context)
  again.directory.people.set(peer.address, [peer])
  await again.outbox.load()
  void again.outbox.run()
  again.outbox.setLive(true)
  await until(async () => (await all.message(id)).state === MessageState.SENT)
  const [first, second] = all.requests.map((request) =>
    encodeHex(request[0]?.message ?? new Uint8Array()),
  )
  expect(second).toBe(first)
  expect(all.requests).toHaveLength(2)
})

test('times of composition go on above those of before a restart, whatever the clock says', async () => {
  const all = await anOutbox()
  const above = BigInt(all.clock.nowMs + dayMs) * 1_000_000n
  await all.store.transaction([], () => ({
    writes: [put(tables.times, 'times', { lastComposedNs: above })],
    result: undefined,
  }))
  await all.outbox.load()
  const { id } = await all.outbox.send(all.conversationWith(anAddress()), 'hello')
  const row = await all.store.get(tables.messages, id)
  expect(row?.value.composedNs).toBe(above + 1n)
  expect((await all.store.get(tables.times, 'times'))?.value.lastComposedNs).toBe(above + 1n)
})

test('messages never take a session past its thousandth send: the rest goes on a new one', async () => {
  const all = await anOutbox()
  const [peer] = all.aPeer()
  if (!peer) return
  const made = await all.fanout.prepareNew(peer)
  if (!made) throw new Error('no session')
  const nearly = { ...made, sentSince: 998 }
  await commit(all.store, all.sessions.statesChange([nearly]))
  await all.outbox.load()
  const ids: string[] = []
  for (const text of ['one', 'two', 'three']) {
    ids.push((await all.outbox.send(all.conversationWith(peer.address), text)).id)
  }
  void all.outbox.run()
  all.outbox.setLive(true)
  for (const id of ids) {
    await until(async () => (await all.message(id)).state === MessageState.SENT)
  }
  expect(all.requests.map(({ length }) => length)).toEqual([2, 1])
  const sends = all.sessions.of(peer.id).map(({ sentSince }) => sentSince)
  expect(sends.sort()).toEqual([1, 1_000])
})

test('that old bytes are encrypted anew is stored, so that a crash does not offer them again', async () => {
  const all = await anOutbox()
  await storeSealed(all, [ones(2)])
  all.turn(14 * dayMs + 1)
  await all.run()
  await until(async () => (await all.message('message 0')).reason === 'no_installation')
  await all.idle()
  expect(await all.entries()).toMatchObject([{ sealed: false, rows: [], sealedMs: 0n }])
  expect(all.requests).toEqual([])
})
