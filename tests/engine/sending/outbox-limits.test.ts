/** Limits of requests, of sessions and of the age of bytes: docs/protocol.md sections 7, 8 and 11; one part alone. */

import { expect, test } from 'vitest'
import { PadlockError } from '../../../src/errors.ts'
import { encodeHex } from '../../../src/protocol/bytes.ts'
import { dayMs, minuteMs } from '../../../src/protocol/limits.ts'
import { messageTopic } from '../../../src/protocol/topics.ts'
import { MessageState } from '../../../src/store/tables.ts'
import { until } from '../../support/engine.ts'
import { sendingParts } from '../../support/engine-context.ts'
import { anOutbox, ones, storeSealed, topicsOf } from '../../support/outbox-part.ts'

test('each message has the time of its receipt, and those of one request have the same', async () => {
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

test('bytes that a clock years ahead has dated are dropped fourteen days later all the same', async () => {
  const all = await anOutbox()
  const address = await storeSealed(all, [ones(1)], all.clock.nowMs + 3_650 * dayMs)
  all.answers.push(...Array.from({ length: 50 }, () => new PadlockError('network_unavailable')))
  await all.run()
  await until(() => all.requests.length === 1)
  await until(() => all.waits.length > 0)
  expect(await all.entries()).toMatchObject([{ sealed: true, sealedMs: BigInt(all.clock.nowMs) }])
  all.aPeer(address)
  all.answers.length = 0
  all.turn(14 * dayMs + 1)
  await until(() => all.requests.length === 2)
  expect(all.requests[1]?.[0]?.message.length).toBeGreaterThan(512)
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

test('dropping old bytes is stored, so that a crash does not offer them again', async () => {
  const all = await anOutbox()
  await storeSealed(all, [ones(2)])
  all.turn(14 * dayMs + 1)
  await all.run()
  await until(async () => (await all.message('message 0')).reason === 'no_installation')
  await all.idle()
  expect(await all.entries()).toMatchObject([{ sealed: false, rows: [], sealedMs: 0n }])
  expect(all.requests).toEqual([])
})
