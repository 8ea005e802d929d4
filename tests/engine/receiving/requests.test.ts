/** What is kept of accounts that the person has not accepted: docs/protocol.md section 9. */

import { expect, test } from 'vitest'
import { encodeRetransmitRequest } from '../../../src/content/retransmit.ts'
import { commit } from '../../../src/engine/runtime/change.ts'
import { buildConversationId, type ConversationId } from '../../../src/protocol/ids.ts'
import {
  requestBytesLimit,
  requestMessagesLimit,
  requestSessionsLimit,
} from '../../../src/protocol/limits.ts'
import { tables } from '../../../src/store/tables.ts'
import { must } from '../../support/checked.ts'
import { inTurn, set } from '../../support/envelope-forge/fields.ts'
import { forge, type Line, textContent } from '../../support/envelope-forge/forge.ts'
import { aReceiver, type Receiver } from '../../support/envelope-forge/receiver.ts'

const say = (bob: Receiver, address: Line['from']['address'], consent: 'allowed' | 'denied') =>
  bob.parts.consents.set(address, consent, (change) => commit(bob.store, change))

/** So many messages of one line, and the line after them. */
const someOf = (line: Line, texts: readonly string[]) => {
  const messages: Uint8Array[] = []
  let last = line
  for (const text of texts) {
    const one = forge(last, { payload: set(4, textContent(text)) })
    messages.push(one.message)
    last = one.next
  }
  return { messages, last }
}

const texts = (count: number, length = 1) =>
  Array.from({ length: count }, (_, n) => `${n} `.padEnd(length, 'x'))

const storedOf = async (bob: Receiver) =>
  (await bob.store.scan(tables.messages, { after: 0, limit: 500 })).rows.length

test('what a denied account sends leaves nothing but the cursor, and what it sends later is read', async () => {
  const bob = await aReceiver()
  const carol = await bob.sender()
  const first = someOf(bob.begin(carol), ['before'])
  expect((await bob.deliver(...first.messages)).outcomes).toEqual(['kept'])
  expect(bob.parts.sessions.of(carol.id)).toHaveLength(1)
  await say(bob, carol.address, 'denied')
  const { messages, last } = someOf(first.last, ['after', 'and after that'])
  const denied = await bob.deliver(...messages)
  expect(denied.outcomes).toEqual(['rejected(sender_denied)', 'rejected(sender_denied)'])
  expect(denied.changes.map((one) => one.split(' ')[0])).toEqual(['cursors'])
  expect(denied.queries).toBe(0)
  await say(bob, carol.address, 'allowed')
  expect((await bob.deliver(...someOf(last, ['accepted again']).messages)).outcomes).toEqual([
    'kept',
  ])
  // Nor is a device looked up that claims to be of this account.
  const unknown = await bob.sender({ unknown: true })
  await say(bob, unknown.address, 'denied')
  const claimed = await bob.deliver(...someOf(bob.begin(unknown), ['hello?']).messages)
  expect(claimed.outcomes).toEqual(['rejected(sender_denied)'])
  expect(claimed.queries).toBe(0)
})

test('of one stranger fifty messages are kept, and the others are counted; an accepted account has no limit', async () => {
  const bob = await aReceiver()
  const stranger = await bob.sender({ stranger: true })
  const count = requestMessagesLimit + 7
  const { messages, last } = someOf(bob.begin(stranger), texts(count))
  for (let at = 0; at < count; at += 20) await bob.deliver(...messages.slice(at, at + 20))
  expect(await storedOf(bob)).toBe(requestMessagesLimit)
  expect(bob.countOf('requests_full')).toBe(7)
  const [info] = await bob.parts.conversationList.page(5)
  expect(info).toMatchObject({
    consent: 'unknown',
    messageCount: requestMessagesLimit,
    leftOutCount: 7,
    lastMessage: { content: '49 ', consent: 'unknown' },
  })
  // They are noted, to be asked for once the account is accepted.
  const noted = async () => (await bob.store.all(tables.recovery)).map(({ value }) => value)
  expect(await noted()).toMatchObject([{ accepted: false, missing: { length: 7 } }])

  // Also after a restart there is no room.
  await bob.reopen()
  const later = someOf(last, ['once more'])
  await bob.deliver(...later.messages)
  expect(await storedOf(bob)).toBe(requestMessagesLimit)
  await say(bob, stranger.address, 'allowed')
  expect(await noted()).toMatchObject([{ accepted: true, missing: { length: 8 } }])
  await bob.deliver(...someOf(later.last, texts(60, 9)).messages)
  expect(await storedOf(bob)).toBe(requestMessagesLimit + 60)
  expect(await bob.parts.conversationList.page(5)).toMatchObject([
    { consent: 'allowed', messageCount: requestMessagesLimit + 60, leftOutCount: 0 },
  ])
})

