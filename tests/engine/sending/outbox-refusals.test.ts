/** What becomes of messages that a node refuses, or cannot be sent: docs/protocol.md section 8, Out; one part alone. */

import { expect, test } from 'vitest'
import { PadlockError } from '../../../src/errors.ts'
import { dayMs, minuteMs } from '../../../src/protocol/limits.ts'
import { messageTopic } from '../../../src/protocol/topics.ts'
import { MessageState } from '../../../src/store/tables.ts'
import { until } from '../../support/engine.ts'
import { anAddress } from '../../support/engine-context.ts'
import { anOutbox, refusal, storeSealed, topicsOf } from '../../support/outbox-part.ts'

test('a final refusal of one message gives up that one, and the others go', async () => {
  const all = await anOutbox()
  const peers = [all.aPeer(anAddress(), 2), all.aPeer(anAddress(), 3), all.aPeer()].flat()
  const addresses = [...new Set(peers.map(({ address }) => address))]
  await all.outbox.load()
  const ids: string[] = []
  for (const address of addresses) {
    ids.push((await all.outbox.send(all.conversationWith(address), 'hello')).id)
  }
  // Of six envelopes the fifth, counted from 0: the last of the second message.
  all.answers.push(refusal('too_large', 4))
  void all.outbox.run()
  all.outbox.setLive(true)
  await until(async () => (await all.message(ids[2] ?? '')).state === MessageState.SENT)
  expect(all.requests.map(({ length }) => length)).toEqual([6, 3])
  expect(await all.message(ids[0] ?? '')).toMatchObject({ state: MessageState.SENT })
  expect(await all.message(ids[1] ?? '')).toMatchObject({
    state: MessageState.PENDING,
    reason: 'too_large',
  })
  await all.idle()
  expect(await all.entries()).toEqual([])
  expect(all.warned('too_large')).toBe(1)
  const never = new AbortController().signal
  await expect(all.outbox.whenSent(ids[1] ?? '', 1_000, never)).rejects.toMatchObject({
    code: 'too_large',
  })
})

test.each([2, 99])(
  'a refusal of envelope %s of two is no answer: nothing is given up',
  async (index) => {
    const all = await anOutbox()
    const [peer] = all.aPeer(anAddress(), 2)
    if (!peer) return
    all.answers.push(refusal('too_large', index), refusal('recipient_gone', index))
    await all.run()
    const { id } = await all.outbox.send(all.conversationWith(peer.address), 'hello')
    for (const count of [1, 2]) {
      await until(() => all.requests.length === count)
      await until(() => all.warned('bad_response') === count)
      await until(() => all.waits.length > 0)
      expect((await all.message(id)).state).toBe(MessageState.PENDING)
      all.turn(minuteMs)
    }
    await until(async () => (await all.message(id)).state === MessageState.SENT)
  },
)

test('on recipient_gone the topics are read again: of a revoked device the row goes, the rest is published', async () => {
  const all = await anOutbox()
  const [phone, tablet] = all.aPeer(anAddress(), 2)
  if (!phone || !tablet) return
  all.directory.onReread = (address) => {
    all.directory.people.set(address, [{ ...phone, revokedNs: 5n }, tablet])
  }
  all.answers.push(refusal('recipient_gone', 0))
  await all.run()
  const { id } = await all.outbox.send(all.conversationWith(phone.address), 'hello')
  await until(async () => (await all.message(id)).state === MessageState.SENT)
  expect(all.directory.rereads).toEqual([phone.address])
  expect(all.requests.map(topicsOf)).toEqual([
    [messageTopic(phone.id), messageTopic(tablet.id)],
    [messageTopic(tablet.id)],
  ])
  // The same bytes.
  expect(all.requests[1]?.[0]).toEqual(all.requests[0]?.[1])
})

