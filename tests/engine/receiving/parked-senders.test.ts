/**
 * Senders who are not known yet (docs/protocol.md section 8, step 3): parked in order, looked up within
 * bounds that anyone may try to use up, worked off in order, and rejected once a look-up has not named them.
 */

import { expect, test } from 'vitest'
import { minuteMs } from '../../../src/protocol/limits.ts'
import { tables } from '../../../src/store/tables.ts'
import { must } from '../../support/checked.ts'
import { anAccount } from '../../support/engine.ts'
import { flip, inTurn, set } from '../../support/envelope-forge/fields.ts'
import { type Changes, forge } from '../../support/envelope-forge/forge.ts'
import { keptChanges, said } from '../../support/envelope-forge/judge.ts'
import { arrivals, several, strangers, times } from '../../support/envelope-forge/parked.ts'
import {
  aReceiver,
  firstNodeNs,
  nodeStepNs,
  type Receiver,
} from '../../support/envelope-forge/receiver.ts'
import { makeSender } from '../../support/envelope-forge/sender.ts'

test('a sender that cannot be looked up is parked with every later envelope, and worked off in order', async () => {
  const bob = await aReceiver({ followed: false })
  bob.control.isDown = true
  const line = bob.begin(await bob.sender({ unknown: true }))
  const known = bob.begin(await bob.sender({ unknown: true }))
  const messages = several(line, 5)

  const first = await bob.deliver(must(messages[0]), must(messages[1]))
  expect(first).toMatchObject({ outcomes: ['parked', 'parked'], transactions: 1, queries: 1 })
  expect(first.changes).toEqual(['cursors *1', 'parked +2'])
  const [parked] = (await bob.store.scan(tables.parked, { after: 0, limit: 1 })).rows
  expect(parked?.value).toMatchObject({
    message: messages[0],
    address: line.from.address,
    installationId: line.from.id,
    nodeNs: firstNodeNs + 2n * nodeStepNs,
    sequence: 2n,
  })
  // A look-up that fails decides nothing.
  await expect(bob.workOff()).rejects.toMatchObject({ code: 'unavailable' })
  expect(await bob.store.all(tables.parked)).toHaveLength(2)

  // Known by now, and still behind its own; nobody else is.
  bob.control.isDown = false
  await bob.parts.directory.reread(line.from.address)
  const second = await bob.deliver(must(messages[2]), forge(known, said('x')).message)
  expect(second.outcomes).toEqual(['kept', 'parked'])

  const done = await bob.workOff()
  expect(done.outcomes).toEqual(times(3, 'kept'))
  expect(done.changes).toContain('parked -3')
  expect(done.transactions).toBe(1)
  expect(await arrivals(bob)).toEqual([
    { text: 'x', at: 5 },
    { text: '0', at: 2 },
    { text: '1', at: 3 },
    { text: '2', at: 4 },
  ])
  const third = await bob.deliver(must(messages[3]), must(messages[4]))
  expect(third.outcomes).toEqual(['kept', 'kept'])
  expect(third.changes).not.toContain('parked +1')
})

test('parked envelopes are parked after a restart, and so are those that come behind them', async () => {
  const bob = await aReceiver({ followed: false })
  bob.control.isDown = true
  const line = bob.begin(await bob.sender({ unknown: true }))
  const messages = several(line, 3)
  await bob.deliver(must(messages[0]))
  await bob.reopen()
  bob.control.isDown = false
  await bob.parts.directory.reread(line.from.address)
  expect((await bob.deliver(must(messages[1]))).outcomes).toEqual(['parked'])
  await bob.reopen()
  const done = await bob.workOff()
  expect(done.outcomes).toEqual(['kept', 'kept'])
  expect(done.changes).toContain('parked -2')
  await bob.reopen()
  expect((await bob.deliver(must(messages[2]))).outcomes).toEqual(['kept'])
  expect((await arrivals(bob)).map(({ text }) => text)).toEqual(['0', '1', '2'])
})

test('each step is taken when an envelope is worked off, and a bad one stops none behind it', async () => {
  const bob = await aReceiver({ followed: false })
  bob.control.isDown = true
  const line = bob.begin(await bob.sender({ unknown: true }))
  const one = forge(line, said('1'))
  const two = forge(one.next, said('2'))
  const bad: readonly Changes[] = [
    { signature: flip(0) },
    { olm: flip(-1) },
    { payload: set(1, 0n) },
  ]
  const batch = [
    ...bad.slice(0, 2).map((changes) => forge(line, changes).message),
    one.message,
    one.message,
    forge(one.next, { headerHash: flip(0) }).message,
    two.message,
    forge(two.next, must(bad[2])).message,
  ]
  expect((await bob.deliver(...batch)).outcomes).toEqual(times(7, 'parked'))
  bob.control.isDown = false
  const done = await bob.workOff()
  expect(done.outcomes).toEqual([
    'duplicate',
    'kept',
    'kept',
    'rejected(bad_header_signature)',
    'rejected(bad_mac)',
    'rejected(bad_payload)',
    'undecryptable(header_mismatch)',
  ])
  expect(done.changes).toEqual([
    'account *1',
    'conversations +1',
    'cursors +1',
    'installations +1',
    'messages +2',
    'parked -7',
    'recovery +1',
    'seen +1',
    'sessions +1',
  ])
})

