/** What installations sign, and inbox proofs. Strict verification is tested where the verifier is. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { encodeHex, encodeSigningBytes, type SigningPart } from '../../src/protocol/bytes.ts'
import {
  deriveInstallationId,
  parseCanonicalAddress,
  parseInstallationId,
} from '../../src/protocol/ids.ts'
import {
  buildInboxProof,
  checkInboxProof,
  parseInboxProof,
} from '../../src/protocol/inbox-proof.ts'
import { proofLifetimeLimitNs } from '../../src/protocol/limits.ts'
import {
  headerSigningBytes,
  headerSigningFields,
  inboxSigningBytes,
  type PrekeyKindName,
  prekeySigningBytes,
  sealingKeySigningBytes,
} from '../../src/protocol/signing-bytes.ts'
import { Fields, testVectors, type Vector } from '../vectors/vectors.ts'
import { ed25519PublicKey, ed25519Sign, ed25519Verify } from './ed25519.ts'
import { bytesOf, check, damaged, identityKeys, passed, timesNs } from './support.ts'

const readId = (vector: Vector, name = 'id') => passed(parseInstallationId(vector.input.text(name)))
const readAddress = (vector: Vector, name = 'address') =>
  passed(parseCanonicalAddress(vector.input.text(name)))

function expectSigned(vector: Vector, bytes: Uint8Array): void {
  const output = new Fields(vector.output ?? null)
  const seed = vector.input.bytes('ed25519_seed')
  expect(encodeHex(bytes)).toBe(output.text('bytes_to_sign'))
  expect(encodeHex(ed25519PublicKey(seed))).toBe(output.text('public_key'))
  expect(encodeHex(ed25519Sign(seed, bytes))).toBe(output.text('signature'))
}

const prekeyKinds: Readonly<Record<string, PrekeyKindName>> = { 1: 'one-time', 2: 'fallback' }

testVectors('signing', {
  sealing_key: (vector) =>
    expectSigned(
      vector,
      sealingKeySigningBytes({
        address: readAddress(vector),
        installationId: readId(vector),
        createdNs: vector.input.integer('created_ns'),
        key: vector.input.bytes('x25519'),
      }),
    ),
  prekey: (vector) => {
    const kind = prekeyKinds[vector.input.text('kind')]
    if (kind === undefined) throw new Error('no such kind')
    expectSigned(
      vector,
      prekeySigningBytes({
        kind,
        installationId: readId(vector),
        createdNs: vector.input.integer('created_ns'),
        key: vector.input.bytes('curve25519'),
      }),
    )
  },
  inbox: (vector) =>
    expectSigned(
      vector,
      inboxSigningBytes({
        nodeId: vector.input.bytes('node_id'),
        installationId: readId(vector),
        expiresNs: vector.input.integer('expires_ns'),
      }),
    ),
  header: (vector) => {
    const fields = {
      senderAddress: readAddress(vector, 'sender_user_address'),
      senderInstallationId: readId(vector, 'sender_installation_id'),
      recipientAddress: readAddress(vector, 'recipient_user_address'),
      recipientInstallationId: readId(vector, 'recipient_installation_id'),
      isPrekeyMessage: vector.input.flag('is_prekey_message'),
      sessionId: vector.input.bytes('session_id'),
    }
    const bytes = headerSigningBytes(vector.input.bytes('enc'), fields)
    expectSigned(vector, bytes)
    expect(encodeHex(bytes)).toContain(encodeHex(headerSigningFields(fields)))
  },
  inbox_proof: (vector) => {
    const proof = parseInboxProof(vector.input.bytes('proof'))
    const checked = proof.ok
      ? checkInboxProof({
          proof: proof.value,
          nodeId: vector.input.bytes('node_id'),
          installationId: readId(vector),
          nowNs: vector.input.integer('clock_ns'),
        })
      : proof
    if (!checked.ok) expect(checked.code).toBe(vector.code)
    else expect(ed25519Verify(checked.value)).toBe(vector.code === undefined)
  },
  verify_strict: 'elsewhere',
})

test('section 1: different fields are never the same bytes', () => {
  const parts: fc.Arbitrary<SigningPart[]> = fc.array(
    fc.oneof(fc.uint8Array({ maxLength: 3 }), fc.string({ maxLength: 3 })),
    { maxLength: 4 },
  )
  const written = (fields: SigningPart[]): string =>
    fields.map((field) => `${encodeHex(encodeSigningBytes([field]))}`).join('|')
  check(fc.tuple(parts, parts), ([a, b]) => {
    const isSame = encodeHex(encodeSigningBytes(a)) === encodeHex(encodeSigningBytes(b))
    expect(isSame).toBe(written(a) === written(b))
  })
})

test('section 1: an integer that does not fit 64 bits is refused, not wrapped', () => {
  expect(encodeHex(encodeSigningBytes([2n ** 64n - 1n]))).toBe('f'.repeat(16))
  expect(() => encodeSigningBytes([2n ** 64n])).toThrow(RangeError)
  expect(() => encodeSigningBytes([-1n])).toThrow(RangeError)
})

test('section 5: keys of one’s own prove nothing about another’s inbox', () => {
  const seed = new Uint8Array(32).fill(66)
  const keys = { curve25519: new Uint8Array(32).fill(1), ed25519: ed25519PublicKey(seed) }
  const own = passed(deriveInstallationId(keys))
  const victim = passed(parseInstallationId('A'.repeat(43)))
  const nodeId = new Uint8Array(16).fill(5)
  const prove = (installationId: typeof own) => {
    const message = inboxSigningBytes({ nodeId, installationId, expiresNs: 10n })
    const proof = { keys, expiresNs: 10n, signature: ed25519Sign(seed, message) }
    return checkInboxProof({ proof, nodeId, installationId, nowNs: 1n })
  }
  const toOwn = prove(own)
  expect(toOwn.ok && ed25519Verify(toOwn.value)).toBe(true)
  // The signature over the victim's id is genuine: only the keys' own id tells.
  expect(prove(victim)).toMatchObject({ ok: false, code: 'bad_proof' })
})

test('section 11: an inbox proof lives from now to at most ten minutes from now, inclusive', () => {
  check(fc.tuple(identityKeys, bytesOf(64), bytesOf(16)), ([keys, signature, nodeId]) => {
    const nowNs = 1_790_000_000_000_000_000n
    const installationId = passed(deriveInstallationId(keys))
    const lives = (expiresNs: bigint): boolean =>
      checkInboxProof({ proof: { keys, expiresNs, signature }, nodeId, installationId, nowNs }).ok
    expect(lives(nowNs)).toBe(false)
    expect(lives(nowNs + 1n)).toBe(true)
    expect(lives(nowNs + proofLifetimeLimitNs)).toBe(true)
    expect(lives(nowNs + proofLifetimeLimitNs + 1n)).toBe(false)
  })
})

test('section 5: a proof is read back as it was built, and damage never throws', () => {
  check(fc.tuple(identityKeys, bytesOf(64), timesNs), ([keys, signature, expiresNs]) => {
    const proof = { keys, expiresNs, signature }
    expect(parseInboxProof(buildInboxProof(proof))).toEqual({ ok: true, value: proof })
  })
  const keys = { curve25519: new Uint8Array(32).fill(1), ed25519: new Uint8Array(32).fill(2) }
  const good = buildInboxProof({ keys, expiresNs: 5n, signature: new Uint8Array(64).fill(3) })
  check(damaged(good), (bytes) => {
    const proof = parseInboxProof(bytes)
    if (!proof.ok) expect(proof.code).toBe('bad_proof')
  })
})
