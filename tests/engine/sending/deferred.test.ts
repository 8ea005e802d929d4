/** Deferred delivery, message by message: docs/protocol.md section 8, Out; one part alone. */

import { expect, test, vi } from 'vitest'
import { commit } from '../../../src/engine/runtime/change.ts'
import { publishedSince } from '../../../src/engine/sending/published-since.ts'
import { buildConversationId } from '../../../src/protocol/ids.ts'
import { dayMs, hourMs } from '../../../src/protocol/limits.ts'
import { put, StoredConsent, tables } from '../../../src/store/tables.ts'
import { aDeferral } from '../../support/deferred-part.ts'
import { until } from '../../support/engine.ts'
import { anAddress, sendingParts } from '../../support/engine-context.ts'

const mib = 1_048_576

const nowNs = ({ clock }: { readonly clock: { readonly nowMs: number } }) =>
  BigInt(clock.nowMs) * 1_000_000n

test('a message is deferred for devices of both accounts that were there before it was published and did not get it', async () => {
  const all = await aDeferral()
  const [got, missed] = [all.aDeviceOf(all.peer), all.aDeviceOf(all.peer)]
  const [before, same, after] = [9n, 10n, 11n].map((ns) => all.aDeviceOf(all.peer, ns))
  const tablet = all.aDeviceOf(all.own)
  await all.published('one', 10n, [got])
  expect(await all.deferrals()).toEqual(
    [missed, before, tablet].map((one) => ({ messageId: 'one', to: one?.id })),
  )
  expect([same?.id, after?.id].every(Boolean)).toBe(true)
})

test('deferrals are written together with what they follow from, and there are none if that fails', async () => {
  const all = await aDeferral()
  all.aDeviceOf(all.peer)
  await all.aMessage('one', 10n)
  const failing = all.parts.deferred.published(
    [{ messageId: 'one', conversationId: all.conversationId, nodeNs: 10n, topics: new Set() }],
    async (more) => {
      expect(more.writes).toHaveLength(1)
      throw new Error('no room')
    },
  )
  await expect(failing).rejects.toThrow('no room')
  await all.run()
  expect(all.parts.fanout.calls).toEqual([])
  // And what comes after goes on.
  await all.published('one', 10n)
  expect(await all.deferrals()).toHaveLength(1)
  await until(() => all.parts.fanout.calls.length === 1)
})

test('for a device that becomes known late, our messages since it was there are deferred: sent ones that it did not get yet', async () => {
  const all = await aDeferral()
  const now = nowNs(all)
  await all.aMessage('before', now - 1n)
  await all.aMessage('same', now)
  await all.aMessage('pending', 0n)
  await all.aMessage('after', now + 1n)
  await all.aMessage('of another device', now + 2n, { senderInstallation: 'other' })
  await all.aMessage('elsewhere', now + 3n, {
    conversation: buildConversationId(all.own, anAddress()),
  })
  await all.aMessage('sent to it', now + 4n)
  await all.aMessage('deferred for it', now + 5n)
  const late = all.aDeviceOf(all.peer, now)
  await all.write([
    put(tables.sent, all.store.nextNumber(tables.sent), {
      envelopes: [
        { installationId: late.id, messageId: 'sent to it' },
        { installationId: 'other', messageId: 'after' },
      ],
    }),
  ])
  await all.published('deferred for it', now + 5n)
  // Messages that are deferred for others, or were sent to them, it did not get.
  await all.write([
    put(tables.owed, all.store.nextNumber(tables.owed), {
      messageId: 'after',
      installationId: 'other',
      address: all.peer,
      sinceMs: BigInt(all.clock.nowMs),
    }),
  ])
  await all.parts.deferred.load()
  await all.parts.deferred.gained([late], all.save)
  expect(await all.deferrals()).toEqual([
    { messageId: 'deferred for it', to: late.id },
    { messageId: 'after', to: 'other' },
    { messageId: 'after', to: late.id },
  ])
})