test('two that work off at once work off once', async () => {
  const bob = await aReceiver({ followed: false })
  bob.control.isDown = true
  const line = bob.begin(await bob.sender({ unknown: true }))
  await bob.deliver(...several(line, 2))
  bob.control.isDown = false
  const { parkedSenders } = bob.parts
  const both = await bob.watch(0, () =>
    Promise.all([parkedSenders.workOff(), parkedSenders.workOff()]),
  )
  expect(both.outcomes).toEqual(['kept', 'kept'])
  expect(bob.countOf('duplicate_message')).toBe(0)
})

test('without a look-up only senders that are known to be valid are worked off', async () => {
  const bob = await aReceiver({ followed: false })
  bob.control.isDown = true
  const line = bob.begin(await bob.sender({ unknown: true }))
  await bob.deliver(...several(line, 2))
  const { address } = line.from
  const workOff = () => bob.watch(0, () => bob.parts.parkedSenders.workOffKnown(address))
  expect(await workOff()).toMatchObject({ outcomes: [], changes: [] })
  bob.control.isDown = false
  await bob.parts.directory.reread(address)
  expect((await workOff()).outcomes).toEqual(['kept', 'kept'])
})

test('if the store fails while something is worked off, all of it is there the next time', async () => {
  const bob = await aReceiver({ followed: false })
  bob.control.isDown = true
  const line = bob.begin(await bob.sender({ unknown: true }))
  await bob.deliver(...several(line, 2))
  bob.control.isDown = false
  await bob.parts.directory.reread(line.from.address)
  const before = await bob.rows()
  bob.control.failWrites = 1
  await expect(bob.workOff()).rejects.toMatchObject({ code: 'storage_failed' })
  expect(await bob.rows()).toEqual(before)
  expect((await bob.workOff()).outcomes).toEqual(['kept', 'kept'])
  expect(await bob.store.all(tables.parked)).toEqual([])
})

test('however many are parked, a restart knows them all', async () => {
  const bob = await aReceiver({ followed: false })
  bob.control.isDown = true
  const evil = bob.begin(await bob.sender({ unknown: true }))
  const line = bob.begin(await bob.sender({ unknown: true }))
  const [one, two] = several(line, 2)
  await bob.deliver(...strangers(evil, 450), must(one))
  await bob.reopen()
  bob.control.isDown = false
  await bob.parts.directory.reread(line.from.address)
  expect((await bob.deliver(must(two))).outcomes).toEqual(['parked'])
})

test('a sender that becomes known in the middle of a batch is not kept before its parked envelopes', async () => {
  const bob = await aReceiver()
  const line = bob.begin(await bob.sender())
  const { directory } = bob.parts
  const account = directory.account.bind(directory)
  let asked = 0
  directory.account = async (address) => {
    asked += 1
    return asked === 1 ? new Map() : account(address)
  }
  const batch = await bob.deliver(...several(line, 2))
  expect(batch.outcomes).toEqual(['parked', 'parked'])
  expect((await bob.workOff()).outcomes).toEqual(['kept', 'kept'])
  expect((await arrivals(bob)).map(({ text }) => text)).toEqual(['0', '1'])
})

// Look-ups.

/** Uses up the queries for strangers that go at once. */
const useUpLookUps = async (bob: Receiver) => {
  const evil = bob.begin(await bob.sender())
  for (let n = 0; n < 10; n += 1) {
    await bob.deliver(...strangers(evil, 1))
    await bob.workOff()
  }
  return evil
}

test('however many accounts write at once, they are looked up in one query, and the rest in turn', async () => {
  const bob = await aReceiver({ followed: false })
  const line = bob.begin(await bob.sender())
  const flood = await bob.deliver(...strangers(line, 60))
  // Nobody's messages wait for the look-up of strangers.
  expect(flood).toMatchObject({ outcomes: times(60, 'parked'), queries: 0 })
  const done = await bob.workOff()
  expect(done).toMatchObject({ outcomes: times(60, 'rejected(unknown_sender)'), queries: 1 })
  expect(bob.asked.at(-1)).toHaveLength(60)
  expect(await bob.store.all(tables.parked)).toEqual([])
  expect(bob.countOf('unknown_sender')).toBe(60)
})

