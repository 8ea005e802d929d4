/**
 * Steps 1 and 2 of receiving (docs/protocol.md section 8): what is not whole, not sealed to this
 * installation or not for it is counted, leaves nothing behind but the cursor, and is never answered.
 */

import { describe, test } from 'vitest'
import { concatBytes, encodeUtf8 } from '../../../src/protocol/bytes.ts'
import { formatAddress, parseAddress } from '../../../src/protocol/ids.ts'
import { must, passed } from '../../support/checked.ts'
import { crypto } from '../../support/envelope-forge/basics.ts'
import {
  also,
  edit,
  encodeFields,
  type FieldValue,
  flip,
  lengthen,
  set,
  without,
} from '../../support/envelope-forge/fields.ts'
import { type Case, expectRefused } from '../../support/envelope-forge/judge.ts'

const malformed = 'rejected(malformed)'
const unsealing = 'rejected(unsealing_failed)'
const notForUs = 'rejected(not_for_us)'

const bytes = (...values: number[]) => Uint8Array.of(...values)
const instead = (value: Uint8Array) => () => value

/** A message of the wrong size around a good one: an unknown field fills it up to `length`. */
const fillTo =
  (length: number) =>
  (message: Uint8Array): Uint8Array => {
    // Tag and length of the field take four bytes at this size.
    const filler = encodeFields([[9, new Uint8Array(length - message.length - 4)]])
    return concatBytes(message, filler)
  }

const around: readonly Case[] = [
  { what: 'no byte at all', changes: { message: instead(bytes()) }, outcome: malformed },
  { what: 'one byte', changes: { message: instead(bytes(0x0a)) }, outcome: malformed },
  {
    what: 'what is no protobuf',
    changes: { message: instead(new Uint8Array(600).fill(0xff)) },
    outcome: malformed,
  },
  { what: 'a message cut by a byte', changes: { message: lengthen(-1) }, outcome: malformed },
  { what: 'a message with a byte more', changes: { message: lengthen(1) }, outcome: malformed },
  { what: 'a message without a version', changes: { inbox: without(1) }, outcome: malformed },
  {
    what: 'a message of a later version',
    changes: { inbox: (fields) => fields.map(([, value]) => [2, value]) },
    outcome: malformed,
  },
  { what: 'a version 1 that is empty', changes: { inbox: set(1, bytes()) }, outcome: malformed },
  {
    what: 'a version 1 cut by a byte',
    changes: { inbox: edit(1, lengthen(-1)) },
    outcome: malformed,
  },
  {
    what: 'a message of a byte more than 1 MiB',
    changes: { message: fillTo(1024 * 1024 + 1) },
    outcome: 'rejected(too_large)',
  },
  {
    what: 'an envelope without header_bytes',
    changes: { envelope: without(1) },
    outcome: malformed,
  },
  {
    what: 'an envelope with empty header_bytes',
    changes: { envelope: set(1, bytes()) },
    outcome: malformed,
  },
  {
    what: 'header_bytes cut by a byte',
    changes: { headerBytes: lengthen(-1) },
    outcome: malformed,
  },
  {
    what: 'header_bytes with a byte more',
    changes: { headerBytes: lengthen(1) },
    outcome: malformed,
  },
  {
    what: 'header_bytes that are no protobuf',
    changes: { headerBytes: instead(bytes(0xff, 0xff)) },
    outcome: malformed,
  },
  {
    what: 'a header without sealed_metadata',
    changes: { header: without(2) },
    outcome: malformed,
  },
  {
    what: 'empty sealed_metadata',
    changes: { sealedMetadata: instead(bytes()) },
    outcome: malformed,
  },
  {
    what: 'sealed_metadata of 367 bytes',
    changes: { sealedMetadata: lengthen(-1) },
    outcome: malformed,
  },
  {
    what: 'sealed_metadata of 369 bytes',
    changes: { sealedMetadata: lengthen(1) },
    outcome: malformed,
  },
  {
    what: 'sealed_metadata that another one follows',
    changes: { header: also(2, new Uint8Array(368).fill(7)) },
    outcome: unsealing,
  },
]

