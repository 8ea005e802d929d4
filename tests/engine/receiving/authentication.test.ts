/**
 * Step 3 of receiving (docs/protocol.md section 8): who sent it, and did they sign it. Whoever is not
 * known is parked; whoever is known and did not sign, or is revoked, is counted.
 */

import type { PrivateKeyAccount } from 'viem/accounts'
import { describe, expect, test } from 'vitest'
import { concatBytes } from '../../../src/protocol/bytes.ts'
import { deriveInstallationId } from '../../../src/protocol/ids.ts'
import { buildRevocation, revocationText } from '../../../src/protocol/revocation.ts'
import { contactTopic, revokedTopic } from '../../../src/protocol/topics.ts'
import { tables } from '../../../src/store/tables.ts'
import { must, passed } from '../../support/checked.ts'
import { anAccount, never, signWith } from '../../support/engine.ts'
import { crypto } from '../../support/envelope-forge/basics.ts'
import { edit, flip, set, without } from '../../support/envelope-forge/fields.ts'
import { type Changes, forge, type Line, type Sender } from '../../support/envelope-forge/forge.ts'
import { type Case, expectRefused, keptChanges, said } from '../../support/envelope-forge/judge.ts'
import {
  aReceiver,
  firstNodeNs,
  nodeStepNs,
  type Receiver,
} from '../../support/envelope-forge/receiver.ts'
import { makeSender } from '../../support/envelope-forge/sender.ts'

const notSigned = 'rejected(bad_header_signature)'
const revoked = 'rejected(sender_revoked)'

/** The order of the Ed25519 group, little endian (RFC 8032 section 5.1). */
const order = Uint8Array.from(
  Buffer.from('edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010', 'hex'),
)

/** The same signature with S + L for S, which only a lax verifier takes. */
const plusOrder = (signature: Uint8Array): Uint8Array => {
  const copy = signature.slice()
  let carry = 0
  for (const [at, value] of order.entries()) {
    const sum = (copy[32 + at] ?? 0) + value + carry
    copy[32 + at] = sum & 0xff
    carry = sum >> 8
  }
  return copy
}

const cases: readonly Case[] = [
  { what: 'a bit of R', changes: { signature: flip(0) }, outcome: notSigned },
  { what: 'a bit of S', changes: { signature: flip(32) }, outcome: notSigned },
  { what: 'the last bit', changes: { signature: flip(63) }, outcome: notSigned },
  { what: 'zeros', changes: { signature: () => new Uint8Array(64) }, outcome: notSigned },
  { what: 'S + L for S', changes: { signature: plusOrder }, outcome: notSigned },
  {
    what: 'the signature of another identity',
    changes: () => ({ signer: crypto.createIdentity().identity }),
    outcome: notSigned,
  },
  {
    what: 'the signature of another envelope, whose enc was another',
    changes: (line) => {
      let other = new Uint8Array()
      forge(line, {
        signature: (signature) => {
          other = signature.slice()
          return signature
        },
      })
      return { signature: () => other }
    },
    outcome: notSigned,
  },
  {
    what: 'another is_prekey_message after it was signed',
    changes: ({ isPrekeyMessage }) => ({ signedMetadata: set(5, !isPrekeyMessage) }),
    outcome: notSigned,
  },
  {
    what: 'another session_id after it was signed',
    changes: { signedMetadata: edit(6, flip(31)) },
    outcome: notSigned,
  },
  {
    what: 'the name of another installation that is known, after it was signed',
    changes: async (_, bob) => {
      const mallory = await bob.sender()
      return {
        signedMetadata: (fields) => set(1, mallory.address)(set(2, mallory.id)(fields)),
      }
    },
    outcome: notSigned,
  },
  {
    what: 'the name of another installation that is known, signed by the sender',
    changes: async (_, bob) => {
      const mallory = await bob.sender()
      return { metadata: (fields) => set(1, mallory.address)(set(2, mallory.id)(fields)) }
    },
    outcome: notSigned,
  },
]

describe('the header signature', () => {
  for (const curves of [true, false]) {
    test.each(cases)(`$what: $outcome, curves by ${curves ? 'WebCrypto' : 'wasm'}`, async (one) => {
      await expectRefused(one, ['one-time', 'established'], { curves })
    })
  }
})

test('a signature over false is one over a field that is left out', async () => {
  const bob = await aReceiver()
  const line = await bob.established(await bob.sender())
  const { message } = forge(line, { metadata: without(5) })
  expect((await bob.deliver(message)).outcomes).toEqual(['kept'])
})

// Who is not known.

const claims = (address: string, id: string): Changes => ({
  metadata: (fields) => set(1, address)(set(2, id)(fields)),
})

const anId = (): string => {
  const { curve25519, ed25519 } = crypto.createIdentity()
  return passed(deriveInstallationId({ curve25519, ed25519 }))
}

