/**
 * What comes from one's own devices, and what installations say to each other (docs/protocol.md
 * sections 4, 8 and 10): copies, requests, retransmissions, heads, and what a later release will read.
 */

import { expect, test } from 'vitest'
import { scanAll } from '../../../src/engine/runtime/scan-all.ts'
import { type Address, buildConversationId } from '../../../src/protocol/ids.ts'
import { contactTopic, revokedTopic } from '../../../src/protocol/topics.ts'
import { MessageState, put, tables } from '../../../src/store/tables.ts'
import { must } from '../../support/checked.ts'
import { anAccount } from '../../support/engine.ts'
import {
  also,
  encodeFields,
  type Field,
  flip,
  inTurn,
  set,
} from '../../support/envelope-forge/fields.ts'
import { forge, type Line, textContent } from '../../support/envelope-forge/forge.ts'
import { aLine, ratchetChanges } from '../../support/envelope-forge/judge.ts'
import { aReceiver, type Receiver } from '../../support/envelope-forge/receiver.ts'

const badPayload = 'rejected(bad_payload)'
const wrong = 'rejected(wrong_participants)'
const later = 'unsupported_version'

const bytes = (...values: number[]) => Uint8Array.of(...values)
const stranger = anAccount().address.toLowerCase() as Address
const other = anAccount().address.toLowerCase() as Address

// Copies between one's own devices, and what installations say to each other.

test('a copy from another device of ours is sent, not received, whatever its conversation', async () => {
  const bob = await aReceiver()
  const device = await bob.sender({ wallet: bob.wallet })
  const line = bob.begin(device)
  const note = forge(line, { payload: set(3, buildConversationId(device.address, device.address)) })
  const copy = forge(note.next, {
    payload: inTurn(
      set(3, buildConversationId(device.address, stranger)),
      set(4, textContent('copy')),
    ),
  })
  const foreign = forge(copy.next, { payload: set(3, buildConversationId(stranger, other)) })
  const batch = await bob.deliver(note.message, copy.message, foreign.message)
  expect(batch.outcomes).toEqual(['kept', 'kept', wrong])
  const { rows } = await bob.store.scan(tables.messages, { after: 0, limit: 5 })
  expect(rows.map(({ value }) => value.state)).toEqual([MessageState.SENT, MessageState.SENT])
  const peers = (await bob.parts.conversationList.page(5)).map(({ peer }) => peer.toLowerCase())
  expect(peers.toSorted()).toEqual([device.address, stranger].toSorted())
})

const internal = (typeId: string, body: Uint8Array) =>
  set(
    4,
    encodeFields([
      [
        1,
        encodeFields([
          [1, 'padlock'],
          [2, typeId],
          [3, 1n],
        ]),
      ],
      [4, body],
    ]),
  )
const digests = (...sizes: number[]) =>
  encodeFields(sizes.map((size): Field => [1, new Uint8Array(size).fill(5)]))

test.each([
  ['a type that nobody knows yet', internal('something-new', bytes(1)), 0],
  ['a request for nothing', internal('retransmit-request', bytes()), 0],
  ['a digest of 31 bytes', internal('retransmit-request', digests(31)), 0],
  ['a digest of 33 bytes among others', internal('retransmit-request', digests(32, 33)), 0],
  ['501 digests', internal('retransmit-request', digests(...Array(501).fill(32))), 0],
  ['what is no protobuf', internal('retransmit-request', bytes(0xff)), 0],
  ['500 digests', internal('retransmit-request', digests(...Array(500).fill(32))), 500],
  ['one digest', internal('retransmit-request', digests(32)), 1],
])('between installations, %s is no message and moves the ratchet', async (_, payload, count) => {
  const bob = await aReceiver()
  const line = await aLine(bob, 'one-time')
  const forged = forge(line, { payload })
  const { changes, requests } = await bob.deliver(forged.message)
  expect(changes).toEqual(ratchetChanges('one-time'))
  expect(requests.map((request) => request.digests.length)).toEqual(count > 0 ? [count] : [])
  if (count > 0) {
    expect(requests[0]).toMatchObject({ from: { id: line.from.id }, sessionId: line.sessionId })
  }
  expect((await bob.deliver(forge(forged.next).message)).outcomes).toEqual(['kept'])
})

