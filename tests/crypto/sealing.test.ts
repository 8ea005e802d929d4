/** Sealed sender through the adapter: both parts, both failures, results computed elsewhere. */

import { createPrivateKey, createPublicKey, diffieHellman } from 'node:crypto'
import { fromBinary } from '@bufbuild/protobuf'
import { expect, test } from 'vitest'
import type { EnvelopeToOpen } from '../../src/crypto/crypto.ts'
import { PadlockMessageSealedMetadataSchema } from '../../src/gen/padlock/v1/message_pb.ts'
import { readBytes, readVectors } from '../vectors/vectors.ts'
import {
  aConversation,
  aPeer,
  codeOf,
  crypto,
  installationId,
  must,
  only,
  partsOf,
  payloadOf,
  sessionTo,
} from './peer.ts'

const text = new TextEncoder()

/** Field 1 of the metadata, and the same in signing form. */
const metadata = Uint8Array.of(0x0a, 5, ...text.encode('alice'))
const signingFields = Uint8Array.of(0, 0, 0, 5, ...text.encode('alice'))

const aSealed = (count = 1) => {
  const [alice, bob, recipient] = [aPeer(), aPeer(), only(crypto.createKeyPairs(1))]
  const { state } = sessionTo(alice, bob)
  const request = {
    state,
    sealingKey: recipient.publicKey,
    recipientInstallationId: installationId,
    metadata,
    signingFields,
    payloads: Array.from({ length: count }, (_, index) => payloadOf(`message ${index}`)),
  }
  const sealed = must(only(crypto.seal(alice.identity, [request])))
  return { alice, recipient, request, ...sealed }
}

const openOne = (secrets: readonly Uint8Array[], parts: EnvelopeToOpen, id = installationId) =>
  only(crypto.open(secrets, id, [parts]))

const flipped = (bytes: Uint8Array, at: number) => {
  const copy = bytes.slice()
  copy[at] = (copy[at] ?? 0) ^ 1
  return copy
}

test.each([
  ['a prekey message', true],
  ['a normal message', false],
])('the metadata of %s says so, and its signature covers that', (_name, isPrekeyMessage) => {
  const { alice, aliceState, first, inbound } = aConversation()
  const recipient = only(crypto.createKeyPairs(1))
  const request = {
    state: isPrekeyMessage ? first.state : aliceState,
    sealingKey: recipient.publicKey,
    recipientInstallationId: installationId,
    metadata,
    signingFields,
    payloads: [payloadOf('x')],
  }
  const sealed = must(only(crypto.seal(alice.identity, [request])))
  const { message, digest } = only(sealed.envelopes)
  expect(only(crypto.digest([message]))).toEqual(digest)
  const parts = partsOf(message)
  const opened = must(openOne([recipient.secret], parts))
  const read = fromBinary(PadlockMessageSealedMetadataSchema, opened.metadata)
  expect(read.senderUserAddress).toBe('alice')
  expect(read.isPrekeyMessage).toBe(isPrekeyMessage)
  expect(read.sessionId).toEqual(inbound.sessionId)
  expect(opened.headerHash).toEqual(only(crypto.digest([parts.headerBytes])))
  expect(opened.enc).toEqual(parts.sealedMetadata.subarray(0, 32))

  const domain = text.encode('padlock/header/1')
  const signed = (flag: boolean) =>
    Uint8Array.of(
      ...[0, 0, 0, domain.length, ...domain],
      ...[0, 0, 0, 32, ...opened.enc],
      ...signingFields,
      flag ? 1 : 0,
      ...[0, 0, 0, 32, ...inbound.sessionId],
    )
  const signature = read.headerSignature?.signature ?? new Uint8Array()
  const verify = (message: Uint8Array) =>
    only(crypto.verify([{ ed25519: alice.ed25519, message, signature }]))
  expect(verify(signed(isPrekeyMessage))).toBe(true)
  expect(verify(signed(!isPrekeyMessage))).toBe(false)
})

test('section 8: every envelope has a key, a header and a length class of its own', () => {
  const { envelopes } = aSealed(3)
  const parts = envelopes.map(({ message }) => partsOf(message))
  const encs = parts.map(({ sealedMetadata }) => Buffer.from(sealedMetadata).toString('hex', 0, 32))
  expect(new Set(encs).size).toBe(3)
  expect(parts.map(({ sealedMetadata }) => sealedMetadata.length)).toEqual([368, 368, 368])
  expect(new Set(parts.map(({ ciphertext }) => ciphertext.length))).toEqual(new Set([512 + 16]))
})

test('section 8: a previous secret opens as well, a foreign one or another id does not', () => {
  const { recipient, envelopes } = aSealed()
  const parts = partsOf(only(envelopes).message)
  const foreign = only(crypto.createKeyPairs(1)).secret
  expect(openOne([foreign, recipient.secret], parts).ok).toBe(true)
  expect(codeOf(openOne([foreign], parts))).toBe('unsealing_failed')
  expect(codeOf(openOne([], parts))).toBe('unsealing_failed')
  expect(codeOf(openOne([recipient.secret], parts, 'j'.repeat(43)))).toBe('unsealing_failed')
})

