/** The one way from messages to bytes that leave: docs/architecture.md section 8, 1. */

import { expect, test, vi } from 'vitest'
import type { Outgoing } from '../../../src/engine/sending/dispatch.ts'
import { PadlockError } from '../../../src/errors.ts'
import { digestEnvelope } from '../../../src/protocol/ids.ts'
import { messageTopic } from '../../../src/protocol/topics.ts'
import { put, tables } from '../../../src/store/tables.ts'
import { anOutbox } from '../../support/outbox-part.ts'

/** Parts that can send to one phone, whose session is claimed and not saved yet. */
const aDispatch = async () => {
  const all = await anOutbox()
  const [phone] = all.aPeer()
  if (!phone) throw new Error('no phone')
  const fresh = await all.fanout.prepare([phone])
  const conversationId = all.conversationWith(phone.address)
  const message = (composedNs = 1n): Outgoing => ({
    conversationId,
    content: new Uint8Array(3),
    composedNs,
    recipients: [phone],
  })
  const cursor = put(tables.cursors, 'alongside', { topic: 'alongside', sequence: 1n })
  all.committed.length = 0
  return { ...all, phone, fresh, conversationId, message, cursor }
}

const storedOf = async ({ store }: Awaited<ReturnType<typeof aDispatch>>) => ({
  sessions: (await store.all(tables.sessions)).length,
  outbox: (await store.scan(tables.outbox, { after: 0, limit: 9 })).rows.map(({ value }) => value),
  sent: (await store.scan(tables.sent, { after: 0, limit: 9 })).rows.map(({ value }) => value),
  claim: await store.get(tables.claim, 'claim'),
  alongside: await store.get(tables.cursors, 'alongside'),
})

test('ratchets, envelopes and what belongs to them are one transaction on the disk, before they are queued', async () => {
  const all = await aDispatch()
  const { phone, fresh, conversationId, cursor } = all
  const committed = vi.fn(() => expect(all.sessions.of(phone.id)).toHaveLength(1))
  const queuedAt: number[] = []
  vi.spyOn(all.outbox, 'wake').mockImplementation(() => queuedAt.push(all.committed.length))
  const messages = [
    { ...all.message(), messageId: 'one' },
    { ...all.message(2n), messageId: 'two' },
  ]
  expect(await all.dispatch.send(messages, { fresh }, { writes: [cursor], committed })).toBe(true)

  expect(all.committed).toHaveLength(1)
  expect(all.committed[0]).toEqual({
    durability: 'strict',
    tables: expect.arrayContaining(['sessions', 'account', 'cursors', 'sent', 'outbox']),
  })
  expect(committed).toHaveBeenCalledTimes(1)
  expect(queuedAt).toEqual([1])
  const { outbox, sent, claim, alongside } = await storedOf(all)
  // Of its own, which stand for no message: they belong to the conversation with the recipient.
  expect(outbox).toMatchObject([
    { messageId: '', conversationId, sealed: true, sealedMs: BigInt(all.clock.nowMs) },
    { messageId: '', conversationId, sealed: true },
  ])
  expect(outbox.flatMap(({ rows }) => rows.map(({ topic }) => topic))).toEqual([
    messageTopic(phone.id),
    messageTopic(phone.id),
  ])
  expect(sent[0]?.envelopes).toMatchObject([
    { messageId: 'one', digest: digestEnvelope(outbox[0]?.rows[0]?.message ?? new Uint8Array()) },
    { messageId: 'two', digest: digestEnvelope(outbox[1]?.rows[0]?.message ?? new Uint8Array()) },
  ])
  expect(claim).toBeUndefined()
  expect(alongside).toBeDefined()
  expect(all.sessions.of(phone.id)[0]?.sentSince).toBe(2)
  expect(all.queue.all()).toHaveLength(2)
})

test('a composed entry is filled and keeps its place and its message', async () => {
  const all = await aDispatch()
  const number = all.queue.nextNumber()
  const record = {
    messageId: 'one',
    conversationId: all.conversationId,
    composedNs: 7n,
    rows: [],
    sealed: false,
    sealedMs: 0n,
  }
  const entry = { number, record }
  await all.dispatch.send([{ ...all.message(), entry }], all, { writes: [] })
  expect(all.queue.all()).toMatchObject([
    { number, record: { messageId: 'one', composedNs: 7n, sealed: true } },
  ])
  // It names no message id to ask for, so nothing can ask for it.
  expect((await storedOf(all)).sent).toEqual([])
})

test('beside a message that cannot be requested, each other keeps its own envelope', async () => {
  const all = await aDispatch()
  const messages = [all.message(), { ...all.message(2n), messageId: 'two' }]
  await all.dispatch.send(messages, all, { writes: [] })
  const { outbox, sent } = await storedOf(all)
  const [, second] = outbox
  expect(sent.map(({ envelopes }) => envelopes)).toMatchObject([
    [
      {
        messageId: 'two',
        digest: digestEnvelope(second?.rows[0]?.message ?? new Uint8Array()),
      },
    ],
  ])
})

test('if the store fails nothing is queued, and memory stays where the disk is', async () => {
  const all = await aDispatch()
  vi.spyOn(all.context.store, 'transaction').mockRejectedValueOnce(new PadlockError('storage_full'))
  const committed = vi.fn()
  const sending = all.dispatch.send([all.message()], all, { writes: [all.cursor], committed })
  await expect(sending).rejects.toMatchObject({ code: 'storage_full' })
  expect(all.queue.all()).toEqual([])
  expect(all.sessions.of(all.phone.id)).toEqual([])
  expect(committed).not.toHaveBeenCalled()
  expect(await storedOf(all)).toMatchObject({ sessions: 0, outbox: [], sent: [] })
  expect((await storedOf(all)).claim).toBeDefined()
})

test('an installation that nobody can encrypt to saves nothing, not even what goes alongside', async () => {
  const all = await aDispatch()
  const unusable = { ...all.phone, sealingKey: new Uint8Array(32) }
  const messages = [{ ...all.message(), recipients: [unusable] }]
  expect(await all.dispatch.send(messages, all, { writes: [all.cursor] })).toBe(false)
  expect(all.committed).toEqual([])
  expect(all.queue.all()).toEqual([])
})

test('a session can be given instead of the one that would be chosen', async () => {
  const all = await aDispatch()
  await all.dispatch.send([all.message()], all, { writes: [] })
  const given = await all.fanout.prepareNew(all.phone)
  if (!given) throw new Error('no session')
  await all.dispatch.send([all.message()], { on: new Map([[all.phone.id, given]]) }, { writes: [] })
  const sends = all.sessions
    .of(all.phone.id)
    .map(({ sessionId, sentSince }) => [sessionId.join() === given.sessionId.join(), sentSince])
  expect(sends).toEqual([
    [false, 1],
    [true, 1],
  ])
})