test('an internal message is between the two accounts, or refused', async () => {
  const bob = await aReceiver()
  const line = await aLine(bob, 'one-time')
  const payload = inTurn(
    internal('retransmit-request', digests(32)),
    set(3, buildConversationId(line.from.address, stranger)),
  )
  const { outcomes, requests } = await bob.deliver(forge(line, { payload }).message)
  expect(outcomes).toEqual([wrong])
  expect(requests).toEqual([])
})

// Section 10, the receiving end of a retransmission.

test('a retransmission is kept where it was missed if it was asked of that installation, and only once', async () => {
  const bob = await aReceiver()
  const line = await aLine(bob, 'one-time')
  const lost = forge(line, { headerHash: flip(0) })
  await bob.deliver({ message: lost.message, nodeNs: 4_242n })
  const again = (digest: Uint8Array) => ({ payload: also(6, digest) })
  // Noted, not asked for yet.
  const early = forge(line, again(lost.digest))
  expect((await bob.deliver(early.message)).outcomes).toEqual([badPayload])

  const [noted] = await bob.store.all(tables.recovery)
  const { value } = must(noted)
  await bob.store.transaction([], () => ({
    writes: [
      put(tables.recovery, value.installationId, {
        ...value,
        missing: value.missing.map((one) => ({ ...one, asks: 1, askedMs: 1n })),
      }),
    ],
    result: undefined,
  }))
  await bob.reopen()
  const mallory = await aLine(bob, 'fallback')
  const others = await bob.deliver(forge(mallory, again(lost.digest)).message)
  expect(others.outcomes).toEqual([badPayload])
  const second = forge(early.next, again(flip(0)(lost.digest)))
  expect((await bob.deliver(second.message)).outcomes).toEqual([badPayload])

  const third = forge(second.next, again(lost.digest))
  const came = await bob.deliver(third.message)
  expect(came.outcomes).toEqual(['kept'])
  expect(came.changes).toContain('recovery -1')
  const { rows } = await bob.store.scan(tables.messages, { after: 0, limit: 5 })
  expect(rows.map((row) => row.value.nodeNs)).toEqual([4_242n])
  const fourth = forge(third.next, {
    payload: inTurn(also(6, lost.digest), set(4, textContent('more'))),
  })
  expect((await bob.deliver(fourth.message)).outcomes).toEqual([badPayload])
})

// Heads.

test('heads are taken as they are told, each topic once, and only those of the two accounts', async () => {
  const bob = await aReceiver()
  const line = await aLine(bob, 'one-time')
  const { from, to } = line
  const nodeId = new Uint8Array(16).fill(9)
  const head = (topic: string, length = 32, sequence = 3n) =>
    encodeFields([
      [1, topic],
      [2, sequence],
      [3, new Uint8Array(length).fill(1)],
    ])
  const told = also(8, nodeId)
  const good = forge(line, {
    payload: inTurn(
      told,
      also(7, head(contactTopic(from.address))),
      also(7, head(contactTopic(from.address), 32, 9n)),
      also(7, head(revokedTopic(to.address), 32, 4n)),
      also(7, head(contactTopic(to.address), 31)),
      also(7, head(contactTopic(stranger))),
      also(7, head(`message-${to.id}`)),
    ),
  })
  const { outcomes, claims } = await bob.deliver(good.message)
  expect(outcomes).toEqual(['kept'])
  expect(claims).toMatchObject([{ claimant: { id: from.id }, nodeId }])
  expect(claims[0]?.heads.map(({ topic, sequence }) => [topic, sequence])).toEqual([
    ...(from.address < to.address
      ? [
          [contactTopic(from.address), 3n],
          [revokedTopic(to.address), 4n],
        ]
      : [
          [revokedTopic(to.address), 4n],
          [contactTopic(from.address), 3n],
        ]),
  ])
  // Neither a node id of another length nor its absence stops the message.
  const short = forge(good.next, {
    payload: inTurn(
      also(8, nodeId.subarray(1)),
      also(7, head(contactTopic(from.address))),
      set(5, 1n),
    ),
  })
  const without = await bob.deliver(short.message)
  expect(without.outcomes).toEqual(['kept'])
  expect(without.claims).toMatchObject([{ nodeId: undefined }])
  // What is refused claims nothing.
  const refusedOne = forge(short.next, {
    payload: inTurn(told, also(7, head(contactTopic(from.address))), set(1, 2n)),
  })
  expect((await bob.deliver(refusedOne.message)).claims).toEqual([])
  const broken = forge(refusedOne.next, { payload: also(7, bytes(0xff)) })
  expect((await bob.deliver(broken.message)).outcomes).toEqual([badPayload])
})

