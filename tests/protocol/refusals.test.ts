/** What each parser answers to each fault: the code, not only a refusal. */

import { create, toBinary } from '@bufbuild/protobuf'
import { expect, test } from 'vitest'
import {
  EdDsaSignatureSchema,
  Eip191SignatureSchema,
  InstallationKeysSchema,
  RevocationSchema,
  WalletAssociationSchema,
} from '../../src/gen/padlock/v1/contact_pb.ts'
import {
  InboxMessageSchema,
  PadlockMessageEnvelopeSchema,
  PadlockMessageHeaderSchema,
} from '../../src/gen/padlock/v1/message_pb.ts'
import { InboxProofSchema } from '../../src/gen/padlock/v1/node_pb.ts'
import { decodeHex } from '../../src/protocol/bytes.ts'
import { parseInboxMessage } from '../../src/protocol/envelope.ts'
import {
  deriveInstallationId,
  type IdentityKeys,
  parseCanonicalAddress,
  parseConversationId,
} from '../../src/protocol/ids.ts'
import { parseInboxProof } from '../../src/protocol/inbox-proof.ts'
import { parsePayload } from '../../src/protocol/payload.ts'
import { parseRevocation } from '../../src/protocol/revocation.ts'
import { buildRevocationText } from '../../src/protocol/signing-texts.ts'
import { verifyAssociation } from '../../src/protocol/wallet-association.ts'
import {
  hashPersonalMessage,
  normaliseSignature,
  recoverAddress,
} from '../../src/protocol/wallet-signature.ts'
import { passed } from './support.ts'

const inboxMessage = (headerBytes: Uint8Array): Uint8Array =>
  toBinary(
    InboxMessageSchema,
    create(InboxMessageSchema, {
      version: { case: 'v1', value: create(PadlockMessageEnvelopeSchema, { headerBytes }) },
    }),
  )

const header = (sealedMetadata: Uint8Array): Uint8Array =>
  toBinary(PadlockMessageHeaderSchema, create(PadlockMessageHeaderSchema, { sealedMetadata }))

test('an envelope whose header is not a message, or whose metadata is not 368 bytes, is malformed: section 4', () => {
  expect(parseInboxMessage(inboxMessage(header(new Uint8Array(368)))).ok).toBe(true)
  for (const bytes of [
    Uint8Array.of(0xff, 0xff),
    new Uint8Array(),
    header(new Uint8Array(367)),
    header(new Uint8Array(369)),
  ]) {
    expect(parseInboxMessage(inboxMessage(bytes))).toMatchObject({ ok: false, code: 'malformed' })
  }
  for (const bytes of [Uint8Array.of(0xff), new Uint8Array()]) {
    expect(parseInboxMessage(bytes)).toMatchObject({ ok: false, code: 'malformed' })
  }
})

test('identity keys of another length have no installation id: section 1', () => {
  const key = new Uint8Array(32)
  expect(deriveInstallationId({ curve25519: key, ed25519: key }).ok).toBe(true)
  for (const other of [new Uint8Array(31), new Uint8Array(33), new Uint8Array()]) {
    for (const keys of [
      { curve25519: other, ed25519: key },
      { curve25519: key, ed25519: other },
    ]) {
      expect(deriveInstallationId(keys)).toMatchObject({ ok: false, code: 'malformed' })
    }
  }
})

test('a dm that is not the text rebuilt from two canonical addresses is bad_payload: section 1', () => {
  const [a, b] = [`0x${'a'.repeat(40)}`, `0x${'b'.repeat(40)}`]
  expect(parseConversationId(`dm:${a}:${b}`).ok).toBe(true)
  for (const text of [
    // Capitals sort before small letters, so the order alone would not show it.
    `dm:0x${'A'.repeat(40)}:${b}`,
    `dm:${a}:0x${'B'.repeat(40)}`,
    `dm:${b}:${a}`,
    `dm:${a}:${b}:${b}`,
    `dm:${a}:${b}:`,
    `dm:${a}`,
    'dm:',
    'dm::',
  ]) {
    expect(parseConversationId(text)).toMatchObject({ ok: false, code: 'bad_payload' })
  }
  for (const text of ['', 'dm', `DM:${a}:${b}`, `group:${a}:${b}`]) {
    expect(parseConversationId(text)).toMatchObject({ ok: false, code: 'unsupported_version' })
  }
})

