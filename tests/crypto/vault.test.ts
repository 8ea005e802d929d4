/** Records at rest, keyed hashes, derived keys, digests, keys and signatures. */

import { createHash, createHmac, hkdfSync } from 'node:crypto'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { runSeed } from '../support/random.ts'
import { aPeer, crypto, only } from './peer.ts'

const text = new TextEncoder()
const key = new Uint8Array(32).fill(9)
const record = { plaintext: text.encode('a record'), associatedData: text.encode('store, key, 1') }

test('any record opens under its key and associated data', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 32, maxLength: 32 }),
      fc.uint8Array({ maxLength: 300 }),
      fc.uint8Array({ maxLength: 60 }),
      (key, plaintext, associatedData) => {
        const sealed = only(crypto.vaultSeal(key, [{ plaintext, associatedData }]))
        expect(sealed).toHaveLength(24 + plaintext.length + 16)
        expect(crypto.vaultOpen(key, [{ sealed, associatedData }])).toEqual([plaintext])
      },
    ),
    { seed: runSeed() },
  )
})

test('no byte of a record can be changed, cut or added', () => {
  const sealed = only(crypto.vaultSeal(key, [record]))
  const { associatedData } = record
  const altered = Array.from(sealed, (_, at) => {
    const copy = sealed.slice()
    copy[at] = (copy[at] ?? 0) ^ 0x80
    return copy
  })
  const cut = Array.from(sealed, (_, length) => sealed.subarray(0, length))
  const records = [...altered, ...cut, Uint8Array.of(...sealed, 0)]
  const opened = crypto.vaultOpen(
    key,
    records.map((sealed) => ({ sealed, associatedData })),
  )
  expect(opened).toEqual(records.map(() => undefined))
  const other = key.slice()
  other[31] = 0
  expect(crypto.vaultOpen(other, [{ sealed, associatedData }])).toEqual([undefined])
})

test('a record does not open in the place of another', () => {
  const sealed = only(crypto.vaultSeal(key, [record]))
  const moved = { sealed, associatedData: text.encode('store, key, 2') }
  const inPlace = { sealed, associatedData: record.associatedData }
  expect(crypto.vaultOpen(key, [moved, inPlace])).toEqual([undefined, record.plaintext])
})

test('the same record is sealed differently every time', () => {
  const sealed = crypto.vaultSeal(
    key,
    Array.from({ length: 50 }, () => record),
  )
  const nonces = sealed.map((bytes) => Buffer.from(bytes).toString('hex', 0, 24))
  expect(new Set(nonces).size).toBe(50)
})

test('digests, keyed hashes and derived keys are those of the platform', () => {
  const messages = [0, 1, 55, 64, 1_000].map((length) => new Uint8Array(length).fill(length))
  expect(crypto.digest(messages)).toEqual(
    messages.map((message) => new Uint8Array(createHash('sha256').update(message).digest())),
  )
  expect(crypto.keyedHash(key, messages)).toEqual(
    messages.map((message) => new Uint8Array(createHmac('sha256', key).update(message).digest())),
  )
  for (const info of ['', 'padlock/names/1', 'ü'.repeat(40)]) {
    expect(crypto.deriveKey(key, info)).toEqual(
      new Uint8Array(hkdfSync('sha256', key, new Uint8Array(), info, 32)),
    )
  }
})

test('keys of another length than 32 bytes are a defect of the caller', () => {
  const short = key.subarray(1)
  const refused = expect.objectContaining({ code: 'internal', details: { crypto: 'malformed' } })
  expect(() => crypto.vaultSeal(short, [])).toThrow(refused)
  expect(() => crypto.vaultOpen(short, [])).toThrow(refused)
  expect(() => crypto.keyedHash(short, [])).toThrow(refused)
  expect(() => crypto.deriveKey(short, '')).toThrow(refused)
  expect(() => crypto.createKeyPairs(1_001)).toThrow(refused)
})

test('key pairs differ, and their halves belong together', () => {
  const pairs = crypto.createKeyPairs(100)
  expect(new Set(pairs.map(({ secret }) => secret.toString())).size).toBe(100)
  expect(crypto.createKeyPairs(0)).toEqual([])
})

test('signatures verify for their message and key only, in the order asked', () => {
  const [alice, bob] = [aPeer(), aPeer()]
  const messages = ['one', 'two', ''].map((message) => text.encode(message))
  const signatures = crypto.sign(alice.identity, messages)
  const asked = messages.map((message, index) => ({
    ed25519: alice.ed25519,
    message,
    signature: signatures[index] ?? new Uint8Array(),
  }))
  const [first] = asked
  if (first === undefined) throw new Error('three were signed')
  expect(crypto.verify(asked)).toEqual([true, true, true])
  expect(
    crypto.verify([
      { ...first, ed25519: bob.ed25519 },
      { ...first, message: text.encode('two') },
      first,
      { ...first, signature: first.signature.subarray(1) },
      { ...first, ed25519: first.ed25519.subarray(1) },
      { ...first, ed25519: new Uint8Array(32) },
    ]),
  ).toEqual([false, false, true, false, false, false])
})
