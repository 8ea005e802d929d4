/**
 * Step 4 of receiving (docs/protocol.md section 8): what does not decrypt saves no session, uses up no
 * prekey, and is asked for again, but for a prekey message that nobody genuine can have made.
 */

import { describe, expect, test } from 'vitest'
import { concatBytes } from '../../../src/protocol/bytes.ts'
import { must } from '../../support/checked.ts'
import { crypto } from '../../support/envelope-forge/basics.ts'
import {
  also,
  type ChangeFields,
  edit,
  flip,
  lengthen,
  set,
  without,
} from '../../support/envelope-forge/fields.ts'
import { type Changes, forge, type Line, peekOlm } from '../../support/envelope-forge/forge.ts'
import { aLine, type Case, expectRefused } from '../../support/envelope-forge/judge.ts'
import {
  changeInner,
  changeMessage,
  changePrekeyMessage,
  messageFields,
  prekeyFields,
} from '../../support/envelope-forge/olm.ts'
import { aReceiver } from '../../support/envelope-forge/receiver.ts'

const undecryptable = (code: string) => `undecryptable(${code})`
const failed = undecryptable('decryption_failed')
const unknown = undecryptable('session_unknown')
const mismatch = undecryptable('session_mismatch')
const badMac = 'rejected(bad_mac)'

const bytes = (...values: number[]) => Uint8Array.of(...values)
const instead = (value: Uint8Array) => () => value
const zeros = new Uint8Array(32)
const key = () => must(crypto.createKeyPairs(1)[0]).publicKey

/** Pads to a length, as `pad` would if it chose that one. */
const padTo =
  (length: (olm: Uint8Array) => number, marker = 0x80, last = 0) =>
  (olm: Uint8Array): Uint8Array => {
    const padded = new Uint8Array(length(olm))
    padded.set(olm)
    padded[olm.length] = marker
    if (last > 0) padded[padded.length - 1] = last
    return padded
  }

const part: readonly Case[] = [
  { what: 'no second part', changes: { envelope: without(2) }, outcome: failed },
  { what: 'an empty second part', changes: { ciphertext: instead(bytes()) }, outcome: failed },
  { what: 'a second part of 15 bytes', changes: { ciphertext: lengthen(-513) }, outcome: failed },
  { what: 'a second part of a byte less', changes: { ciphertext: lengthen(-1) }, outcome: failed },
  { what: 'a second part of a byte more', changes: { ciphertext: lengthen(1) }, outcome: failed },
  { what: 'its first bit', changes: { ciphertext: flip(0) }, outcome: failed },
  { what: 'a bit of its tag', changes: { ciphertext: flip(-1) }, outcome: failed },
  {
    what: 'two second parts, of which the last counts',
    changes: { envelope: also(2, new Uint8Array(528)) },
    outcome: failed,
  },
  { what: 'a second part without aad', changes: { secondAad: bytes() }, outcome: failed },
  {
    what: 'a header that was changed after the second part was sealed',
    changes: { envelope: edit(1, (header) => concatBytes(header, bytes(0x48, 1))) },
    outcome: failed,
  },
  { what: 'padding without the 0x80', changes: { padOlm: padTo(() => 512, 0) }, outcome: failed },
  { what: 'padding with 0x81', changes: { padOlm: padTo(() => 512, 0x81) }, outcome: failed },
  {
    what: 'padding with something behind the 0x80',
    changes: { padOlm: padTo(() => 512, 0x80, 1) },
    outcome: failed,
  },
  {
    what: 'padding that is all zeros',
    changes: { padOlm: instead(new Uint8Array(512)) },
    outcome: failed,
  },
  { what: 'padding to 511 bytes', changes: { padOlm: padTo(() => 511) }, outcome: failed },
  { what: 'padding to 513 bytes', changes: { padOlm: padTo(() => 513) }, outcome: failed },
  {
    what: 'padding a step longer than it must be',
    changes: { padOlm: padTo(() => 544) },
    outcome: failed,
  },
  {
    what: 'padding to no more than the next byte',
    changes: { padOlm: padTo((olm) => olm.length + 1) },
    outcome: failed,
  },
  { what: 'an empty Olm message', changes: { olm: instead(bytes()) }, outcome: failed },
  { what: 'an Olm message cut by a byte', changes: { olm: lengthen(-1) }, outcome: failed },
]