test('each fault of a proof’s shape is bad_proof: section 5', () => {
  const good = {
    keys: create(InstallationKeysSchema, {
      curve25519: new Uint8Array(32),
      ed25519: new Uint8Array(32),
    }),
    expiresNs: 1n,
    signature: create(EdDsaSignatureSchema, { signature: new Uint8Array(64) }),
  }
  const parse = (changed: object) =>
    parseInboxProof(toBinary(InboxProofSchema, create(InboxProofSchema, { ...good, ...changed })))
  expect(parse({}).ok).toBe(true)
  const short = new Uint8Array(31)
  for (const fault of [
    { keys: undefined },
    { keys: create(InstallationKeysSchema, { curve25519: short, ed25519: new Uint8Array(32) }) },
    { keys: create(InstallationKeysSchema, { curve25519: new Uint8Array(32), ed25519: short }) },
    { signature: undefined },
    { signature: create(EdDsaSignatureSchema, { signature: new Uint8Array(63) }) },
    { signature: create(EdDsaSignatureSchema, { signature: new Uint8Array(65) }) },
  ]) {
    expect(parse(fault)).toMatchObject({ ok: false, code: 'bad_proof' })
  }
  expect(parseInboxProof(Uint8Array.of(0xff))).toMatchObject({ ok: false, code: 'bad_proof' })
})

const someKeys = (first: number): IdentityKeys => ({
  curve25519: new Uint8Array(32).fill(first),
  ed25519: new Uint8Array(32),
})

const anAddress = passed(parseCanonicalAddress(`0x${'a'.repeat(40)}`))
const currentTime = '2026-11-20T08:13:00.000Z'

test('a revocation without an association, or with keys of another length, is malformed: section 4', () => {
  const association = create(WalletAssociationSchema, {
    address: anAddress,
    currentTime,
    signature: {
      case: 'eip191',
      value: create(Eip191SignatureSchema, { signature: new Uint8Array(65).fill(27) }),
    },
  })
  const keys = create(InstallationKeysSchema, someKeys(1))
  const parse = (changed: object) =>
    parseRevocation(
      toBinary(
        RevocationSchema,
        create(RevocationSchema, { installations: [keys], association, ...changed }),
      ),
    )
  expect(parse({}).ok).toBe(true)
  const short = create(InstallationKeysSchema, { ...someKeys(1), ed25519: new Uint8Array(31) })
  for (const fault of [
    { association: undefined },
    { installations: [] },
    { installations: [short] },
    { installations: [create(InstallationKeysSchema)] },
    { installations: [keys, keys] },
  ]) {
    expect(parse(fault)).toMatchObject({ ok: false, code: 'malformed' })
  }
})

test('a text that revokes nothing, or keys of another length, or out of order, is malformed: section 3', () => {
  const build = (installations: readonly IdentityKeys[]) =>
    buildRevocationText({ address: anAddress, currentTime, installations })
  const keys = [1, 2, 3].map(someKeys).sort((a, b) => {
    const [left, right] = [a, b].map((one) => passed(deriveInstallationId(one)))
    return (left ?? '') < (right ?? '') ? -1 : 1
  })
  expect(build(keys).ok).toBe(true)
  const [first] = keys
  if (!first) return
  for (const wrong of [
    [],
    [...keys].reverse(),
    [first, first],
    [{ ...first, curve25519: new Uint8Array(31) }],
  ]) {
    expect(build(wrong)).toMatchObject({ ok: false, code: 'malformed' })
  }
})

