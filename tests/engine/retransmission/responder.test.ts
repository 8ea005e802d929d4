/** Sending again what another installation could not decrypt: the numbers of docs/protocol.md section 10. */

import { expect, test, vi } from 'vitest'
import { PendingRequests } from '../../../src/engine/retransmission/pending-requests.ts'
import { Responder } from '../../../src/engine/retransmission/responder.ts'
import { commit } from '../../../src/engine/runtime/change.ts'
import { encodeHex } from '../../../src/protocol/bytes.ts'
import { hourMs } from '../../../src/protocol/limits.ts'
import { put, tables } from '../../../src/store/tables.ts'
import { until } from '../../support/engine.ts'
import { aDevice, known, sendingParts } from '../../support/engine-context.ts'
import { aDigest, aResponder } from './responder-part.ts'

test('the same content goes with the same time, on the session that the request came on', async () => {
  const all = await aResponder()
  const { peer, sessions, parts } = all
  const [one, two] = await all.sent([peer.id, peer.id])
  if (!one || !two) return
  await all.ask([one.digest, two.digest])
  const [call] = parts.fanout.calls
  expect(parts.fanout.calls).toHaveLength(1)
  expect(call?.messages).toEqual(
    [one, two].map(({ digest, messageId }, nth) => ({
      conversationId: all.conversationId,
      content: new TextEncoder().encode(messageId),
      composedNs: 1_000n + BigInt(nth),
      retransmits: digest,
      recipients: [peer],
    })),
  )
  // Not the one that would be chosen, which is the newest.
  expect(call?.on.get(peer.id)?.sessionId).toEqual(sessions[0].sessionId)
  expect(parts.queue.enqueued.map(({ record }) => record)).toMatchObject([
    { messageId: '', conversationId: all.conversationId, sealed: true },
    { messageId: '', conversationId: all.conversationId, sealed: true },
  ])
  expect(all.events.filter(({ kind }) => kind === 'retransmitted')).toMatchObject([
    { count: 2, to: { id: peer.id } },
  ])
})

test('an answer, its ratchet and its count are saved together, on the disk, before it leaves', async () => {
  const all = await aResponder()
  const [one] = await all.sent([all.peer.id])
  if (!one) return
  all.committed.length = 0
  let storedFirst: boolean | undefined
  vi.spyOn(all.parts.outbox, 'wake').mockImplementation(() => {
    storedFirst = all.committed.length === 1
  })
  await all.ask([one.digest])
  expect(all.committed).toEqual([
    { durability: 'strict', tables: expect.arrayContaining(['sent', 'sessions', 'outbox']) },
  ])
  expect(storedFirst).toBe(true)
  const inMemory = all.parts.sessions
    .of(all.peer.id)
    .find(({ sessionId }) => encodeHex(sessionId) === encodeHex(all.sessions[0].sessionId))
  expect(inMemory?.sentSince).toBe(1)
  expect((await all.store.scan(tables.outbox, { after: 0, limit: 9 })).rows).toHaveLength(1)
  expect(await all.sentRecords()).toMatchObject([{ envelopes: [{ answers: 1 }] }])
})

test('section 10: each digest is answered twice at most, also after a restart', async () => {
  const all = await aResponder()
  const [one, two] = await all.sent([all.peer.id, all.peer.id])
  if (!one || !two) return
  for (let n = 0; n < 4; n += 1) await all.ask([one.digest])
  expect(all.answered()).toEqual([one, one].map(({ digest }) => encodeHex(digest)))
  // The other one of the same request is counted for itself.
  expect(await all.sentRecords()).toMatchObject([{ envelopes: [{ answers: 2 }, { answers: 0 }] }])
  await all.ask([one.digest, two.digest])
  expect(all.answered().slice(2)).toEqual([encodeHex(two.digest)])
  // Also after a restart.
  const again = sendingParts(all.context)
  again.directory.people.set(all.peer.address, [all.peer])
  await all.ask([one.digest], { at: new Responder(all.context, again) })
  expect(again.fanout.calls).toEqual([])
  expect(all.events.filter(({ kind }) => kind === 'retransmitted')).toHaveLength(3)
})

test('only messages to that very installation are sent again', async () => {
  const all = await aResponder()
  const other = known(aDevice(all.peer.address))
  all.parts.directory.people.set(all.peer.address, [all.peer, other])
  const [mine, theirs] = await all.sent([all.peer.id, other.id])
  if (!mine || !theirs) return
  await all.ask([theirs.digest, aDigest()])
  expect(all.answered()).toEqual([])
  await all.ask([theirs.digest, mine.digest])
  expect(all.answered()).toEqual([encodeHex(mine.digest)])
  expect(await all.sentRecords()).toMatchObject([{ envelopes: [{ answers: 1 }, { answers: 0 }] }])
})