const hash: readonly Case[] = [
  { what: 'no header_hash', changes: { payload: without(2) }, outcome: 'header_mismatch' },
  {
    what: 'an empty header_hash',
    changes: { headerHash: instead(bytes()) },
    outcome: 'header_mismatch',
  },
  { what: 'a bit of header_hash', changes: { headerHash: flip(31) }, outcome: 'header_mismatch' },
  {
    what: 'a header_hash of 31 bytes',
    changes: { headerHash: lengthen(-1) },
    outcome: 'header_mismatch',
  },
  {
    what: 'a header_hash of 33 bytes',
    changes: { headerHash: lengthen(1) },
    outcome: 'header_mismatch',
  },
  {
    what: 'a second header_hash, of which the last counts',
    changes: { payload: also(2, zeros) },
    outcome: 'header_mismatch',
  },
  {
    what: 'a wrong header_hash in a payload of a later version',
    changes: { headerHash: flip(0), payload: set(1, 2n) },
    outcome: 'header_mismatch',
  },
].map((one) => ({ ...one, outcome: undecryptable(one.outcome) }))

describe('the second part and the header that it belongs to', () => {
  for (const curves of [true, false]) {
    const by = curves ? 'WebCrypto' : 'wasm'
    test.each(part)(`$what: $outcome, curves by ${by}`, async (one) => {
      await expectRefused(one, ['one-time', 'fallback', 'established'], { curves })
    })
  }
  test.each(hash)('$what: $outcome', async (one) => {
    await expectRefused(one, ['one-time', 'fallback', 'established'])
  })
})

/** Changes a prekey message and claims the session id that it has then. */
const claimed =
  (change: (olm: Uint8Array) => Uint8Array) =>
  (line: Line): Changes => {
    const [parts] = crypto.inspectPrekeyMessages([change(peekOlm(line))])
    if (!parts?.ok) throw new Error('cannot be claimed')
    return { olm: change, metadata: set(6, parts.sessionId) }
  }

const inPrekey = (change: ChangeFields) => changePrekeyMessage(change)
const inInner = (change: ChangeFields) => changeInner(changeMessage(change))

const prekeyMessages: readonly Case[] = [
  { what: 'an Olm version of 2', changes: { olm: set8(2) }, outcome: failed },
  { what: 'an Olm version of 4', changes: { olm: set8(4) }, outcome: failed },
  ...Object.entries(prekeyFields).flatMap(([name, no]): Case[] => [
    { what: `no ${name}`, changes: { olm: inPrekey(without(no)) }, outcome: failed },
  ]),
  ...(['oneTimeKey', 'baseKey', 'identityKey'] as const).flatMap((name): Case[] => {
    const no = prekeyFields[name]
    return [
      {
        what: `a ${name} of 31 bytes`,
        changes: { olm: inPrekey(edit(no, lengthen(-1))) },
        outcome: failed,
      },
      {
        what: `a ${name} of 33 bytes`,
        changes: { olm: inPrekey(edit(no, lengthen(1))) },
        outcome: failed,
      },
      {
        what: `a bit of ${name}`,
        changes: { olm: inPrekey(edit(no, flip(5))) },
        outcome: mismatch,
      },
    ]
  }),
  {
    what: 'a oneTimeKey that never was here, claimed',
    changes: claimed(inPrekey(edit(prekeyFields.oneTimeKey, flip(5)))),
    outcome: undecryptable('prekey_gone'),
  },
  {
    what: 'another baseKey, claimed',
    changes: claimed(inPrekey(edit(prekeyFields.baseKey, flip(5)))),
    outcome: badMac,
  },
  {
    what: 'a baseKey of small order, claimed',
    changes: claimed(inPrekey(set(prekeyFields.baseKey, zeros))),
    outcome: failed,
  },
  {
    what: 'an identityKey of somebody else, claimed',
    changes: claimed(inPrekey(set(prekeyFields.identityKey, key()))),
    outcome: mismatch,
  },
  { what: 'another session_id', changes: { metadata: edit(6, flip(0)) }, outcome: mismatch },
  {
    what: 'the claim to be a normal message',
    changes: { metadata: set(5, false) },
    outcome: unknown,
  },
  { what: 'no claim to be a prekey message', changes: { metadata: without(5) }, outcome: unknown },
  {
    what: 'a normal message that claims to be a prekey message',
    changes: { olm: (olm) => must(innerOf(olm)) },
    outcome: failed,
  },
  { what: 'a bit of the MAC', changes: { olm: changeInner(flip(-1)) }, outcome: badMac },
  { what: 'a MAC of seven bytes', changes: { olm: changeInner(lengthen(-1)) }, outcome: failed },
  { what: 'an inner version of 4', changes: { olm: changeInner(set8(4)) }, outcome: failed },
  {
    what: 'a bit of the inner ciphertext',
    changes: { olm: inInner(edit(messageFields.ciphertext, flip(3))) },
    outcome: badMac,
  },
  {
    what: 'no inner ciphertext',
    changes: { olm: inInner(without(messageFields.ciphertext)) },
    outcome: badMac,
  },
  {
    what: 'another ratchet key',
    changes: { olm: inInner(edit(messageFields.ratchetKey, flip(3))) },
    outcome: badMac,
  },
  {
    what: 'no ratchet key',
    changes: { olm: inInner(without(messageFields.ratchetKey)) },
    outcome: failed,
  },
  {
    what: 'another counter',
    changes: { olm: inInner(set(messageFields.counter, 1n)) },
    outcome: badMac,
  },
  {
    what: 'a counter that is too far ahead',
    changes: { olm: inInner(set(messageFields.counter, 2_001n)) },
    outcome: failed,
  },
]

