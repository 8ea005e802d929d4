/**
 * Envelopes that come again, out of order or among bad ones (docs/protocol.md sections 7 and 8, step 4).
 */

import { expect, test } from 'vitest'
import { commit, recordUpdate } from '../../../src/engine/runtime/change.ts'
import { encodeBase64Url } from '../../../src/protocol/bytes.ts'
import { joinKey, put, tables } from '../../../src/store/tables.ts'
import { must } from '../../support/checked.ts'
import { flip, set } from '../../support/envelope-forge/fields.ts'
import { forge } from '../../support/envelope-forge/forge.ts'
import { aLine, keptChanges, messageOf, said } from '../../support/envelope-forge/judge.ts'
import { aReceiver } from '../../support/envelope-forge/receiver.ts'

const unknown = 'undecryptable(session_unknown)'
const failed = 'undecryptable(decryption_failed)'

// Section 7, Replays.

test('an envelope that was processed once is a duplicate from then on, also when nothing is in memory', async () => {
  const bob = await aReceiver()
  for (const kind of ['one-time', 'fallback', 'established'] as const) {
    const line = await aLine(bob, kind)
    const kept = forge(line)
    const rejected = forge(kept.next, { payload: set(1, 0n) })
    expect((await bob.deliver(kept.message)).outcomes).toEqual(['kept'])
    expect((await bob.deliver(rejected.message)).outcomes).toEqual(['rejected(bad_payload)'])
    for (const isReopened of [false, true]) {
      if (isReopened) await bob.reopen()
      const before = bob.countOf('duplicate_message')
      const again = await bob.deliver(kept.message, rejected.message)
      expect(again.outcomes).toEqual(['duplicate', 'duplicate'])
      expect(again.changes).toEqual(['cursors *1'])
      expect(bob.countOf('duplicate_message')).toBe(before + 2)
    }
  }
})

test('an envelope twice in a batch is one message and one duplicate', async () => {
  const bob = await aReceiver()
  for (const kind of ['one-time', 'fallback', 'established'] as const) {
    const { message } = forge(await aLine(bob, kind))
    const { outcomes, changes } = await bob.deliver(message, message)
    expect(outcomes).toEqual(['duplicate', 'kept'])
    expect(changes).toEqual(keptChanges(kind))
  }
})

test('an envelope that failed once fails again, and is noted once', async () => {
  const bob = await aReceiver()
  const line = await aLine(bob, 'established')
  const { message } = forge(line, { ciphertext: flip(0) })
  expect((await bob.deliver(message, message)).outcomes).toEqual([failed, failed])
  expect((await bob.deliver(message)).outcomes).toEqual([failed])
  const [asked] = await bob.store.all(tables.recovery)
  expect(asked?.value.missing).toHaveLength(1)
  expect((await bob.deliver(forge(line).message)).outcomes).toEqual(['kept'])
})

test('a first message never makes a pruned session again', async () => {
  const bob = await aReceiver()
  for (const kind of ['one-time', 'fallback'] as const) {
    const line = await aLine(bob, kind)
    const first = forge(line)
    const second = forge(first.next, said('second'))
    expect((await bob.deliver(first.message)).outcomes).toEqual(['kept'])
    const sessions = await bob.store.all(tables.sessions)
    const session = must(sessions.find(({ value }) => value.installationId === line.from.id)).value
    const name = joinKey(session.installationId, encodeBase64Url(session.sessionId))
    await bob.store.transaction([], () => ({
      writes: [put(tables.sessions, name, { ...session, state: new Uint8Array(), pruned: true })],
      result: undefined,
    }))
    await bob.reopen()
    const { outcomes, changes } = await bob.deliver(first.message, second.message)
    // Also where the key that made it is still here.
    expect(outcomes).toEqual(['duplicate', unknown])
    expect(changes.filter((change) => !change.startsWith('recovery'))).toEqual(['cursors *1'])
  }
})

test('messages of a session are read in any order, in one batch or several', async () => {
  const bob = await aReceiver()
  for (const kind of ['one-time', 'established'] as const) {
    const forged = []
    for (let line = await aLine(bob, kind), n = 0; n < 6; n += 1) {
      const one = forge(line, said(`${kind} ${n}`))
      forged.push(one)
      line = one.next
    }
    const [a, b, c, d, e, f] = forged.map(messageOf)
    const all = [a, b, c, d, e, f].map(must)
    expect((await bob.deliver(must(all[4]), must(all[1]))).outcomes).toEqual(['kept', 'kept'])
    const rest = [must(all[5]), must(all[0]), must(all[3]), must(all[2])]
    expect((await bob.deliver(...rest)).outcomes).toEqual(['kept', 'kept', 'kept', 'kept'])
  }
})

test('one bad message of a session never stops those around it', async () => {
  const bob = await aReceiver()
  for (const kind of ['one-time', 'fallback', 'established'] as const) {
    const line = await aLine(bob, kind)
    const first = forge(line, said('one'))
    const second = forge(first.next, said('two'))
    const bad = [
      forge(line, { olm: flip(-1) }),
      forge(first.next, { headerHash: flip(0) }),
      forge(second.next, { ciphertext: flip(0) }),
    ]
    const before = (await bob.store.all(tables.messages)).length
    const { outcomes, transactions } = await bob.deliver(
      ...[bad[0], first, bad[1], second, bad[2]].map((one) => must(one).message),
    )
    expect(transactions).toBe(1)
    expect(outcomes.filter((outcome) => outcome === 'kept')).toHaveLength(2)
    expect(outcomes).not.toContain('nothing')
    expect(await bob.store.all(tables.messages)).toHaveLength(before + 2)
  }
})