test('an installation that is revoked, or asks on a session that is not here, gets nothing', async () => {
  const all = await aResponder()
  const [one] = await all.sent([all.peer.id])
  if (!one) return
  all.parts.directory.people.set(all.peer.address, [{ ...all.peer, revokedNs: 1n }])
  await all.ask([one.digest])
  all.parts.directory.people.set(all.peer.address, [all.peer])
  await all.ask([one.digest], { on: { ...all.sessions[0], sessionId: new Uint8Array(32) } })
  expect(all.answered()).toEqual([])
  expect(all.events.filter(({ kind }) => kind === 'retransmitted')).toEqual([])
  expect(await all.sentRecords()).toMatchObject([{ envelopes: [{ answers: 0 }] }])
})

test('section 10: a request on a session that was closed gets nothing, as closed is for ever', async () => {
  const all = await aResponder()
  const [one] = await all.sent([all.peer.id])
  if (!one) return
  const closed = { ...all.sessions[0], isClosed: true }
  await commit(all.store, all.parts.sessions.statesChange([closed]))
  await all.ask([one.digest], { on: closed })
  expect(all.answered()).toEqual([])
  expect(await all.sentRecords()).toMatchObject([{ envelopes: [{ answers: 0 }] }])
  await all.ask([one.digest], { on: all.sessions[1] })
  expect(all.answered()).toEqual([encodeHex(one.digest)])
})

test('requests wait until the client is live, and again when it no longer is', async () => {
  const all = await aResponder()
  const [one, two] = await all.sent([all.peer.id, all.peer.id])
  if (!one || !two) return
  const pending = new PendingRequests(all.context, all.responder, all.parts.queue)
  const note = ({ digest }: { readonly digest: Uint8Array }) => {
    const { sessionId } = all.sessions[0]
    return commit(
      all.store,
      pending.additionChange([{ from: all.peer, sessionId, digests: [digest] }]),
    )
  }
  void pending.run()
  await note(one)
  await until(() => all.waits.length > 0)
  expect(all.answered()).toEqual([])
  pending.setLive(true)
  await until(() => all.answered().length === 1)
  await until(() => all.waits.length > 0)
  pending.setLive(false)
  await note(two)
  await until(() => all.waits.length > 0)
  expect(all.answered()).toEqual([encodeHex(one.digest)])
  pending.setLive(true)
  await until(() => all.answered().length === 2)
})

test('a message that was deleted is passed over, the others go', async () => {
  const all = await aResponder()
  const [one, two] = await all.sent([all.peer.id, all.peer.id])
  if (!one || !two) return
  await all.store.transaction([], () => ({
    writes: [{ kind: 'delete', table: tables.messages, key: one.messageId }],
    result: undefined,
  }))
  await all.ask([one.digest, two.digest])
  expect(all.answered()).toEqual([encodeHex(two.digest)])
  await all.ask([one.digest])
  expect(all.events.filter(({ kind }) => kind === 'retransmitted')).toMatchObject([{ count: 1 }])
})

test('twenty requests an hour of one installation are answered', async () => {
  const all = await aResponder()
  const asked = await all.sent(Array.from({ length: 22 }, () => all.peer.id))
  for (const { digest } of asked.slice(0, 21)) await all.ask([digest])
  expect(all.answered()).toHaveLength(20)
  const last = asked.at(-1)
  if (!last) return
  all.turn(hourMs - 1)
  await all.ask([last.digest])
  expect(all.answered()).toHaveLength(20)
  all.turn(1)
  await all.ask([last.digest])
  expect(all.answered()).toHaveLength(21)
})

test('a clock that is set back puts off no request', async () => {
  const all = await aResponder()
  const asked = await all.sent(Array.from({ length: 21 }, () => all.peer.id))
  for (const { digest } of asked.slice(0, 20)) await all.ask([digest])
  all.turn(hourMs)
  all.clock.nowMs -= 10 * hourMs
  for (const { digest } of asked.slice(20)) await all.ask([digest])
  expect(all.answered()).toHaveLength(21)
})

test('each of many requests at once sees what those before it used up', async () => {
  const all = await aResponder()
  const [one] = await all.sent([all.peer.id])
  if (!one) return
  await Promise.all(Array.from({ length: 10 }, () => all.ask([one.digest])))
  expect(all.answered()).toHaveLength(2)
  expect(await all.sentRecords()).toMatchObject([{ envelopes: [{ answers: 2 }] }])
})

test('a request that failed on the way does not count: it may be tried again', async () => {
  const all = await aResponder()
  const [one] = await all.sent([all.peer.id])
  if (!one) return
  const recipients = vi
    .spyOn(all.parts.directory, 'recipients')
    .mockRejectedValue(new Error('gone'))
  for (let n = 0; n < 25; n += 1) await expect(all.ask([one.digest])).rejects.toThrow('gone')
  recipients.mockRestore()
  await all.ask([one.digest])
  expect(all.answered()).toHaveLength(1)
})