test('recipient_gone of a device that its topics call valid is the node’s fault: the row is kept', async () => {
  const all = await anOutbox()
  const [phone] = all.aPeer()
  if (!phone) return
  all.answers.push(refusal('recipient_gone', 0), refusal('recipient_gone', 0))
  await all.run()
  const { id } = await all.outbox.send(all.conversationWith(phone.address), 'hello')
  // Once proves nothing: the device may have come back to a restored node after the refusal.
  await until(() => all.warned('unavailable') === 1)
  await until(() => all.waits.length > 0)
  expect(all.warned('node_withholding')).toBe(0)
  all.turn(minuteMs)
  await until(() => all.warned('node_withholding') === 1)
  await until(() => all.waits.length > 0)
  expect(await all.entries()).toMatchObject([{ sealed: true, rows: [{}] }])
  all.turn(minuteMs)
  await until(async () => (await all.message(id)).state === MessageState.SENT)
  expect(all.requests[1]).toEqual(all.requests[0])
})

test('an internal message is given up when its recipient is gone, and nobody is told', async () => {
  const all = await anOutbox()
  const [phone] = all.aPeer()
  if (!phone) return
  await all.run()
  all.directory.people.set(phone.address, [])
  all.answers.push(refusal('recipient_gone', 0))
  all.events.length = 0
  await all.sayTo(phone)
  expect(all.queue.enqueued).toMatchObject([
    {
      record: { messageId: '', conversationId: all.conversationWith(phone.address), sealed: true },
    },
  ])
  await until(async () => (await all.entries()).length === 0)
  await all.idle()
  expect(all.requests).toHaveLength(1)
  expect(all.events.filter(({ kind }) => kind === 'message-state')).toEqual([])
})

test('a message whose envelopes no request could hold is given up before it is encrypted', async () => {
  const all = await anOutbox()
  const address = anAddress()
  // 900 KiB for each of thirty devices is more than 25 MiB.
  all.aPeer(address, 30)
  await all.run()
  const { id } = await all.outbox.send(all.conversationWith(address), 'x'.repeat(890 * 1024))
  await until(async () => (await all.message(id)).reason === 'message_too_large')
  await all.idle()
  expect(all.requests).toEqual([])
  expect(await all.entries()).toEqual([])
  expect(all.fanout.calls.flatMap(({ messages }) => messages)).toEqual([])
})

test('an internal message is given up after fourteen days, and nothing is encrypted anew', async () => {
  const all = await anOutbox()
  const [phone] = all.aPeer()
  if (!phone) return
  await all.sayTo(phone)
  expect(await all.entries()).toHaveLength(1)
  all.turn(14 * dayMs + 1)
  await all.run()
  await until(async () => (await all.entries()).length === 0)
  await all.idle()
  expect(all.requests).toEqual([])
})

test('a failure that is no node’s refusal gives up nothing: the message is tried again', async () => {
  const all = await anOutbox()
  const [peer] = all.aPeer()
  if (!peer) return
  await all.run()
  all.answers.push(
    new PadlockError('bad_response'),
    new PadlockError('incompatible_node'),
    new Error('a defect'),
  )
  const { id } = await all.outbox.send(all.conversationWith(peer.address), 'hello')
  for (let count = 1; count <= 3; count += 1) {
    await until(() => all.requests.length === count)
    await until(() => all.waits.length > 0)
    expect(await all.message(id)).toMatchObject({ state: MessageState.PENDING, reason: '' })
    all.turn(minuteMs)
  }
  await until(async () => (await all.message(id)).state === MessageState.SENT)
  for (const code of ['bad_response', 'incompatible_node', 'internal'] as const) {
    expect(all.warned(code)).toBe(1)
  }
})

test('a refusal that names no envelope is of the first message', async () => {
  const all = await anOutbox()
  const peers = [...all.aPeer(), ...all.aPeer()]
  await all.outbox.load()
  const ids: string[] = []
  for (const { address } of peers) {
    ids.push((await all.outbox.send(all.conversationWith(address), 'hello')).id)
  }
  all.answers.push(refusal('malformed'))
  void all.outbox.run()
  all.outbox.setLive(true)
  await until(async () => (await all.message(ids[1] ?? '')).state === MessageState.SENT)
  expect((await all.message(ids[0] ?? '')).reason).toBe('malformed')
})