test('a session that cannot be read is storage_damaged, and nothing of the batch is saved', async () => {
  const bob = await aReceiver()
  const line = await aLine(bob, 'established')
  const [session] = await bob.store.all(tables.sessions)
  const { value } = must(session)
  const name = joinKey(value.installationId, encodeBase64Url(value.sessionId))
  await bob.store.transaction([], () => ({
    writes: [put(tables.sessions, name, { ...value, state: Uint8Array.of(1, 2, 3) })],
    result: undefined,
  }))
  await bob.reopen()
  const before = await bob.rows()
  await expect(bob.deliver(forge(line).message)).rejects.toMatchObject({ code: 'storage_damaged' })
  expect(await bob.rows()).toEqual(before)
})

test('an undecryptable envelope is noted with its node time, to be asked of that installation', async () => {
  const bob = await aReceiver()
  const line = await aLine(bob, 'one-time')
  const forged = forge(line, { headerHash: flip(0) })
  await bob.deliver({ message: forged.message, nodeNs: 1_900_000_000_000_000_000n })
  const [noted] = await bob.store.all(tables.recovery)
  expect(noted?.value).toMatchObject({
    installationId: line.from.id,
    address: line.from.address,
    missing: [{ digest: forged.digest, nodeNs: 1_900_000_000_000_000_000n, asks: 0 }],
  })
})

test('a failure no newer than what was processed at another node is counted and not asked for', async () => {
  const bob = await aReceiver()
  const line = await aLine(bob, 'established')
  const { message } = forge(line, { ciphertext: flip(0) })
  await commit(
    bob.store,
    recordUpdate(tables.identity, 'identity', (one) => ({ ...one, readBeforeNs: 5_000n })),
  )
  await bob.parts.inbox.begin()
  const old = await bob.deliver({ message, nodeNs: 5_000n })
  expect(old).toMatchObject({ outcomes: [failed], changes: ['cursors *1'] })
  const news = await bob.deliver({ message, nodeNs: 5_001n })
  expect(news).toMatchObject({ outcomes: [failed], changes: ['cursors *1', 'recovery +1'] })
})

// Numbers that a node repeats or swaps.

test('an envelope that comes again before its batch is committed is passed over', async () => {
  const bob = await aReceiver()
  const one = forge(await aLine(bob, 'one-time'), said('one'))
  const two = forge(one.next, said('two'))
  const at = bob.nextSequence()
  const first = { message: one.message, sequence: at, nodeNs: 10n }
  const second = { message: two.message, sequence: at + 1n, nodeNs: 11n }
  const { inbox } = bob.parts
  const delivery = await bob.watch(2, async () => {
    const prepared = [await inbox.prepare([first]), await inbox.prepare([first, second])]
    for (const batch of prepared) await inbox.commit(batch)
  })
  expect(delivery.outcomes).toEqual(['kept', 'kept'])
  expect(bob.countOf('duplicate_message')).toBe(0)
  expect(bob.countOf('gap')).toBe(0)
})

test('the cursor is the greatest number of a batch, in whatever order they come', async () => {
  const bob = await aReceiver()
  const one = forge(await aLine(bob, 'one-time'), said('one'))
  const two = forge(one.next, said('two'))
  const three = forge(two.next, said('three'))
  const at = bob.nextSequence()
  const [first, second, third] = [one, two, three].map(({ message }, n) => ({
    message,
    sequence: at + BigInt(n),
  }))
  const swapped = await bob.deliver(must(first), must(third), must(second))
  expect(swapped.outcomes).toEqual(['kept', 'kept', 'kept'])
  // It was missing when the next one came; that it came later takes nothing back.
  expect(bob.countOf('gap')).toBe(1)
  const before = await bob.rows()
  for (const isReopened of [false, true]) {
    if (isReopened) await bob.reopen()
    expect(await bob.deliver(must(third), must(second))).toMatchObject({ transactions: 0 })
  }
  expect((await bob.rows()).get('cursors')).toEqual(before.get('cursors'))
  expect(bob.countOf('duplicate_message')).toBe(0)
})

test('a batch that could not be saved may be prepared again', async () => {
  const bob = await aReceiver()
  const { message } = forge(await aLine(bob, 'one-time'))
  const sequence = bob.nextSequence()
  bob.control.failWrites = 1
  await expect(bob.deliver({ message, sequence })).rejects.toMatchObject({ code: 'storage_failed' })
  expect((await bob.deliver({ message, sequence })).outcomes).toEqual(['kept'])
})

test('envelopes that were prepared when a subscription ended come again with the next', async () => {
  const bob = await aReceiver()
  const { message } = forge(await aLine(bob, 'one-time'))
  const sequence = bob.nextSequence()
  await bob.parts.inbox.prepare([{ message, sequence, nodeNs: 10n }])
  await bob.parts.inbox.begin()
  expect((await bob.deliver({ message, sequence })).outcomes).toEqual(['kept'])
})

test('an envelope that a node dates into the future is not remembered for longer', async () => {
  const bob = await aReceiver()
  const now = BigInt(Date.now()) * 1_000_000n
  bob.parts.context.time.onNodeTime(now)
  const { message } = forge(await aLine(bob, 'one-time'))
  const far = now + 1_000_000_000_000_000_000n
  expect((await bob.deliver({ message, nodeNs: far })).outcomes).toEqual(['kept'])
  const { rows } = await bob.store.scan(tables.seen, { after: 0, limit: 5 })
  expect(rows).toHaveLength(1)
  expect(must(rows[0]).value.nodeNs).toBeLessThan(far)
})