test('of one stranger a mebibyte is kept', async () => {
  const bob = await aReceiver()
  const stranger = await bob.sender({ stranger: true })
  const { messages } = someOf(bob.begin(stranger), texts(4, requestBytesLimit / 3))
  for (const message of messages) await bob.deliver(message)
  // The content of each is a few bytes longer than its text.
  expect(await storedOf(bob)).toBe(2)
  expect(bob.countOf('requests_full')).toBe(2)
})

test('what all strangers together may have is one sum, which accepting and deleting lowers', async () => {
  const bob = await aReceiver()
  const [one, two] = [await bob.sender({ stranger: true }), await bob.sender({ stranger: true })]
  await bob.deliver(...someOf(bob.begin(one), texts(3)).messages)
  await bob.deliver(...someOf(bob.begin(two), texts(2)).messages)
  const { consents } = bob.parts
  expect(consents.totals.messages).toBe(5)
  const bytesOf = async (address: typeof one.address) =>
    Number((await consents.state(address)).bytes)
  expect(consents.totals.bytes).toBe((await bytesOf(one.address)) + (await bytesOf(two.address)))
  // A copy of what is stored already counts once.
  await say(bob, one.address, 'allowed')
  expect(consents.totals).toEqual({ messages: 2, bytes: await bytesOf(two.address) })
  await bob.reopen()
  expect(bob.parts.consents.totals.messages).toBe(2)
  const [conversation] = await bob.parts.conversationList.page(5, undefined, 'unknown')
  await bob.parts.deletion.deleteConversation(must(conversation).id as ConversationId)
  expect(bob.parts.consents.totals).toEqual({ messages: 0, bytes: 0 })
})

test('a stranger has four sessions, an accepted account twenty', async () => {
  const bob = await aReceiver()
  const flood = async (who: Awaited<ReturnType<typeof bob.sender>>) => {
    for (let n = 0; n < 24; n += 1) {
      const line = bob.begin(who, bob.fallback)
      await bob.deliver(...someOf(line, [`${n}`]).messages)
    }
    return bob.parts.sessions.of(who.id).length
  }
  expect(await flood(await bob.sender({ stranger: true }))).toBe(requestSessionsLimit)
  expect(await flood(await bob.sender())).toBe(20)
})

test('of strangers’ sessions those used last are kept, whatever installations they are with', async () => {
  const bob = await aReceiver()
  const friend = await bob.sender()
  const stranger = await bob.sender({ stranger: true })
  await bob.deliver(...someOf(bob.begin(friend), ['hello']).messages)
  await bob.deliver(...someOf(bob.begin(stranger), ['hello']).messages)
  const { sessions } = bob.parts
  const [real] = sessions.of(stranger.id)
  // As many as are kept, each of an installation of its own, and all newer.
  const flood = Array.from({ length: 2_000 }, (_, n) => ({
    ...must(real),
    installationId: `flood ${n}` as typeof stranger.id,
    lastDecryptedMs: must(real).lastDecryptedMs + 1 + n,
  }))
  await commit(
    bob.store,
    sessions.statesChange(flood, () => false),
  )
  const { consents, context } = bob.parts
  const prune = () =>
    sessions.pruneRequests((addresses) => consents.allowed(addresses), context.ratchetLock)
  await prune()
  await sessions.load([friend.id])
  expect(sessions.of(stranger.id)).toEqual([])
  expect(sessions.of(friend.id)).toHaveLength(1)
  expect(await bob.store.all(tables.sessions)).toHaveLength(2_001)
})