test('only the rows for the gone device are mended in a request: the others keep their bytes', async () => {
  const all = await anOutbox()
  const [phone, other] = [...all.aPeer(), ...all.aPeer()]
  const [own] = all.aPeer(all.context.account.address)
  const [tablet] = phone ? all.aPeer(phone.address) : []
  if (!phone || !other || !own || !tablet) return
  await all.outbox.load()
  const ids: string[] = []
  for (const { address } of [phone, other]) {
    ids.push((await all.outbox.send(all.conversationWith(address), 'hello')).id)
  }
  all.directory.onReread = (address) => {
    if (address === phone.address) {
      all.directory.people.set(address, [{ ...phone, revokedNs: 5n }, tablet])
    }
  }
  all.answers.push(refusal('recipient_gone', 0))
  void all.outbox.run()
  all.outbox.setLive(true)
  for (const id of ids) {
    await until(async () => (await all.message(id)).state === MessageState.SENT)
  }
  // Phone and tablet, and our other device; then the other account’s, and our other device again.
  expect(all.requests.map(({ length }) => length)).toEqual([5, 4])
  expect(all.requests[1]).toEqual(all.requests[0]?.slice(1))
})

const kib = 1_024

test('a message that a proxy refuses for its size gets a reason, and the others go, in order', async () => {
  const all = await anOutbox()
  await storeSealed(all, [[1], [900 * kib, 900 * kib], [2], [3]])
  // As nginx does, at 800 KiB.
  all.refuseAbove(800 * kib, () => new PadlockError('too_large'))
  await all.run()
  await until(async () => (await all.message('message 3')).state === MessageState.SENT)
  await all.idle()
  expect(await all.message('message 1')).toMatchObject({
    state: MessageState.PENDING,
    reason: 'too_large',
  })
  const [first, second, third] = await Promise.all(
    ['message 0', 'message 2', 'message 3'].map(async (id) => (await all.message(id)).nodeNs ?? 0n),
  )
  expect([first, second, third].map((ns) => (ns ?? 0n) > 0n)).toEqual([true, true, true])
  expect(await all.entries()).toEqual([])
  expect(all.warned('too_large')).toBe(1)
})

test('a large envelope that seems to break the connection rests, and the others go; it goes when it can', async () => {
  const all = await anOutbox()
  await storeSealed(all, [[900 * kib], [2], [3]])
  // A proxy without CORS headers: the browser says nothing but that it failed.
  all.refuseAbove(800 * kib, () => new PadlockError('network_unavailable'))
  await all.run()
  for (const count of [1, 2]) {
    await until(() => all.requests.length === count)
    await until(() => all.waits.length > 0)
    all.turn(minuteMs)
  }
  await until(async () => (await all.message('message 2')).state === MessageState.SENT)
  expect(await all.message('message 0')).toMatchObject({
    state: MessageState.PENDING,
    reason: 'network_unavailable',
  })
  expect(
    all.requests.slice(3).map((request) => request.map(({ message }) => message.length)),
  ).toEqual([[2, 3]])
  await all.idle()
  all.refuseAbove(25 * 1_024 * kib, () => undefined)
  all.turn(minuteMs)
  await until(async () => (await all.message('message 0')).state === MessageState.SENT)
  expect(await all.message('message 0')).toMatchObject({ reason: '' })
})

test('a small message that fails again and again is not passed over: the connection is at fault', async () => {
  const all = await anOutbox()
  await storeSealed(all, [[15 * kib], [2]])
  all.answers.push(...Array.from({ length: 5 }, () => new PadlockError('network_unavailable')))
  await all.run()
  for (let count = 1; count <= 5; count += 1) {
    await until(() => all.requests.length === count)
    await until(() => all.waits.length > 0)
    expect((await all.message('message 0')).reason).toBe('')
    all.turn(minuteMs)
  }
  await until(async () => (await all.message('message 1')).state === MessageState.SENT)
  for (const request of all.requests) {
    expect(request[0]?.message.length).toBe(15 * kib)
  }
})