test('for a late device of our own, messages of all conversations are deferred, however many they are', async () => {
  const all = await aDeferral()
  const now = nowNs(all)
  const others = [anAddress(), anAddress()].map((address) => buildConversationId(all.own, address))
  await all.write(
    [all.conversationId, ...others].map((conversationId) =>
      put(tables.conversations, conversationId, {
        conversationId,
        lastMessageMs: BigInt(all.clock.nowMs),
        consent: StoredConsent.ALLOWED,
      }),
    ),
  )
  for (let n = 1; n <= 101; n += 1) await all.aMessage(`here ${n}`, now + BigInt(n))
  for (const [nth, conversation] of others.entries()) {
    await all.aMessage(`there ${nth}`, now + 500n, { conversation })
  }
  const tablet = all.aDeviceOf(all.own, now)
  await all.parts.deferred.gained([tablet], all.save)
  const ids = new Set((await all.deferrals()).map(({ messageId }) => messageId))
  expect(ids.size).toBe(103)
  for (const id of ['here 1', 'here 101', 'there 0', 'there 1']) expect(ids.has(id)).toBe(true)
})

test('thirty late devices of our own get what was published since each was there, and cost as many reads as one', async () => {
  const all = await aDeferral()
  const now = nowNs(all)
  const others = Array.from({ length: 20 }, () => buildConversationId(all.own, anAddress()))
  await all.write(
    others.map((conversationId) =>
      put(tables.conversations, conversationId, {
        conversationId,
        lastMessageMs: BigInt(all.clock.nowMs),
        consent: StoredConsent.ALLOWED,
      }),
    ),
  )
  for (const [nth, conversation] of others.entries()) {
    await all.aMessage(`message ${nth}`, now + 10n * BigInt(nth), { conversation })
  }
  const quiet = Array.from({ length: 50 }, () => buildConversationId(all.own, anAddress()))
  await all.write(
    quiet.map((conversationId) =>
      put(tables.conversations, conversationId, {
        conversationId,
        lastMessageMs: BigInt(all.clock.nowMs - 2 * dayMs),
        consent: StoredConsent.ALLOWED,
      }),
    ),
  )
  const devices = Array.from({ length: 30 }, (_, nth) =>
    all.aDeviceOf(all.own, now + 10n * BigInt(nth) - 5n),
  )
  const reads = vi.spyOn(all.store, 'list')
  await all.parts.deferred.gained(devices, all.save)
  const messageReads = reads.mock.calls.filter(([table]) => table === tables.messages)
  // None of those that were quiet for longer.
  expect(messageReads.length).toBeLessThanOrEqual(2 * others.length)
  const deferrals = await all.deferrals()
  for (const [nth, { id }] of devices.entries()) {
    const got = deferrals.flatMap(({ messageId, to }) => (to === id ? [messageId] : []))
    const expected = others.map((_, at) => `message ${at}`).slice(nth)
    expect(got.sort()).toEqual(expected.sort())
  }
})

test('of messages that a device may have missed only their names are held: there may be thousands', async () => {
  const all = await aDeferral()
  const now = nowNs(all)
  await all.aMessage('long', now, { bytes: 100_000 })
  const list = { ids: async () => [] }
  expect(await publishedSince(all.context, list, all.peer, now - 1n)).toEqual([
    { messageId: 'long', nodeNs: now },
  ])
})

test('messages that were published fourteen days ago are not deferred for a late device', async () => {
  const all = await aDeferral()
  const now = nowNs(all)
  await all.aMessage('old', now - 1n)
  await all.aMessage('young', now)
  all.turn(14 * dayMs)
  const late = all.aDeviceOf(all.peer, 1n)
  await all.parts.deferred.gained([late], all.save)
  expect(await all.deferrals()).toEqual([{ messageId: 'young', to: late.id }])
})