test('section 8: a second part that does not belong to the first is undefined, not a failure', () => {
  const { recipient, envelopes } = aSealed(2)
  const [parts, other] = envelopes.map(({ message }) => partsOf(message))
  if (parts === undefined || other === undefined) throw new Error('two were sealed')
  const changes: Partial<EnvelopeToOpen>[] = [
    { ciphertext: other.ciphertext },
    { headerBytes: other.headerBytes },
    { ciphertext: flipped(parts.ciphertext, 100) },
    { ciphertext: new Uint8Array() },
    { ciphertext: new Uint8Array(1024 * 1024 + 1) },
  ]
  for (const change of changes) {
    expect(must(openOne([recipient.secret], { ...parts, ...change })).olmMessage).toBeUndefined()
  }
  expect(must(openOne([recipient.secret], parts)).olmMessage).toBeDefined()
})

test('section 8: a first part of another length, a key of small order and bad padding have codes', () => {
  const { recipient, envelopes } = aSealed()
  const parts = partsOf(only(envelopes).message)
  const { sealedMetadata } = parts
  const open = (sealedMetadata: Uint8Array) =>
    codeOf(openOne([recipient.secret], { ...parts, sealedMetadata }))
  expect(open(sealedMetadata.subarray(0, 367))).toBe('malformed')
  expect(open(new Uint8Array(369))).toBe('malformed')
  expect(open(new Uint8Array())).toBe('malformed')
  expect(open(Uint8Array.of(...new Uint8Array(32), ...sealedMetadata.subarray(32)))).toBe(
    'non_contributory_key',
  )
  expect(open(flipped(sealedMetadata, 200))).toBe('unsealing_failed')

  const unpadded = readVectors('sealing').find(({ name }) => name === 'open: metadata without 0x80')
  if (unpadded === undefined) throw new Error('the vector is gone')
  const { input } = unpadded
  const secrets = input.list('sealing_secrets').map(readBytes)
  const opened = openOne(
    secrets,
    partsOf(input.bytes('inbox_message')),
    input.text('installation_id'),
  )
  expect(codeOf(opened)).toBe('bad_padding')
})

test('section 8: an X25519 result computed elsewhere opens the same, a wrong one does not', () => {
  const { recipient, envelopes } = aSealed()
  const parts = partsOf(only(envelopes).message)
  const der = (prefix: string, key: Uint8Array) => Buffer.concat([Buffer.from(prefix, 'hex'), key])
  const shared = new Uint8Array(
    diffieHellman({
      privateKey: createPrivateKey({
        key: der('302e020100300506032b656e04220420', recipient.secret),
        format: 'der',
        type: 'pkcs8',
      }),
      publicKey: createPublicKey({
        key: der('302a300506032b656e032100', parts.sealedMetadata.subarray(0, 32)),
        format: 'der',
        type: 'spki',
      }),
    }),
  )
  const open = (shared: readonly Uint8Array[]) => openOne([recipient.secret], { ...parts, shared })
  expect(must(open([shared]))).toEqual(must(openOne([recipient.secret], parts)))
  expect(codeOf(open([flipped(shared, 0)]))).toBe('unsealing_failed')
  expect(codeOf(open([new Uint8Array(32)]))).toBe('non_contributory_key')
  expect(codeOf(open([new Uint8Array(31)]))).toBe('malformed')
  expect(codeOf(open([shared, shared]))).toBe('malformed')
})

test('section 8: a request that cannot be sealed fails alone', () => {
  const { alice, request } = aSealed()
  const results = crypto.seal(alice.identity, [
    { ...request, sealingKey: new Uint8Array(32) },
    { ...request, sealingKey: new Uint8Array(31) },
    { ...request, metadata: new Uint8Array(320) },
    { ...request, payloads: [new Uint8Array(1024 * 1024 + 1)] },
    { ...request, recipientInstallationId: 'x'.repeat(256) },
    request,
    { ...request, payloads: [] },
  ])
  expect(results.map((result) => (result.ok ? result.envelopes.length : result.code))).toEqual([
    'non_contributory_key',
    'malformed',
    'malformed',
    'malformed',
    'malformed',
    1,
    0,
  ])
})

test('section 8: many envelopes in a call open as they do one by one', () => {
  const { recipient, envelopes } = aSealed(10)
  const parts = envelopes.map(({ message }) => partsOf(message))
  parts.splice(3, 0, {
    headerBytes: text.encode('x'),
    sealedMetadata: text.encode('y'),
    ciphertext: text.encode('z'),
  })
  const opened = crypto.open([recipient.secret], installationId, parts)
  expect(opened).toEqual(parts.map((part) => openOne([recipient.secret], part)))
  expect(opened.map(({ ok }) => ok)).toEqual(parts.map((_, index) => index !== 3))
})

test('section 8: metadata that leaves no room for its 0x80 in 320 bytes is refused, one byte less is sealed', () => {
  const { alice, request } = aSealed()
  const sizes = Array.from({ length: 320 }, (_, length) => length)
  const results = crypto.seal(
    alice.identity,
    sizes.map((length) => ({ ...request, metadata: new Uint8Array(length) })),
  )
  const sealed = results.filter(({ ok }) => ok).length
  // The call appends a flag, the session id and the signature: 104 bytes, or 102 without the flag.
  expect([320 - 104, 320 - 102]).toContain(sealed)
  expect(results.slice(sealed).every((result) => codeOf(result) === 'malformed')).toBe(true)
})
