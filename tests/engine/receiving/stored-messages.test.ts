/** Step 6 of receiving (docs/protocol.md section 8): a new message is stored with its ratchet, in one transaction. */

import { expect, test } from 'vitest'
import { flip, set } from '../../support/envelope-forge/fields.ts'
import { composedNs, forge } from '../../support/envelope-forge/forge.ts'
import { aLine, keptChanges, ratchetChanges, said } from '../../support/envelope-forge/judge.ts'
import { aReceiver } from '../../support/envelope-forge/receiver.ts'

const kinds = ['one-time', 'fallback', 'established'] as const

test('a message that is here already is a duplicate, in the same batch and later, and its ratchet is saved', async () => {
  const bob = await aReceiver()
  for (const kind of kinds) {
    const line = await aLine(bob, kind)
    const one = forge(line)
    // Another envelope with the same message.
    const two = forge(one.next)
    const three = forge(two.next)
    const batch = await bob.deliver(one.message, two.message)
    expect(batch.outcomes).toEqual(['duplicate', 'kept'])
    expect(batch.changes).toEqual(keptChanges(kind))
    const late = await bob.deliver(three.message)
    expect(late).toMatchObject({ outcomes: ['duplicate'], transactions: 1 })
    expect(late.changes).toEqual(ratchetChanges('established'))
    expect((await bob.deliver(forge(three.next, said('next')).message)).outcomes).toEqual(['kept'])
  }
  expect(bob.countOf('duplicate_message')).toBe(2 * kinds.length)
})

test('each thing that a message id commits to makes another message', async () => {
  const bob = await aReceiver()
  const first = await aLine(bob, 'one-time')
  const one = forge(first)
  expect((await bob.deliver(one.message)).outcomes).toEqual(['kept'])
  const two = forge(one.next, { payload: set(5, composedNs + 1n) })
  const three = forge(two.next, said('hello '))
  // Another installation.
  const four = forge(await aLine(bob, 'fallback'))
  expect((await bob.deliver(two.message, three.message, four.message)).outcomes).toEqual([
    'kept',
    'kept',
    'kept',
  ])
})

test('if the store fails nothing of a batch is saved, and all of it comes again', async () => {
  const bob = await aReceiver()
  const batch: Uint8Array[] = []
  for (const kind of kinds) batch.push(forge(await aLine(bob, kind)).message)
  batch.push(forge(await aLine(bob, 'established'), { ciphertext: flip(0) }).message)
  batch.push(forge(await aLine(bob, 'one-time'), { payload: set(1, 2n) }).message)
  const before = await bob.rows()
  bob.control.failWrites = 1
  await expect(bob.deliver(...batch)).rejects.toMatchObject({ code: 'storage_failed' })
  expect(await bob.rows()).toEqual(before)
  // Memory holds nothing of it either: the next subscription brings it all again.
  await bob.parts.inbox.begin()
  const first = bob.nextSequence() - BigInt(batch.length)
  const again = await bob.deliver(
    ...batch.map((message, at) => ({ message, sequence: first + BigInt(at) })),
  )
  expect(again.transactions).toBe(1)
  expect(again.outcomes.filter((outcome) => outcome === 'kept')).toHaveLength(3)
  expect(again.outcomes).toContain('unsupported_version')
  expect(again.outcomes).toContain('undecryptable(decryption_failed)')
  expect(again.changes).toEqual([
    'account *1',
    'conversations *1',
    'conversations +2',
    'cursors *1',
    'messages +3',
    'recovery +1',
    'seen +1',
    'sessions *1',
    'sessions +3',
    'setAside +1',
  ])
})

test('numbers below the cursor are passed over, and missing ones above it are a gap', async () => {
  const bob = await aReceiver()
  const one = forge(await aLine(bob, 'one-time'))
  await bob.deliver(one.message)
  const before = await bob.rows()
  const at = bob.nextSequence() - 1n
  const again = await bob.deliver({ message: one.message, sequence: at })
  expect(again).toMatchObject({ changes: [], transactions: 0 })
  expect(await bob.rows()).toEqual(before)
  expect(bob.countOf('gap')).toBe(0)
  const two = forge(one.next, said('behind a gap'))
  const far = await bob.deliver({ message: two.message, sequence: at + 4n })
  expect(far.outcomes).toEqual(['kept'])
  expect(bob.countOf('gap')).toBe(3)
})
