/** What leaves when, in which order, and what is saved with it: docs/protocol.md section 8, Out; one part alone. */

import { expect, test } from 'vitest'
import { OutboxQueue } from '../../../src/engine/sending/outbox-queue.ts'
import { nextRequest } from '../../../src/engine/sending/requests.ts'
import { PadlockError } from '../../../src/errors.ts'
import { minuteMs } from '../../../src/protocol/limits.ts'
import { messageTopic } from '../../../src/protocol/topics.ts'
import { MessageState, tables } from '../../../src/store/tables.ts'
import { until } from '../../support/engine.ts'
import { aDevice, known } from '../../support/engine-context.ts'
import { anOutbox, ones, storeSealed, topicsOf } from '../../support/outbox-part.ts'

const kib = 1_024

test('messages leave in the order of composition, one request at a time, sealed on the disk before', async () => {
  const all = await anOutbox()
  const [peer] = all.aPeer()
  if (!peer) return
  await all.run()
  const id = all.conversationWith(peer.address)
  const messages = []
  for (const text of ['one', 'two', 'three']) messages.push(await all.outbox.send(id, text))
  for (const { id: name } of messages) {
    await until(async () => (await all.message(name)).state === MessageState.SENT)
  }
  expect(all.mostInFlight()).toBe(1)
  expect(all.requests.flat()).toHaveLength(3)
  // Whatever was on its way lay sealed in the store, with its bytes.
  for (const [at, request] of all.requests.entries()) {
    const sealed = all.seenAtPublish[at]?.filter((one) => one.sealed) ?? []
    expect(sealed.reduce((sum, { rows }) => sum + rows, 0)).toBe(request.length)
  }
  const sealings = all.committed.filter(({ tables: names }) => names.includes('sessions'))
  expect(sealings.length).toBeGreaterThan(0)
  for (const { tables: names, durability } of sealings) {
    expect(durability).toBe('strict')
    expect(names).toEqual(expect.arrayContaining(['sessions', 'outbox', 'sent']))
  }
  const times = await Promise.all(
    messages.map(async ({ id: name }) => (await all.message(name)).nodeNs),
  )
  expect([...times].sort()).toEqual(times)
  await all.idle()
  expect(await all.entries()).toEqual([])
  // The row goes with the message's new state.
  const sent = all.committed.filter(({ tables: names }) => names.includes('messages')).slice(-1)
  expect(sent[0]?.tables).toEqual(expect.arrayContaining(['messages', 'outbox']))
})

test.each([
  ['500 envelopes', [ones(300), ones(200), ones(1)], [500, 1]],
  ['all envelopes of a message', [ones(300), ones(201), ones(1)], [300, 202]],
  ['256 KiB at first', [[kib, 254 * kib], [kib], [1]], [3, 1]],
  ['whole messages within 256 KiB', [[255 * kib], [kib + 1], [1]], [1, 2]],
])(
  'section 11: a request holds %s at most, and messages in their order',
  async (_, sizes, expected) => {
    const all = await anOutbox()
    await storeSealed(all, sizes)
    await all.run()
    await until(async () => (await all.message('message 2')).state === MessageState.SENT)
    expect(all.requests.map(({ length }) => length)).toEqual(expected)
    const sent = all.requests.flat().map(({ message }) => message.length)
    expect(sent).toEqual(sizes.flat())
  },
)

test('a message that is larger than a request should be goes in parts, and what came through is not sent again', async () => {
  const all = await anOutbox()
  const sizes = [100, 100, 100, 200, 50].map((size) => size * kib)
  await storeSealed(all, [sizes, [1]])
  await all.outbox.load()
  all.answers.push(undefined, new PadlockError('network_unavailable'))
  void all.outbox.run()
  all.outbox.setLive(true)
  await until(() => all.requests.length === 2)
  await until(() => all.waits.length > 0)
  // The message counts as sent once all of it is.
  expect((await all.message('message 0')).state).toBe(MessageState.PENDING)
  const [{ rows } = { rows: [] }] = await all.entries()
  expect(rows.map(({ message }) => message.length)).toEqual([0, 0, ...sizes.slice(2)])
  all.turn(minuteMs)
  await until(async () => (await all.message('message 1')).state === MessageState.SENT)
  const carried = all.requests.map((request) => request.map(({ message }) => message.length / kib))
  // After the failure half of what failed is tried.
  expect(carried).toEqual([[100, 100], [100, 200, 50, 1 / kib], [100], [200, 50, 1 / kib]])
  expect((await all.message('message 0')).state).toBe(MessageState.SENT)
  expect(await all.entries()).toEqual([])
})

test('a restart goes on after the parts that came through', async () => {
  const all = await anOutbox()
  await storeSealed(all, [[200 * kib, 100 * kib]])
  all.answers.push(undefined, new PadlockError('network_unavailable'))
  await all.run()
  await until(() => all.requests.length === 2)
  const queue = new OutboxQueue(all.store, all.context.platform, {
    onReady: () => undefined,
    onRoom: () => undefined,
  })
  await queue.load()
  const [entry] = queue.all()
  expect(entry && nextRequest([entry], 1)[0]?.rows.map(({ message }) => message.length)).toEqual([
    100 * kib,
  ])
})

test('a message is deferred for a device that was passed over in the transaction that marks it sent; an internal message is deferred for nobody', async () => {
  const all = await anOutbox()
  const [phone] = all.aPeer()
  if (!phone) return
  const silent = known(aDevice(phone.address))
  all.directory.people.set(phone.address, [phone, silent])
  await all.run()
  const { id } = await all.outbox.send(all.conversationWith(phone.address), 'hello')
  await until(async () => (await all.message(id)).state === MessageState.SENT)
  await all.idle()
  const deferrals = async () =>
    (await all.store.scan(tables.owed, { after: 0, limit: 9 })).rows.map(({ value }) => [
      value.messageId,
      value.installationId,
    ])
  expect(await deferrals()).toEqual([[id, silent.id]])
  const marking = all.committed.filter(({ tables: names }) => names.includes('owed'))
  expect(marking.map(({ tables: names }) => [...new Set(names)].sort())).toEqual([
    ['messages', 'outbox', 'owed'],
  ])
  await all.sayTo(phone)
  await until(async () => (await all.entries()).length === 0)
  await all.idle()
  expect(await deferrals()).toHaveLength(1)
})

test('a note goes once to each of our other devices, and its claim is forgotten', async () => {
  const all = await anOutbox()
  const tablets = all.aPeer(all.context.account.address, 2)
  await all.run()
  const { id } = await all.outbox.send(all.conversationWith(all.context.account.address), 'note')
  await until(async () => (await all.message(id)).state === MessageState.SENT)
  expect(all.requests.map(topicsOf)).toEqual([tablets.map((one) => messageTopic(one.id))])
  expect(await all.store.get(tables.claim, 'claim')).toBeUndefined()
})