/** Pads as `pad` would, but for the marker and what follows it. */
const padWith =
  (length: number, marker: number, last = 0) =>
  (metadata: Uint8Array): Uint8Array => {
    const padded = new Uint8Array(length)
    padded.set(metadata)
    padded[metadata.length] = marker
    if (last > 0) padded[length - 1] = last
    return padded
  }

const strangerKey = () => must(crypto.createKeyPairs(1)[0]).publicKey

const sealed: readonly Case[] = [
  { what: 'a bit of enc', changes: { sealedMetadata: flip(0) }, outcome: unsealing },
  {
    what: 'the bit of enc that X25519 ignores',
    changes: {
      sealedMetadata: (value) => {
        const copy = value.slice()
        copy[31] = (copy[31] ?? 0) ^ 0x80
        return copy
      },
    },
    outcome: unsealing,
  },
  {
    what: 'an enc of small order',
    changes: {
      sealedMetadata: (value) => concatBytes(new Uint8Array(32), value.subarray(32)),
    },
    outcome: unsealing,
  },
  { what: 'a bit of the sealed part', changes: { sealedMetadata: flip(32) }, outcome: unsealing },
  { what: 'a bit of its tag', changes: { sealedMetadata: flip(367) }, outcome: unsealing },
  {
    what: 'a seal to a key of somebody else',
    changes: () => ({ sealingKey: strangerKey() }),
    outcome: unsealing,
  },
  {
    what: 'a seal for another installation',
    changes: (line) => ({ info: encodeUtf8(`padlock/seal/1${line.from.id}`) }),
    outcome: unsealing,
  },
  {
    what: 'a seal under another domain',
    changes: ({ to }) => ({ info: encodeUtf8(`padlock/seal/2${to.id}`) }),
    outcome: unsealing,
  },
  { what: 'a first part with aad', changes: { firstAad: bytes(0) }, outcome: unsealing },
  {
    what: 'metadata without the 0x80',
    // A field behind the signature, whose own end is 0x80 and 0 once in 4,096 times.
    changes: { padMetadata: (metadata) => padWith(320, 0)(concatBytes(metadata, bytes(0x48, 1))) },
    outcome: unsealing,
  },
  {
    what: 'metadata with 0x81 instead',
    changes: { padMetadata: padWith(320, 0x81) },
    outcome: unsealing,
  },
  {
    what: 'metadata with something behind the 0x80',
    changes: { padMetadata: padWith(320, 0x80, 1) },
    outcome: unsealing,
  },
  {
    what: 'padding that is all zeros',
    changes: { padMetadata: instead(new Uint8Array(320)) },
    outcome: unsealing,
  },
  {
    what: 'metadata padded to 319 bytes',
    changes: { padMetadata: padWith(319, 0x80) },
    outcome: malformed,
  },
  {
    what: 'metadata padded to 336 bytes',
    changes: { padMetadata: padWith(336, 0x80) },
    outcome: malformed,
  },
]

const addressForms: readonly (readonly [string, (address: string) => FieldValue])[] = [
  ['an empty', () => ''],
  ['an upper-case', (address) => `0x${address.slice(2).toUpperCase()}`],
  ['an EIP-55', (address) => formatAddress(passed(parseAddress(address)))],
  ['an unprefixed', (address) => address.slice(2)],
  ['a 0X', (address) => `0X${address.slice(2)}`],
  ['a 39-digit', (address) => address.slice(0, -1)],
  ['a 41-digit', (address) => `${address}0`],
  ['a not hexadecimal', (address) => `${address.slice(0, -1)}g`],
  ['a newline-ended', (address) => `${address}\n`],
  ['a not UTF-8', (address) => concatBytes(encodeUtf8(address.slice(0, -1)), bytes(0xff))],
]

/** The one other way to write the last character: its spare bits are not zero. */
const spare = (id: string) =>
  id.slice(0, -1) + String.fromCharCode((id.at(-1) ?? 'A').charCodeAt(0) + 1)

