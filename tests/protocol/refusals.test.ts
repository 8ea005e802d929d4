/** What each parser answers to each fault: codes, not only that it refuses. */

import { create, toBinary } from '@bufbuild/protobuf'
import { expect, test } from 'vitest'
import {
  EdDsaSignatureSchema,
  InstallationKeysSchema,
} from '../../src/gen/padlock/v1/contact_pb.ts'
import {
  InboxMessageSchema,
  PadlockMessageEnvelopeSchema,
  PadlockMessageHeaderSchema,
} from '../../src/gen/padlock/v1/message_pb.ts'
import { InboxProofSchema } from '../../src/gen/padlock/v1/node_pb.ts'
import { parseInboxMessage } from '../../src/protocol/envelope.ts'
import { deriveInstallationId, parseConversationId } from '../../src/protocol/ids.ts'
import { parseInboxProof } from '../../src/protocol/inbox-proof.ts'

const inboxMessage = (headerBytes: Uint8Array): Uint8Array =>
  toBinary(
    InboxMessageSchema,
    create(InboxMessageSchema, {
      version: { case: 'v1', value: create(PadlockMessageEnvelopeSchema, { headerBytes }) },
    }),
  )

const header = (sealedMetadata: Uint8Array): Uint8Array =>
  toBinary(PadlockMessageHeaderSchema, create(PadlockMessageHeaderSchema, { sealedMetadata }))

test('an envelope whose header is no message, or has no 368 bytes of metadata, is malformed: section 4', () => {
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