test('a payload of version 0, and one that does not parse, is bad_payload: section 8, step 5', () => {
  for (const bytes of [new Uint8Array(), Uint8Array.of(0xff)]) {
    expect(parsePayload(bytes)).toMatchObject({ ok: false, code: 'bad_payload' })
  }
})

test('a signature of another form is malformed, one of nobody bad_signature: sections 3 and 13', () => {
  const association = (signature: Uint8Array) =>
    ({ address: anAddress, currentTime, signature: { kind: 'eip191', signature } }) as const
  const good = new Uint8Array(65).fill(1)
  good[64] = 27
  for (const [signature, code] of [
    [good.slice(0, 64), 'malformed'],
    [Uint8Array.of(...good, 0), 'malformed'],
    [Uint8Array.of(...good.slice(0, 64), 0), 'malformed'],
    [Uint8Array.of(...new Uint8Array(64), 27), 'bad_signature'],
    [good, 'bad_signature'],
  ] as const) {
    expect(verifyAssociation(association(signature), 'text')).toMatchObject({ ok: false, code })
  }
})

test('the largest low s is taken, and the next one is high: section 1, ECDSA', () => {
  const half = 0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0n
  const hash = hashPersonalMessage('text')
  const signed = (s: bigint, r: number) => {
    const bytes = new Uint8Array(65)
    bytes[31] = r
    bytes.set(decodeHex(s.toString(16).padStart(64, '0')) ?? [], 32)
    bytes[64] = 27
    return recoverAddress(hash, bytes)
  }
  // An r that is the abscissa of a point.
  const r = Array.from({ length: 50 }, (_, nth) => nth + 1).find((one) => signed(1n, one).ok)
  if (r === undefined) throw new Error('no such r')
  expect(signed(half, r).ok).toBe(true)
  expect(signed(half + 1n, r)).toMatchObject({ ok: false, code: 'bad_signature' })
})

test('every form that wallets use becomes r, s and v of 27 or 28; whatever else stays as it is', () => {
  const withV = (v: number, length = 65) => {
    const bytes = new Uint8Array(length).fill(7)
    if (length > 64) bytes[64] = v
    return bytes
  }
  for (const v of [0, 27, 31, 35, 37, 255]) {
    expect([v, normaliseSignature(withV(v))]).toEqual([v, withV(27)])
  }
  for (const v of [1, 28, 32, 36, 38, 254]) {
    expect([v, normaliseSignature(withV(v))]).toEqual([v, withV(28)])
  }
  for (const v of [2, 26, 29, 30, 33, 34]) {
    expect([v, normaliseSignature(withV(v))]).toEqual([v, withV(v)])
  }
  // EIP-2098: the highest bit of s is the parity.
  expect(normaliseSignature(withV(0, 64))).toEqual(withV(27))
  const odd = withV(0, 64)
  odd[32] = 0x87
  expect(normaliseSignature(odd)).toEqual(withV(28))
  for (const length of [0, 63, 66]) {
    expect(normaliseSignature(withV(0, length))).toEqual(withV(0, length))
  }
  const given = withV(0)
  normaliseSignature(given)
  expect(given).toEqual(withV(0))
})

test('a high s becomes the low one with the other v; s out of range stays', () => {
  const order = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n
  const signature = (s: bigint, v: number) => {
    const bytes = new Uint8Array(65).fill(7)
    bytes.set(decodeHex(s.toString(16).padStart(64, '0')) ?? [], 32)
    bytes[64] = v
    return bytes
  }
  expect(normaliseSignature(signature(order - 5n, 27))).toEqual(signature(5n, 28))
  expect(normaliseSignature(signature(order - 5n, 1))).toEqual(signature(5n, 27))
  expect(normaliseSignature(signature(order >> 1n, 27))).toEqual(signature(order >> 1n, 27))
  for (const s of [order, order + 1n]) {
    expect(normaliseSignature(signature(s, 28))).toEqual(signature(s, 28))
  }
})