const idForms: readonly (readonly [string, (id: string) => FieldValue])[] = [
  ['an empty', () => ''],
  ['a 42-character', (id) => id.slice(0, -1)],
  ['a 44-character', (id) => `${id}A`],
  ['a padded', (id) => `${id}=`],
  ['a standard base64', (id) => `+${id.slice(1)}`],
  ['a spare-bit', spare],
  ['a not UTF-8', (id) => concatBytes(bytes(0xff), encodeUtf8(id.slice(1)))],
]

const names = ['', 'sender address', 'sender id', 'recipient address', 'recipient id']

/** Fields 1 to 4, in forms that nobody may write; signed as they stand. */
const texts: readonly Case[] = [1, 2, 3, 4].flatMap((no) =>
  (no % 2 === 1 ? addressForms : idForms).map(
    ([form, change]): Case => ({
      what: `${form} ${names[no]}`,
      changes: ({ from, to }) => ({
        metadata: set(no, change(must([from.address, from.id, to.address, to.id][no - 1]))),
      }),
      outcome: malformed,
    }),
  ),
)

const metadata: readonly Case[] = [
  ...[1, 2, 3, 4, 6].map(
    (no): Case => ({
      what: `metadata without field ${no}`,
      changes: { metadata: without(no) },
      outcome: malformed,
    }),
  ),
  { what: 'metadata without field 7', changes: { signedMetadata: without(7) }, outcome: malformed },
  ...texts,
  ...[0, 31, 33].map(
    (length): Case => ({
      what: `a session_id of ${length} bytes`,
      changes: { metadata: set(6, new Uint8Array(length).fill(1)) },
      outcome: malformed,
    }),
  ),
  ...[0, 63, 65].map(
    (length): Case => ({
      what: `a header_signature of ${length} bytes`,
      changes: { signature: (signature) => concatBytes(signature, bytes(0)).slice(0, length) },
      outcome: malformed,
    }),
  ),
  {
    what: 'a header_signature without its field',
    changes: { signedMetadata: set(7, bytes()) },
    outcome: malformed,
  },
  { what: 'no metadata', changes: { metadataBytes: instead(bytes()) }, outcome: malformed },
  { what: 'metadata cut by a byte', changes: { metadataBytes: lengthen(-1) }, outcome: malformed },
  {
    what: 'metadata with a byte more',
    changes: { metadataBytes: lengthen(1) },
    outcome: malformed,
  },
  {
    what: 'metadata that is no protobuf',
    changes: { metadataBytes: instead(new Uint8Array(200).fill(0xff)) },
    outcome: malformed,
  },
  {
    what: 'another recipient address',
    changes: ({ from }) => ({ metadata: set(3, from.address) }),
    outcome: notForUs,
  },
  {
    what: 'another recipient id',
    changes: ({ from }) => ({ metadata: set(4, from.id) }),
    outcome: notForUs,
  },
  {
    what: 'a second recipient id, of which the last counts',
    changes: { metadata: also(4, 'x') },
    outcome: malformed,
  },
  {
    what: 'a recipient that was changed after it was signed',
    changes: ({ from }) => ({ signedMetadata: set(4, from.id) }),
    outcome: notForUs,
  },
]

const refused: readonly (readonly [string, readonly Case[], readonly boolean[]])[] = [
  ['around the envelope', around, [true]],
  ['in the seal', sealed, [true, false]],
  ['in the metadata', metadata, [true]],
]

for (const [where, cases, curves] of refused) {
  describe(`${where}, what is wrong leaves nothing but the cursor`, () => {
    for (const withCurves of curves) {
      const by = curves.length > 1 ? `, curves by ${withCurves ? 'WebCrypto' : 'wasm'}` : ''
      test.each(cases)(`$what is $outcome${by}`, async (one) => {
        await expectRefused(one, ['one-time', 'established'], { curves: withCurves })
      })
    }
  })
}
