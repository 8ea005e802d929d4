/** Sessions and prekeys as what arrives uses them (docs/protocol.md sections 6 to 8, step 4). */

import { create } from '@bufbuild/protobuf'
import { expect, test } from 'vitest'
import { SecretKeySchema } from '../../../src/gen/padlock/store/v1/records_pb.ts'
import { put, tables } from '../../../src/store/tables.ts'
import { must } from '../../support/checked.ts'
import { crypto } from '../../support/envelope-forge/basics.ts'
import { also, flip, without } from '../../support/envelope-forge/fields.ts'
import { forge } from '../../support/envelope-forge/forge.ts'
import { aLine, keptChanges, messageOf, said } from '../../support/envelope-forge/judge.ts'
import { changeInner, changeMessage, messageFields } from '../../support/envelope-forge/olm.ts'
import { aReceiver } from '../../support/envelope-forge/receiver.ts'

// vodozemac authenticates what it read, written anew: what Olm readers skip changes nothing.
test.each([
  ['an unknown field in an Olm message', also(9, 1n)],
  ['a counter that is left out, as it is 0', without(messageFields.counter)],
])('%s is read as if it were not so', async (_, change) => {
  const bob = await aReceiver()
  const first = await aLine(bob, 'one-time')
  const { message } = forge(first, { olm: changeInner(changeMessage(change)) })
  expect((await bob.deliver(message)).outcomes).toEqual(['kept'])
  const known = await bob.established(await bob.sender())
  const second = forge(known, { olm: changeMessage(change) })
  expect((await bob.deliver(second.message)).outcomes).toEqual(['kept'])
})

test('a key that is used up makes no second session, and what was made with it stays', async () => {
  const bob = await aReceiver()
  const alice = await bob.sender()
  const prekey = must(bob.unused.shift())
  const line = bob.begin(alice, prekey)
  const first = forge(line)
  expect((await bob.deliver(first.message)).outcomes).toEqual(['kept'])
  const other = bob.begin(alice, prekey)
  const late = await bob.deliver(forge(other).message)
  expect(late.outcomes).toEqual(['undecryptable(prekey_gone)'])
  expect(late.changes).toEqual(['cursors *1', 'recovery +1'])
  const next = await bob.deliver(forge(first.next, said('and more')).message)
  expect(next.outcomes).toEqual(['kept'])
})

test('of two first messages with one key in a batch the first makes its session, in one transaction', async () => {
  const bob = await aReceiver()
  const [alice, carol] = [await bob.sender(), await bob.sender()]
  const prekey = must(bob.unused.shift())
  const batch = [forge(bob.begin(alice, prekey)), forge(bob.begin(carol, prekey))]
  const { outcomes, transactions, changes } = await bob.deliver(...batch.map(messageOf))
  expect(outcomes).toEqual(['kept', 'undecryptable(prekey_gone)'])
  expect(transactions).toBe(1)
  expect(changes).toEqual([...keptChanges('one-time'), 'recovery +1'].sort())
  const [session] = await bob.store.all(tables.sessions)
  expect(session?.value.installationId).toBe(alice.id)
})

test('the fallback key makes as many sessions as come, and the one before it as well', async () => {
  const bob = await aReceiver()
  const prekeys = must(await bob.store.get(tables.prekeys, 'prekeys')).value
  const before = must(crypto.createKeyPairs(1)[0])
  await bob.store.transaction([], () => ({
    writes: [
      put(tables.prekeys, 'prekeys', {
        ...prekeys,
        fallback: [...prekeys.fallback, create(SecretKeySchema, { ...before, createdNs: 1n })],
      }),
    ],
    result: undefined,
  }))
  await bob.reopen()
  for (const prekey of [bob.fallback, before.publicKey, bob.fallback, before.publicKey]) {
    const line = bob.begin(await bob.sender(), prekey)
    const { outcomes, changes } = await bob.deliver(forge(line).message)
    expect(outcomes).toEqual(['kept'])
    expect(changes).toEqual(keptChanges('fallback'))
  }
  const [one, two] = [
    bob.begin(await bob.sender(), bob.fallback),
    bob.begin(await bob.sender(), bob.fallback),
  ]
  expect((await bob.deliver(forge(one).message, forge(two).message)).outcomes).toEqual([
    'kept',
    'kept',
  ])
})