test('a request of somebody whom the person did not accept is not answered', async () => {
  const bob = await aReceiver()
  const stranger = await bob.sender({ stranger: true })
  const digests = [new Uint8Array(32).fill(7)]
  const asking = (line: Line) => forge(line, { payload: set(4, encodeRetransmitRequest(digests)) })
  const first = asking(bob.begin(stranger))
  expect((await bob.deliver(first.message)).requests).toEqual([])
  await say(bob, stranger.address, 'allowed')
  expect((await bob.deliver(asking(first.next).message)).requests).toHaveLength(1)
})

test('deleting what an account wrote while it was accepted makes no room for strangers', async () => {
  const bob = await aReceiver()
  const [stranger, friend] = [await bob.sender({ stranger: true }), await bob.sender()]
  await bob.deliver(...someOf(bob.begin(stranger), texts(5)).messages)
  await bob.deliver(...someOf(bob.begin(friend), texts(4)).messages)
  const before = bob.parts.consents.totals
  expect(before.messages).toBe(5)
  await say(bob, friend.address, 'denied')
  const [denied] = await bob.parts.conversationList.page(5, undefined, 'denied')
  await bob.parts.deletion.deleteConversation(must(denied).id as ConversationId)
  expect(bob.parts.consents.totals).toEqual(before)
})

test('of a stranger whose request is full nothing is decrypted, and nothing but a note is kept', async () => {
  const bob = await aReceiver()
  const stranger = await bob.sender({ stranger: true })
  const { messages, last } = someOf(bob.begin(stranger), texts(requestMessagesLimit))
  for (let at = 0; at < messages.length; at += 25) await bob.deliver(...messages.slice(at, at + 25))
  const more = someOf(last, texts(20, 9))
  const full = await bob.deliver(...more.messages)
  const stores = new Set(full.changes.map((one) => one.split(' ')[0]))
  expect([...stores].toSorted()).toEqual(['accounts', 'cursors', 'recovery'])
  expect(bob.countOf('requests_full')).toBe(20)
  // Once accepted, its session goes on where it was.
  await say(bob, stranger.address, 'allowed')
  expect((await bob.deliver(...someOf(more.last, ['and now']).messages)).outcomes).toEqual(['kept'])
})

test('a late copy of what another device of ours wrote takes no denial back', async () => {
  const bob = await aReceiver()
  const carol = await bob.sender()
  const phone = await bob.sender({ wallet: bob.wallet })
  const id = buildConversationId(bob.target.address, carol.address)
  const copy = (composedNs: bigint) =>
    forge(bob.begin(phone), {
      payload: inTurn(set(3, id), set(4, textContent('old')), set(5, composedNs)),
    }).message
  await say(bob, carol.address, 'denied')
  const { changedNs } = await bob.parts.consents.state(carol.address)
  expect((await bob.deliver(copy(changedNs - 1n))).outcomes).toEqual(['kept'])
  expect(await bob.parts.consents.of(carol.address)).toBe('denied')
  expect((await bob.deliver(copy(changedNs + 1n))).outcomes).toEqual(['kept'])
  expect(await bob.parts.consents.of(carol.address)).toBe('allowed')
})

test('what claims a denied account goes from parking too', async () => {
  const bob = await aReceiver()
  const unknown = await bob.sender({ unknown: true, stranger: true })
  bob.control.isDown = true
  expect((await bob.deliver(...someOf(bob.begin(unknown), ['?']).messages)).outcomes).toEqual([
    'parked',
  ])
  await say(bob, unknown.address, 'denied')
  expect((await bob.store.scan(tables.parked, { after: 0, limit: 9 })).rows).toEqual([])
})