test('an installation that its account does not name is parked, and then an unknown sender', async () => {
  for (const name of ['a known account', 'an account without installations', 'another account']) {
    const bob = await aReceiver()
    const alice = await bob.sender()
    const line = bob.begin(alice)
    const stranger = anAccount().address.toLowerCase()
    const claim =
      name === 'a known account'
        ? claims(alice.address, anId())
        : claims(stranger, name === 'another account' ? alice.id : anId())
    const parked = await bob.deliver(forge(line, claim).message)
    expect(parked, name).toMatchObject({ outcomes: ['parked'], transactions: 1 })
    expect(parked.changes, name).toEqual(['cursors *1', 'parked +1'])
    const after = await bob.workOff()
    expect(after.outcomes, name).toEqual(['rejected(unknown_sender)'])
    expect(after.changes, name).toEqual(['parked -1'])
    expect(bob.countOf('unknown_sender'), name).toBe(1)
    // The prekey that it named is as it was.
    expect((await bob.deliver(forge(line).message)).changes, name).toEqual(keptChanges('one-time'))
  }
})

test('a batch from accounts whose chains have not confirmed them asks for each once, together', async () => {
  const bob = await aReceiver()
  const people = await Promise.all([anAccount(), anAccount()].map(makeSender))
  for (const { sender, contract: message } of people) {
    const topic = contactTopic(sender.address)
    await bob.parts.directory.apply([{ topic, message, sequence: 1n, nodeNs: 1n }])
    bob.follow(sender.address)
  }
  const batch = [...people, ...people].map(({ sender }) => forge(bob.begin(sender)).message)
  const { outcomes } = await bob.deliver(...batch)
  expect(outcomes).toEqual(['parked', 'parked', 'parked', 'parked'])
  expect(bob.unverified).toEqual([people.map(({ sender }) => sender.address)])
})

test('granted senders that we never heard of are looked up when they write, in one query for a batch', async () => {
  const bob = await aReceiver({ followed: false })
  const senders: Sender[] = []
  for (let n = 0; n < 5; n += 1) senders.push(await bob.sender({ unknown: true }))
  const batch = senders.map((sender) => forge(bob.begin(sender)).message)
  const { outcomes, queries } = await bob.deliver(...batch)
  expect(outcomes).toEqual(['kept', 'kept', 'kept', 'kept', 'kept'])
  expect(queries).toBe(1)
  expect(bob.asked.at(-1)).toEqual(senders.map(({ address }) => address))
})

test('a sender among the topics of the subscription is not looked up', async () => {
  const bob = await aReceiver()
  const line = bob.begin(await bob.sender())
  expect((await bob.deliver(forge(line).message)).queries).toBe(0)
})

// Who is revoked.

const revoke = async (bob: Receiver, wallet: PrivateKeyAccount, sender: Sender) => {
  const unsigned = {
    installations: [sender.keys],
    address: sender.address,
    currentTime: '2026-11-21T08:13:00.000Z',
    signature: { kind: 'eip191' as const, signature: new Uint8Array(65) },
  }
  const signature = await signWith(wallet)(passed(revocationText(unsigned)), never)
  const message = buildRevocation({
    ...unsigned,
    signature: { kind: 'eip191' as const, signature },
  })
  await bob.publish(revokedTopic(sender.address), message)
  await bob.parts.directory.reread(sender.address)
  const rows = await bob.store.all(tables.installations)
  return must(rows.find(({ value }) => value.installationId === sender.id)).value.revokedNs
}

const aRevoked = async (): Promise<{ bob: Receiver; line: Line; revokedNs: bigint }> => {
  const bob = await aReceiver()
  const wallet = anAccount()
  const alice = await bob.sender({ wallet })
  const line = bob.begin(alice)
  return { bob, line, revokedNs: await revoke(bob, wallet, alice) }
}

test('envelopes that the node received before a revocation are kept while catching up, not those from then on', async () => {
  const { bob, line, revokedNs } = await aRevoked()
  const first = forge(line, said('in time'))
  const second = forge(first.next, said('too late'))
  for (const nodeNs of [revokedNs, revokedNs + 1n]) {
    const late = await bob.deliver({ message: second.message, nodeNs })
    expect(late).toMatchObject({ outcomes: [revoked], changes: ['cursors *1'], transactions: 1 })
  }
  const intime = await bob.deliver({ message: first.message, nodeNs: revokedNs - 1n })
  expect(intime.outcomes).toEqual(['kept'])
})

test('a live client takes nothing from a revoked installation, whatever time the node gives it', async () => {
  const { bob, line } = await aRevoked()
  bob.live()
  const { message } = forge(line)
  const late = await bob.deliver({ message, nodeNs: 1n })
  expect(late).toMatchObject({ outcomes: [revoked], changes: ['cursors *1'] })
  expect(bob.countOf('sender_revoked')).toBe(1)
})