test('a deferred message is delivered when its device can be encrypted to: the same content with the same time, noted as sent', async () => {
  const all = await aDeferral()
  const phone = all.aDeviceOf(all.peer)
  all.gone.add(phone.id)
  await all.aMessage('one', 10n)
  await all.aMessage('two', 11n)
  await all.run()
  await all.published('one', 10n)
  await all.published('two', 11n)
  await all.settled()
  expect(all.parts.fanout.calls).toEqual([])
  all.gone.clear()
  all.committed.length = 0
  all.turn(hourMs)
  await until(() => all.parts.queue.enqueued.length === 2)
  await all.settled()
  expect(all.parts.fanout.calls.map(({ messages }) => messages)).toMatchObject([
    [
      { composedNs: 10n, conversationId: all.conversationId, recipients: [{ id: phone.id }] },
      { composedNs: 11n, conversationId: all.conversationId, recipients: [{ id: phone.id }] },
    ],
  ])
  expect(await all.deferrals()).toEqual([])
  const delivering = all.committed.filter(({ tables: names }) => names.includes('outbox'))
  expect(delivering).toEqual([
    {
      durability: 'strict',
      tables: expect.arrayContaining(['sessions', 'outbox', 'owed', 'sent']),
    },
  ])
  const [sent] = (await all.store.scan(tables.sent, { after: 0, limit: 9 })).rows
  expect(
    sent?.value.envelopes.map(({ messageId, installationId }) => [messageId, installationId]),
  ).toEqual([
    ['one', phone.id],
    ['two', phone.id],
  ])
  expect(all.parts.sessions.of(phone.id)[0]?.sentSince).toBe(2)
  // The claim that the session was made from is settled.
  expect(await all.store.get(tables.claim, 'claim')).toBeUndefined()
  // Once is enough.
  all.parts.deferred.setLive(true)
  await all.settled()
  all.turn(2 * hourMs)
  await all.settled()
  expect(all.parts.fanout.calls).toHaveLength(1)
})

test('a message that was deleted is deferred no longer, and the others keep their names', async () => {
  const all = await aDeferral()
  const phone = all.aDeviceOf(all.peer)
  await all.aMessage('two', 11n)
  await all.published('one', 10n)
  await all.published('two', 11n)
  await all.run()
  expect(await all.deferrals()).toEqual([])
  const [sent] = (await all.store.scan(tables.sent, { after: 0, limit: 9 })).rows
  expect(sent?.value.envelopes.map(({ messageId }) => messageId)).toEqual(['two'])
  expect(all.parts.sessions.of(phone.id)).toHaveLength(1)
})

test('fifty messages go to one device at once, and a quarter of a request’s bytes', async () => {
  const all = await aDeferral()
  all.aDeviceOf(all.peer)
  for (let n = 0; n < 51; n += 1) {
    await all.aMessage(`message ${n}`, BigInt(n + 10))
    await all.published(`message ${n}`, BigInt(n + 10))
  }
  await all.run()
  expect(all.sealed().map(({ length }) => length)).toEqual([50, 1])
  expect(all.sealed().flat()).toEqual(Array.from({ length: 51 }, (_, n) => BigInt(n + 10)))
  expect(await all.deferrals()).toEqual([])
})

test('as many large messages go at once as a quarter of a request holds, and always one', async () => {
  const all = await aDeferral()
  all.aDeviceOf(all.peer)
  const quarter = (25 * mib) / 4
  // Larger than anything that is written, so that few are enough.
  for (const [nth, bytes] of [quarter - 3, 3, 1, quarter + 1, 1].entries()) {
    await all.aMessage(`message ${nth}`, BigInt(nth + 10), { bytes })
  }
  await all.published('message 0', 10n)
  await all.published('message 1', 11n)
  await all.published('message 2', 12n)
  void all.parts.deferred.run()
  all.parts.deferred.setLive(true)
  await until(() => all.parts.fanout.calls.length > 0)
  expect(all.sealed()[0]).toEqual([10n, 11n])
})

test('while the outbox is crowded nothing is sealed, and it goes on when there is room', async () => {
  const all = await aDeferral()
  all.aDeviceOf(all.peer)
  const crowded = vi.spyOn(all.parts.queue, 'isCrowded', 'get').mockReturnValue(true)
  await all.aMessage('one', 10n)
  await all.published('one', 10n)
  await all.run()
  expect(all.sealed()).toEqual([])
  expect(await all.deferrals()).toHaveLength(1)
  crowded.mockReturnValue(false)
  all.parts.deferred.retry()
  await until(() => all.sealed().length === 1)
})

test('a message is deferred for fourteen days to the millisecond, by both clocks, also after a restart', async () => {
  const all = await aDeferral()
  const phone = all.aDeviceOf(all.peer)
  all.gone.add(phone.id)
  await all.aMessage('one', 10n)
  await all.published('one', 10n)
  const restart = async () => {
    const again = sendingParts(all.context)
    again.directory.people.set(all.peer, [phone])
    await again.deferred.load()
    void again.deferred.run()
    again.deferred.setLive(true)
    await all.settled()
  }
  all.turn(14 * dayMs)
  await restart()
  all.clock.nowMs += dayMs
  await restart()
  expect(await all.deferrals()).toHaveLength(1)
  all.clock.nowMs -= dayMs
  all.turn(1)
  await restart()
  await until(async () => (await all.deferrals()).length === 0)
})