test('a flood of sessions on the fallback key is received, and leaves twenty and the ids of a thousand', async () => {
  const bob = await aReceiver()
  const alice = await bob.sender()
  let texts = 0
  const flood = (count: number) =>
    Array.from({ length: count }, () => {
      texts += 1
      return forge(bob.begin(alice, bob.fallback), said(`text ${texts}`)).message
    })
  const state = async () => {
    const records = (await bob.store.all(tables.sessions)).map(({ value }) => value)
    const live = records.filter(({ pruned }) => !pruned)
    return { live: live.length, removed: records.length - live.length }
  }
  const [oldest = new Uint8Array(), ...first] = flood(50)
  const { outcomes } = await bob.deliver(oldest, ...first)
  expect(new Set(outcomes)).toEqual(new Set(['kept']))
  expect(outcomes).toHaveLength(50)
  expect(await state()).toEqual({ live: 20, removed: 30 })
  // What was removed is not made again.
  expect((await bob.deliver(oldest)).outcomes).toEqual(['duplicate'])
  for (let n = 0; n < 10; n += 1) await bob.deliver(...flood(97))
  expect(await state()).toEqual({ live: 20, removed: 1_000 })
  expect((await bob.deliver(...flood(2))).outcomes).toEqual([
    'undecryptable(session_unknown)',
    'undecryptable(session_unknown)',
  ])
  expect(await state()).toEqual({ live: 20, removed: 1_000 })
  // Others, and keys that a session uses up, are as before.
  const prekey = must(bob.unused.shift())
  expect((await bob.deliver(forge(bob.begin(alice, prekey)).message)).outcomes).toEqual(['kept'])
  const carol = await bob.sender()
  expect((await bob.deliver(forge(bob.begin(carol, bob.fallback)).message)).outcomes).toEqual([
    'kept',
  ])
})

test('a message key opens one envelope: sealed anew the same ciphertext is message_key_gone', async () => {
  const bob = await aReceiver()
  for (const kind of ['one-time', 'established'] as const) {
    const line = await aLine(bob, kind)
    expect((await bob.deliver(forge(line).message)).outcomes).toEqual(['kept'])
    const again = await bob.deliver(forge(line).message)
    expect(again.outcomes).toEqual(['undecryptable(message_key_gone)'])
    expect(again.changes).toEqual(['cursors *1', 'recovery +1'])
  }
})

test('a session belongs to the installation that it was made with', async () => {
  const bob = await aReceiver()
  const [alice, carol] = [await bob.sender(), await bob.sender()]
  const line = await bob.established(alice)
  const stolen = forge({ ...line, from: carol })
  expect((await bob.deliver(stolen.message)).outcomes).toEqual(['undecryptable(session_unknown)'])
  const first = bob.begin(alice)
  expect((await bob.deliver(forge({ ...first, from: carol }).message)).outcomes).toEqual([
    'undecryptable(session_mismatch)',
  ])
  expect((await bob.deliver(forge(line).message, forge(first).message)).outcomes).toEqual([
    'duplicate',
    'kept',
  ])
})

test('a session belongs to its installation in a batch as well, whoever comes first', async () => {
  for (const isThiefFirst of [true, false]) {
    const bob = await aReceiver()
    const [alice, carol] = [await bob.sender(), await bob.sender()]
    const first = forge(await bob.established(alice), said('first'))
    await bob.deliver(first.message)
    const honest = forge(first.next, said('second'))
    const stolen = forge({ ...honest.next, from: carol }, said('third'))
    const batch = [stolen.message, honest.message]
    const { outcomes } = await bob.deliver(...(isThiefFirst ? batch : batch.toReversed()))
    expect(outcomes).toEqual(['kept', 'undecryptable(session_unknown)'])
    const { rows } = await bob.store.scan(tables.messages, { after: 0, limit: 5 })
    expect(rows.map(({ value }) => value.senderInstallation)).toEqual([alice.id, alice.id])
  }
})

test('a session remembers when it first and last decrypted, and may be sent on again', async () => {
  const bob = await aReceiver()
  const line = await bob.established(await bob.sender())
  const sessionOf = async () => must((await bob.store.all(tables.sessions))[0]).value
  expect(await sessionOf()).toMatchObject({ firstDecryptedMs: 0n, sentSince: 1 })
  const one = forge(line, said('one'))
  await bob.deliver(one.message)
  const first = await sessionOf()
  expect(first.lastDecryptedMs).toBe(first.firstDecryptedMs)
  expect(first).toMatchObject({ createdMs: 1n, sentSince: 0 })
  bob.control.aheadMs += 5_000
  await bob.deliver(forge(one.next, { signature: flip(0) }).message)
  await bob.deliver(forge(one.next, { ciphertext: flip(0) }).message)
  expect(await sessionOf()).toEqual(first)
  await bob.deliver(forge(one.next, said('two')).message)
  const second = await sessionOf()
  expect(second.firstDecryptedMs).toBe(first.firstDecryptedMs)
  expect(second.lastDecryptedMs).toBeGreaterThanOrEqual(first.lastDecryptedMs + 5_000n)
})