test('after a restart the session that the request came on is found in the store', async () => {
  const all = await aResponder()
  const [one] = await all.sent([all.peer.id])
  if (!one) return
  const again = sendingParts(all.context)
  again.directory.people.set(all.peer.address, [all.peer])
  await all.ask([one.digest], { at: new Responder(all.context, again) })
  expect(again.fanout.calls).toHaveLength(1)
  expect(again.sessions.of(all.peer.id)).toHaveLength(2)
})

test('each part of an answer saves what is left of its request, and counts after that', async () => {
  const all = await aResponder()
  const [one] = await all.sent([all.peer.id])
  const [two] = await all.sent([all.peer.id])
  if (!one || !two) return
  const log: unknown[] = []
  const restChange = (digests: readonly Uint8Array[]) => {
    const left = digests.map(encodeHex)
    log.push({ left })
    return {
      writes: [put(tables.claim, 'claim', { claimId: new Uint8Array(16) })],
      committed: () => {
        log.push('committed')
      },
    }
  }
  all.committed.length = 0
  // A digest that nothing was sent under is not waited for.
  expect(await all.ask([one.digest, aDigest(), two.digest], { restChange })).toBe(true)
  const left = [encodeHex(two.digest)]
  expect(log).toEqual([{ left }, 'committed', { left: [] }, 'committed'])
  expect(all.committed.map(({ tables: names }) => names.includes('account'))).toEqual([true, true])
  // With nothing to answer nothing is saved, and whoever asked knows.
  expect(await all.ask([aDigest()], { restChange })).toBe(false)
  expect(await all.ask([one.digest])).toBe(false)
  expect(log).toHaveLength(4)
})

test('while the outbox is crowded the rest of an answer waits, and is not counted as another request', async () => {
  const all = await aResponder()
  const asked = []
  for (let n = 0; n < 3; n += 1) asked.push(...(await all.sent([all.peer.id])))
  const digests = asked.map(({ digest }) => digest)
  const crowded = vi.spyOn(all.parts.queue, 'isCrowded', 'get')
  crowded.mockReturnValueOnce(false).mockReturnValue(true)
  let rest: readonly Uint8Array[] = digests
  const restChange = (left: readonly Uint8Array[]) => {
    rest = left
    return { writes: [] }
  }
  expect(await all.ask(digests, { restChange })).toBe(true)
  expect(all.answered()).toEqual(digests.slice(0, 1).map(encodeHex))
  expect(rest).toEqual(digests.slice(1))
  crowded.mockReturnValue(false)
  const request = { from: all.peer, sessionId: all.sessions[0].sessionId, digests: rest }
  // Twenty requests an hour are answered; this is none.
  for (let n = 0; n < 19; n += 1) await all.ask([aDigest()])
  expect(await all.responder.answer({ ...request, isRest: true }, restChange)).toBe(true)
  expect(all.answered()).toEqual(digests.map(encodeHex))
  expect(rest).toEqual([])
})

test('an account that was not accepted gets nothing, and costs no search', async () => {
  const all = await aResponder()
  const stranger = known(aDevice())
  all.parts.directory.people.set(stranger.address, [stranger])
  const [one] = await all.sent([stranger.id])
  if (!one) return
  const scan = vi.spyOn(all.store, 'scan')
  const responder = new Responder({ ...all.context, store: all.store }, all.parts)
  expect(await all.ask([one.digest], { from: stranger, at: responder })).toBe(false)
  expect(scan).not.toHaveBeenCalled()
  expect(all.answered()).toEqual([])
  // The same search for somebody who was.
  await all.ask([one.digest], { at: responder })
  expect(scan).toHaveBeenCalled()
})

test('how often they asked is remembered of a thousand installations', async () => {
  const all = await aResponder()
  const asked = await all.sent(Array.from({ length: 22 }, () => all.peer.id))
  const [last, another] = asked.slice(20)
  if (!last || !another) return
  for (const { digest } of asked.slice(0, 20)) await all.ask([digest])
  const others = Array.from({ length: 1_000 }, (_, nth) => ({
    ...all.peer,
    id: `${all.peer.id}${nth}` as typeof all.peer.id,
  }))
  for (const from of others.slice(0, 999)) await all.ask([last.digest], { from })
  await all.ask([last.digest])
  expect(all.answered()).toHaveLength(20)
  for (const from of others.slice(999)) await all.ask([last.digest], { from })
  await all.ask([last.digest])
  expect(all.answered()).toHaveLength(21)
})

test('a request of an installation that was revoked is answered by nothing, and nothing is saved for it', async () => {
  const all = await aResponder()
  const [one] = await all.sent([all.peer.id])
  if (!one) return
  all.parts.directory.people.set(all.peer.address, [{ ...all.peer, revokedNs: 1n }])
  const restChange = vi.fn(() => ({ writes: [] }))
  expect(await all.ask([one.digest], { restChange })).toBe(false)
  expect(restChange).not.toHaveBeenCalled()
})