test('what a clock years ahead has deferred ends fourteen days later all the same', async () => {
  const all = await aDeferral()
  const phone = all.aDeviceOf(all.peer)
  all.gone.add(phone.id)
  await all.aMessage('one', 10n)
  all.clock.nowMs += 3_650 * dayMs
  await all.published('one', 10n)
  all.clock.nowMs -= 3_650 * dayMs
  await all.run()
  all.turn(14 * dayMs)
  await all.settled()
  expect(await all.deferrals()).toHaveLength(1)
  all.turn(hourMs)
  await until(async () => (await all.deferrals()).length === 0)
})

test('nothing stays deferred for a revoked device; for one that is not known now it does', async () => {
  const all = await aDeferral()
  const [revoked, hidden] = [all.aDeviceOf(all.peer), all.aDeviceOf(all.peer)]
  for (const one of [revoked, hidden]) all.gone.add(one.id)
  await all.aMessage('one', 10n)
  await all.published('one', 10n)
  all.parts.directory.people.set(all.peer, [{ ...revoked, revokedNs: 5n }])
  await all.run()
  expect(await all.deferrals()).toEqual([{ messageId: 'one', to: hidden.id }])
  // Dropped is dropped: nothing is written about it again.
  all.committed.length = 0
  all.turn(hourMs)
  await all.settled()
  expect(all.committed.filter(({ tables: names }) => names.includes('owed'))).toEqual([])
})

test('deferred delivery is tried hourly while live, and not while offline', async () => {
  const all = await aDeferral()
  const phone = all.aDeviceOf(all.peer)
  await all.aMessage('one', 10n)
  await all.published('one', 10n)
  void all.parts.deferred.run()
  await all.settled()
  all.turn(3 * hourMs)
  await all.settled()
  expect(all.parts.fanout.calls).toEqual([])
  all.gone.add(phone.id)
  all.parts.deferred.setLive(true)
  await all.settled()
  all.gone.clear()
  all.turn(hourMs - 1)
  await all.settled()
  expect(all.parts.fanout.calls).toEqual([])
  all.turn(1)
  await until(() => all.parts.fanout.calls.length === 1)
})

test('news that comes while somebody cannot be found is not missed', async () => {
  const all = await aDeferral()
  all.aDeviceOf(all.peer)
  await all.aMessage('one', 10n)
  await all.published('one', 10n)
  const recipients = vi
    .spyOn(all.parts.directory, 'recipients')
    .mockImplementationOnce(async () => {
      all.parts.deferred.retry()
      return []
    })
  void all.parts.deferred.run()
  all.parts.deferred.setLive(true)
  await until(() => all.parts.fanout.calls.length === 1)
  expect(recipients).toHaveBeenCalled()
})

test('a failure on the way is reported, and tried again', async () => {
  const all = await aDeferral()
  all.aDeviceOf(all.peer)
  await all.aMessage('one', 10n)
  await all.published('one', 10n)
  vi.spyOn(all.parts.directory, 'recipients').mockRejectedValueOnce(new Error('a defect'))
  await all.run()
  expect(all.context.status.current.warnings).toMatchObject([{ code: 'internal', count: 1 }])
  expect(await all.deferrals()).toHaveLength(1)
  all.turn(hourMs)
  await until(() => all.parts.fanout.calls.length === 1)
})

test('deferred delivery never takes a session past its thousandth send: the rest goes on a new one', async () => {
  const all = await aDeferral()
  const phone = all.aDeviceOf(all.peer)
  const made = await all.parts.fanout.prepareNew(phone)
  if (!made) throw new Error('no session')
  const nearly = { ...made, sentSince: 990 }
  await commit(all.store, all.parts.sessions.statesChange([nearly]))
  for (let n = 0; n < 12; n += 1) {
    await all.aMessage(`message ${n}`, BigInt(n + 10))
    await all.published(`message ${n}`, BigInt(n + 10))
  }
  await all.run()
  expect(all.sealed().map(({ length }) => length)).toEqual([10, 2])
  const sends = all.parts.sessions.of(phone.id).map(({ sentSince }) => sentSince)
  expect(sends.sort()).toEqual([1_000, 2])
  expect(await all.deferrals()).toEqual([])
})