test('without a look-up nobody is rejected', async () => {
  const bob = await aReceiver({ followed: false })
  const evil = await useUpLookUps(bob)
  await bob.deliver(...strangers(evil, 10))
  const soon = await bob.workOff()
  expect(soon).toMatchObject({ outcomes: [], changes: [], queries: 0 })
  bob.control.aheadMs += 3_000
  const next = await bob.workOff()
  expect(next.outcomes).toEqual(times(10, 'rejected(unknown_sender)'))
  expect(next.queries).toBe(1)
})

test('strangers use up no look-up of an accepted account, and are not waited for', async () => {
  const bob = await aReceiver({ followed: false })
  await useUpLookUps(bob)
  const friend = bob.begin(await bob.sender())
  const { outcomes, queries } = await bob.deliver(forge(friend).message)
  expect({ outcomes, queries }).toEqual({ outcomes: ['kept'], queries: 1 })
})

test('using up the look-ups delays an unknown sender, and loses nothing of them', async () => {
  const bob = await aReceiver({ followed: false })
  const evil = await useUpLookUps(bob)
  const line = bob.begin(await bob.sender({ unknown: true, stranger: true }))
  const messages = several(line, 3)
  const late = await bob.deliver(must(messages[0]), ...strangers(evil, 20))
  expect(late).toMatchObject({ outcomes: times(21, 'parked'), queries: 0 })
  expect((await bob.deliver(must(messages[1]))).outcomes).toEqual(['parked'])
  bob.control.aheadMs += 3_000
  const done = await bob.workOff()
  expect(done.outcomes.filter((outcome) => outcome === 'kept')).toHaveLength(2)
  // Known by now, but none is left to ask with whether they still may write.
  expect((await bob.deliver(must(messages[2]))).outcomes).toEqual(['parked'])
  bob.control.aheadMs += 3_000
  await bob.workOff()
  expect((await arrivals(bob)).map(({ text }) => text)).toEqual(['0', '1', '2'])
})

test('what others claim to be from a known sender takes no place while that sender waits', async () => {
  const bob = await aReceiver({ followed: false })
  const alice = await bob.sender({ stranger: true })
  const line = bob.begin(alice)
  const evil = await useUpLookUps(bob)
  const claims = inTurn(set(1, alice.address), set(2, alice.id))
  const junk = { payload: set(4, new Uint8Array(900 * 1024)), metadata: claims }
  const forged = Array.from({ length: 5 }, () => forge(evil, junk).message)
  const { outcomes } = await bob.deliver(...forged, forge(line).message)
  expect(outcomes).toEqual(['parked', ...times(5, 'rejected(bad_header_signature)')])
  expect(bob.countOf('parking_full')).toBe(0)
  bob.control.aheadMs += 3_000
  expect((await bob.workOff()).outcomes).toContain('kept')
})

test('a covered account that the node does not name yet is asked for before it is rejected', async () => {
  const bob = await aReceiver()
  const made = await bob.sender({ unknown: true })
  bob.follow(made.address)
  const { directory } = bob.parts
  directory.coverage.onCaughtUp()
  directory.coverage.onFrame()
  expect((await bob.deliver(forge(bob.begin(made)).message)).outcomes).toEqual(['parked'])
  const done = await bob.workOff()
  expect(done.queries).toBe(1)
  expect(done.outcomes).toEqual(['kept'])
})

// An installation is one under one address (section 3): whoever names it under another is somebody else.

test('an installation is not parked behind what names it under another address', async () => {
  const bob = await aReceiver()
  const alice = await bob.sender()
  const line = bob.begin(alice)
  const evil = bob.begin(await bob.sender())
  const claim = set(1, anAccount().address.toLowerCase())
  const forged = forge(evil, { metadata: inTurn(claim, set(2, alice.id)) })
  expect((await bob.deliver(forged.message)).outcomes).toEqual(['parked'])
  const honest = await bob.deliver(forge(line).message)
  expect(honest.outcomes).toEqual(['kept'])
  expect(honest.changes).toEqual(keptChanges('one-time'))
  expect((await bob.workOff()).outcomes).toEqual(['rejected(unknown_sender)'])
})