// What is set aside.

const asideOf = async ({ store }: Receiver): Promise<readonly Uint8Array[]> => {
  const payloads: Uint8Array[] = []
  for await (const { value } of scanAll(store, tables.setAside)) payloads.push(value.payload)
  return payloads
}

/** Delivers payloads of a later version, in one batch. */
const floodOf = async (bob: Receiver, line: Line, count: number, contentBytes = 0) => {
  const batch: Uint8Array[] = []
  let now = line
  for (let n = 0; n < count; n += 1) {
    const content = contentBytes > 0 ? [set(4, new Uint8Array(contentBytes))] : []
    const one = forge(now, { payload: inTurn(set(1, 2n), ...content) })
    batch.push(one.message)
    now = one.next
  }
  const { outcomes } = await bob.deliver(...batch)
  expect(outcomes).toEqual(Array.from({ length: count }, () => later))
  return now
}

test('a thousand plaintexts are set aside, a hundred of one account, also across a restart', async () => {
  const bob = await aReceiver()
  let first = await floodOf(bob, await aLine(bob, 'fallback'), 99)
  expect(await asideOf(bob)).toHaveLength(99)
  first = await floodOf(bob, first, 3)
  expect(await asideOf(bob)).toHaveLength(100)
  await bob.reopen()
  await floodOf(bob, first, 1)
  expect(await asideOf(bob)).toHaveLength(100)
  for (let n = 1; n < 10; n += 1) await floodOf(bob, await aLine(bob, 'fallback'), 101)
  expect(await asideOf(bob)).toHaveLength(1_000)
  const last = await aLine(bob, 'fallback')
  await floodOf(bob, last, 1)
  await bob.reopen()
  await floodOf(bob, await aLine(bob, 'fallback'), 1)
  expect(await asideOf(bob)).toHaveLength(1_000)
  expect(bob.countOf('unsupported_version')).toBeGreaterThan(0)
})

test('plaintexts set aside are bounded in bytes, of one account and in all', async () => {
  const bob = await aReceiver()
  const half = 500 * 1024
  let line = await floodOf(bob, await aLine(bob, 'fallback'), 3, half)
  expect(await asideOf(bob)).toHaveLength(3)
  line = await floodOf(bob, line, 2, half)
  expect(await asideOf(bob)).toHaveLength(4)
  // What is small still fits.
  await floodOf(bob, line, 1)
  expect(await asideOf(bob)).toHaveLength(5)
  for (let n = 1; n < 10; n += 1) await floodOf(bob, await aLine(bob, 'fallback'), 4, half)
  const bytes = (await asideOf(bob)).reduce((sum, { length }) => sum + length, 0)
  expect(bytes).toBeGreaterThan(15 * 1024 * 1024)
  expect(bytes).toBeLessThanOrEqual(16 * 1024 * 1024)
})