function set8(version: number) {
  return (olm: Uint8Array): Uint8Array => concatBytes(bytes(version), olm.subarray(1))
}

function innerOf(olm: Uint8Array): Uint8Array | undefined {
  let inner: Uint8Array | undefined
  changeInner((value) => {
    inner = value.slice()
    return value
  })(olm)
  return inner
}

describe('a prekey message of a new session', () => {
  test.each(prekeyMessages)('$what: $outcome', async (one) => {
    await expectRefused(one, ['one-time', 'fallback'])
  })
})

const inMessage = (change: ChangeFields) => changeMessage(change)

const messages: readonly Case[] = [
  { what: 'an Olm version of 2', changes: { olm: set8(2) }, outcome: failed },
  { what: 'an Olm version of 4', changes: { olm: set8(4) }, outcome: failed },
  { what: 'a bit of the MAC', changes: { olm: flip(-1) }, outcome: failed },
  ...(['ratchetKey', 'ciphertext'] as const).map(
    (name): Case => ({
      what: `no ${name}`,
      changes: { olm: inMessage(without(messageFields[name])) },
      outcome: failed,
    }),
  ),
  ...(['ratchetKey', 'ciphertext'] as const).map(
    (name): Case => ({
      what: `a bit of ${name}`,
      changes: { olm: inMessage(edit(messageFields[name], flip(3))) },
      outcome: failed,
    }),
  ),
  ...[-1, 1].map(
    (by): Case => ({
      what: `a ratchetKey of ${32 + by} bytes`,
      changes: { olm: inMessage(edit(messageFields.ratchetKey, lengthen(by))) },
      outcome: failed,
    }),
  ),
  {
    what: 'a ratchetKey of small order',
    changes: { olm: inMessage(set(messageFields.ratchetKey, zeros)) },
    outcome: failed,
  },
  ...[2n, 2_001n, 2_003n].map(
    (counter): Case => ({
      what: `a counter of ${counter}`,
      changes: { olm: inMessage(set(messageFields.counter, counter)) },
      outcome: failed,
    }),
  ),
  {
    what: 'a counter whose key is used up',
    changes: { olm: inMessage(set(messageFields.counter, 0n)) },
    outcome: undecryptable('message_key_gone'),
  },
  { what: 'another session_id', changes: { metadata: edit(6, flip(0)) }, outcome: unknown },
  {
    what: 'the claim to be a prekey message',
    changes: { metadata: set(5, true) },
    outcome: mismatch,
  },
  {
    what: 'the claim to be a prekey message of an unknown session',
    changes: { metadata: (fields) => edit(6, flip(0))(set(5, true)(fields)) },
    outcome: failed,
  },
]

describe('a message of a session that is known', () => {
  test.each(messages)('$what: $outcome', async (one) => {
    await expectRefused(one, ['established'])
  })
})

// wasm passes what is no protobuf to it, as this is: it has the field under a wire type of varints.
test('a header_hash that only one of two protobuf readers can read is compared all the same', async () => {
  const bob = await aReceiver()
  for (const isRight of [true, false]) {
    const line = await aLine(bob, 'one-time')
    let hash = new Uint8Array()
    const forged = forge(line, {
      headerHash: (value) => {
        hash = isRight ? value.slice() : flip(0)(value).slice()
        return value
      },
      payload: (fields) => [...without(2)(fields), [0, concatBytes(bytes(0x10, 32), hash)]],
    })
    const { outcomes } = await bob.deliver(forged.message)
    expect(outcomes).toEqual([isRight ? 'kept' : undecryptable('header_mismatch')])
  }
})