test('a look-up of one address decides nothing about an installation under another', async () => {
  const bob = await aReceiver({ followed: false })
  const evil = bob.begin(await bob.sender())
  const alice = await bob.sender({ unknown: true })
  bob.control.isDown = true
  const claims = Array.from({ length: 50 }, () => {
    const claim = set(1, anAccount().address.toLowerCase())
    return forge(evil, { metadata: inTurn(claim, set(2, alice.id)) }).message
  })
  // Those fifty take all look-ups of the minute, and of the next one they are the first.
  const line = bob.begin(alice)
  await bob.deliver(...claims.slice(0, 25), forge(line).message, ...claims.slice(25))
  bob.control.isDown = false
  bob.control.aheadMs += minuteMs
  const outcomes: string[] = []
  for (let minute = 0; minute < 3; minute += 1) {
    outcomes.push(...(await bob.workOff()).outcomes)
    bob.control.aheadMs += minuteMs
  }
  expect(outcomes.toSorted()).toEqual(['kept', ...times(50, 'rejected(unknown_sender)')])
})

// Bounds.

test('4 MiB of one address are parked: what comes beyond is dropped and counted as parking_full', async () => {
  const bob = await aReceiver({ followed: false })
  bob.control.isDown = true
  const line = bob.begin(await bob.sender({ unknown: true }))
  const other = bob.begin(await bob.sender({ unknown: true }))
  const big = { payload: set(4, new Uint8Array(900 * 1024).fill(0x22)) }
  const batch: Uint8Array[] = []
  let now = line
  for (let n = 0; n < 6; n += 1) {
    const one = forge(now, { payload: inTurn(big.payload, set(5, BigInt(n + 1))) })
    batch.push(one.message)
    now = one.next
  }
  const flood = await bob.deliver(...batch)
  expect(flood.outcomes.filter((outcome) => outcome === 'parked')).toHaveLength(4)
  expect(flood.changes).toEqual(['cursors *1', 'parked +4'])
  expect(bob.countOf('parking_full')).toBe(2)
  expect((await bob.deliver(forge(other).message)).outcomes).toEqual(['parked'])
  expect(bob.countOf('parking_full')).toBe(2)
  bob.control.isDown = false
  const done = await bob.workOff()
  expect(done.outcomes).toEqual(times(5, 'kept'))
  const { rows } = await bob.store.scan(tables.messages, { after: 0, limit: 10 })
  expect(rows.map(({ value }) => value.composedNs).slice(0, 4)).toEqual([1n, 2n, 3n, 4n])
})

// Contract accounts whose chain could not be asked.

test('an installation that is unverified is parked until it is known, for two weeks by both clocks, also after a restart', async () => {
  const bob = await aReceiver()
  const wallet = anAccount()
  const { sender, contract } = await makeSender(wallet)
  const topic = `contact-${sender.address}`
  const nodeNs = firstNodeNs
  await bob.parts.directory.apply([{ topic, sequence: 1n, nodeNs, message: contract }])
  const rows = await bob.store.all(tables.installations)
  expect(rows.map(({ value }) => value.state)).toContain(2)
  bob.follow(sender.address)
  const line = bob.begin(sender)
  const [one, two] = several(line, 2)
  const parked = await bob.deliver(must(one))
  expect(parked).toMatchObject({ outcomes: ['parked'], changes: ['cursors *1', 'parked +1'] })
  expect(await bob.workOff()).toMatchObject({ outcomes: [], changes: [] })
  // Whoever claims another installation of that account decides nothing about this one.
  const stranger = (await makeSender(wallet)).sender
  const evil = bob.begin(await bob.sender())
  const claim = forge(evil, { metadata: inTurn(set(1, sender.address), set(2, stranger.id)) })
  expect((await bob.deliver(claim.message)).outcomes).toEqual(['parked'])
  expect(await bob.workOff()).toMatchObject({
    outcomes: ['rejected(unknown_sender)'],
    changes: ['parked -1'],
  })
  const twoWeeksMs = 14 * 86_400_000
  bob.control.aheadMs += twoWeeksMs + minuteMs
  expect(await bob.workOff()).toMatchObject({ outcomes: [], changes: [] })
  await bob.reopen()
  bob.parts.context.time.onNodeTime(nodeNs + BigInt(twoWeeksMs - minuteMs) * 1_000_000n)
  expect(await bob.workOff()).toMatchObject({ outcomes: [], changes: [] })
  expect((await bob.deliver(must(two))).outcomes).toEqual(['parked'])
  bob.parts.context.time.onNodeTime(nodeNs + BigInt(twoWeeksMs + minuteMs) * 1_000_000n)
  // It was looked up a moment ago. The one that came later has all of its time before it.
  bob.control.aheadMs += 10 * minuteMs
  const done = await bob.workOff()
  expect(done).toMatchObject({ outcomes: ['rejected(unknown_sender)'], changes: ['parked -1'] })
})