test('a client that was live past a revocation takes nothing more from that installation, also after a restart', async () => {
  const { bob, line } = await aRevoked()
  await bob.parts.directory.rememberRevoked()
  await bob.reopen()
  const late = await bob.deliver({ message: forge(line).message, nodeNs: 1n })
  expect(late).toMatchObject({ outcomes: [revoked], changes: ['cursors *1'] })
})

test('parked envelopes of an installation that is revoked meanwhile are judged when they are worked off, each by its time', async () => {
  const bob = await aReceiver({ followed: false })
  const wallet = anAccount()
  const alice = await bob.sender({ wallet, unknown: true })
  bob.control.isDown = true
  const one = forge(bob.begin(alice), said('in time'))
  const two = forge(one.next, said('too late'))
  const three = forge(two.next, said('later still'))
  const future = 3_000_000_000_000_000_000n
  await bob.deliver({ message: one.message, nodeNs: 1n }, { message: two.message, nodeNs: future })
  bob.control.isDown = false
  await revoke(bob, wallet, alice)
  const behind = await bob.deliver({ message: three.message, nodeNs: future })
  expect(behind.outcomes).toEqual(['parked'])
  expect((await bob.workOff()).outcomes).toEqual(['kept', revoked, revoked])
  expect(await bob.store.all(tables.parked)).toEqual([])
})

test('a revoked installation that was never granted is revoked, not unknown', async () => {
  const bob = await aReceiver()
  const wallet = anAccount()
  await bob.sender({ wallet })
  const { sender: ghost } = await makeSender(wallet)
  await revoke(bob, wallet, ghost)
  const { message } = forge(bob.begin(ghost))
  const late = await bob.deliver(message)
  expect(late).toMatchObject({ outcomes: [revoked], changes: ['cursors *1'] })
})

test('a batch keeps honest senders among others, in order and in one transaction', async () => {
  const bob = await aReceiver()
  const [alice, mallory] = [await bob.sender(), await bob.sender()]
  const one = forge(bob.begin(alice), said('one'))
  const two = forge(one.next, said('two'))
  const three = forge(two.next, said('three'))
  const evil = bob.begin(mallory)
  const batch = [
    forge(evil, { signature: flip(0) }).message,
    one.message,
    new Uint8Array(7),
    forge(evil, { sealedMetadata: flip(40) }).message,
    two.message,
    forge(evil, claims(alice.address, anId())).message,
    forge(evil, { metadata: set(3, mallory.address) }).message,
    forge(evil, { olm: flip(3) }).message,
    three.message,
    concatBytes(one.message, new Uint8Array(1)),
  ]
  const { outcomes, transactions } = await bob.deliver(...batch)
  expect(outcomes).toEqual([
    'kept',
    'kept',
    'kept',
    'parked',
    'rejected(bad_header_signature)',
    'rejected(malformed)',
    'rejected(malformed)',
    'rejected(not_for_us)',
    'rejected(unsealing_failed)',
    'undecryptable(session_mismatch)',
  ])
  expect(transactions).toBe(1)
  const rows = await bob.store.scan(tables.messages, { after: 0, limit: 10 })
  const times = rows.rows.map(({ value }) => value.nodeNs)
  // The first envelope of all was the receiver's own beginning.
  expect(times).toEqual([3n, 6n, 10n].map((at) => firstNodeNs + at * nodeStepNs))
})

test('an installation that only its revocation names was nobody before it', async () => {
  const bob = await aReceiver()
  const wallet = anAccount()
  await bob.sender({ wallet })
  const { sender: ghost } = await makeSender(wallet)
  const revokedNs = await revoke(bob, wallet, ghost)
  const { message } = forge(bob.begin(ghost))
  const early = await bob.deliver({ message, nodeNs: revokedNs - 1n })
  expect(early).toMatchObject({ outcomes: ['parked'], changes: ['cursors *1', 'parked +1'] })
  expect((await bob.workOff()).outcomes).toEqual(['rejected(unknown_sender)'])
})

test('only installations that signed something are heard of, whatever it was, and once a batch', async () => {
  const bob = await aReceiver()
  const [alice, carol, mallory] = [await bob.sender(), await bob.sender(), await bob.sender()]
  const line = bob.begin(alice)
  const unknown = claims(alice.address, anId())
  await bob.deliver(
    forge(bob.begin(mallory), { signature: flip(0) }).message,
    forge(bob.begin(mallory), unknown).message,
    forge(line, { olm: flip(3) }).message,
    forge(line).message,
    forge(bob.begin(carol), { payload: set(1, 0n) }).message,
  )
  expect(bob.heard).toEqual([alice.id, carol.id])
})
