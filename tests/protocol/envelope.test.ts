/** Envelopes and their metadata: wire form, shape, and what the header signature covers. */

import { createHash } from 'node:crypto'
import { create, toBinary } from '@bufbuild/protobuf'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { PadlockMessageSealedMetadataSchema } from '../../src/gen/padlock/v1/message_pb.ts'
import { encodeHex } from '../../src/protocol/bytes.ts'
import {
  buildMetadataPart,
  checkMetadata,
  headerSignature,
  parseInboxMessage,
  parseSealedMetadata,
} from '../../src/protocol/envelope.ts'
import {
  digestEnvelope,
  parseCanonicalAddress,
  parseInstallationId,
} from '../../src/protocol/ids.ts'
import { outcomeOf } from '../../src/protocol/outcomes.ts'
import { headerSigningBytes } from '../../src/protocol/signing-bytes.ts'
import { padMessage, padMetadata } from '../support/padding.ts'
import { Fields, readVectors, testVectors, type Vector } from '../vectors/vectors.ts'
import { ed25519Sign, ed25519Verify } from './ed25519.ts'
import { addresses, bytesOf, check, damaged, installationIds, passed } from './support.ts'
import { runDecode, runEncode } from './wire.ts'

testVectors('metadata', {
  encode: runEncode,
  decode: runDecode,
  check_metadata: (vector) => {
    const metadata = checkMetadata(vector.input.bytes('data'), {
      address: passed(parseCanonicalAddress(vector.input.text('address'))),
      installationId: passed(parseInstallationId(vector.input.text('installation_id'))),
    })
    if (metadata.ok) expect(vector.code).toBeUndefined()
    else expect(outcomeOf(metadata.code).kind).toBe(vector.code)
  },
  header_signature: (vector) => {
    const metadata = passed(parseSealedMetadata(vector.input.bytes('data')))
    const signature = headerSignature(
      vector.input.bytes('enc'),
      metadata,
      vector.input.bytes('ed25519'),
    )
    expect(ed25519Verify(signature)).toBe(vector.code === undefined)
  },
})

const readHeaderFields = (metadata: Fields) => ({
  senderAddress: passed(parseCanonicalAddress(metadata.text('sender_user_address'))),
  senderInstallationId: passed(parseInstallationId(metadata.text('sender_installation_id'))),
  recipientAddress: passed(parseCanonicalAddress(metadata.text('recipient_user_address'))),
  recipientInstallationId: passed(parseInstallationId(metadata.text('recipient_installation_id'))),
  isPrekeyMessage: metadata.flag('is_prekey_message'),
  sessionId: metadata.bytes('session_id'),
})

/** Everything around the two HPKE calls, which are wasm's. */
function runSeal(vector: Vector): void {
  const output = new Fields(vector.output ?? null)
  const fields = readHeaderFields(vector.input.object('metadata'))
  const toSign = headerSigningBytes(output.bytes('enc'), fields)
  expect(encodeHex(toSign)).toBe(output.text('header_to_sign'))
  const signature = ed25519Sign(vector.input.bytes('sender_ed25519_seed'), toSign)
  expect(encodeHex(signature)).toBe(output.text('header_signature'))

  const metadata = output.bytes('metadata')
  expect(passed(parseSealedMetadata(metadata))).toEqual({ ...fields, headerSignature: signature })
  // Fields 1 to 4 stand first; wasm appends the rest.
  expect(output.text('metadata').startsWith(encodeHex(buildMetadataPart(fields)))).toBe(true)
  expect(encodeHex(passed(padMetadata(metadata)))).toBe(output.text('padded_metadata'))
  expect(encodeHex(padMessage(vector.input.bytes('olm_message')))).toBe(output.text('padded_olm'))

  const envelope = output.bytes('inbox_message')
  const parts = passed(parseInboxMessage(envelope))
  expect(encodeHex(parts.headerBytes)).toBe(output.text('header_bytes'))
  expect(encodeHex(parts.sealedMetadata)).toBe(output.text('sealed_metadata'))
  expect(encodeHex(parts.ciphertext)).toBe(output.text('ciphertext'))
  expect(encodeHex(digestEnvelope(parts.headerBytes))).toBe(output.text('header_hash'))
  expect(encodeHex(digestEnvelope(envelope))).toBe(output.text('digest'))
}

// What is refused for the envelope's own shape, before any key is tried.
const shapeFaults = [/^sealed_metadata is not/, /^no version 1/, /^protobuf/]

function runOpen(vector: Vector): void {
  const parts = parseInboxMessage(vector.input.bytes('inbox_message'))
  const isShapeFault = shapeFaults.some((fault) => fault.test(String(vector.fields.json.why ?? '')))
  expect(parts.ok).toBe(!isShapeFault)
  if (!parts.ok) {
    expect(outcomeOf(parts.code).kind).toBe(vector.code)
  } else if (vector.code === undefined) {
    const hash = createHash('sha256').update(parts.value.headerBytes).digest('hex')
    expect(hash).toBe(new Fields(vector.output ?? null).text('header_hash'))
  }
}

testVectors('sealing', { seal: runSeal, open: runOpen })

test('section 8: the vectors of opening have faults of both kinds: of the envelope, and of what is sealed', () => {
  const refused = readVectors('sealing').filter((vector) => vector.code !== undefined)
  const shape = refused.filter(
    (vector) => !parseInboxMessage(vector.input.bytes('inbox_message')).ok,
  )
  expect(shape.length).toBe(15)
  expect(refused.length).toBe(60)
})

test('section 8: metadata is read back as it was written, whatever field order wasm leaves', () => {
  const fields = fc.record({
    senderAddress: addresses,
    senderInstallationId: installationIds,
    recipientAddress: addresses,
    recipientInstallationId: installationIds,
    isPrekeyMessage: fc.boolean(),
    sessionId: bytesOf(32),
    headerSignature: bytesOf(64),
  })
  check(fields, (metadata) => {
    const appended = toBinary(
      PadlockMessageSealedMetadataSchema,
      create(PadlockMessageSealedMetadataSchema, {
        isPrekeyMessage: metadata.isPrekeyMessage,
        sessionId: metadata.sessionId,
        headerSignature: { signature: metadata.headerSignature },
      }),
    )
    const part = buildMetadataPart(metadata)
    for (const bytes of [
      Uint8Array.of(...part, ...appended),
      Uint8Array.of(...appended, ...part),
    ]) {
      expect(parseSealedMetadata(bytes)).toEqual({ ok: true, value: metadata })
    }
    const recipient = {
      address: metadata.recipientAddress,
      installationId: metadata.recipientInstallationId,
    }
    const whole = Uint8Array.of(...part, ...appended)
    expect(checkMetadata(whole, recipient).ok).toBe(true)
    expect(
      checkMetadata(whole, { ...recipient, installationId: metadata.senderInstallationId }),
    ).toMatchObject({ ok: false, code: 'not_for_us' })
    expect(checkMetadata(whole, { ...recipient, address: metadata.senderAddress })).toMatchObject({
      ok: false,
      code: 'not_for_us',
    })
  })
})

test('section 8: each malformed field of the metadata is malformed, and not taken for somebody else’s', () => {
  const address = `0x${'a'.repeat(40)}`
  const id = 'A'.repeat(43)
  const good = {
    senderUserAddress: address,
    senderInstallationId: id,
    recipientUserAddress: address,
    recipientInstallationId: id,
    sessionId: new Uint8Array(32),
    headerSignature: { signature: new Uint8Array(64) },
  }
  const parse = (changed: Partial<typeof good>) =>
    parseSealedMetadata(
      toBinary(
        PadlockMessageSealedMetadataSchema,
        create(PadlockMessageSealedMetadataSchema, { ...good, ...changed }),
      ),
    )
  expect(parse({}).ok).toBe(true)
  for (const fault of [
    { senderUserAddress: address.toUpperCase() },
    { senderInstallationId: `${id}A` },
    { recipientUserAddress: `0x${'A'.repeat(40)}` },
    { recipientInstallationId: id.slice(1) },
    { sessionId: new Uint8Array(31) },
    { headerSignature: { signature: new Uint8Array(65) } },
  ]) {
    expect(parse(fault)).toMatchObject({ ok: false, code: 'malformed' })
  }
})

test('section 8: no envelope makes a parser throw', () => {
  const [seal] = readVectors('sealing')
  if (seal === undefined) throw new Error('no vector')
  const output = new Fields(seal.output ?? null)
  check(damaged(output.bytes('inbox_message')), (bytes) => {
    const parts = parseInboxMessage(bytes)
    if (!parts.ok) expect(parts.code).toBe('malformed')
  })
  check(damaged(output.bytes('metadata')), (bytes) => {
    const metadata = parseSealedMetadata(bytes)
    if (!metadata.ok) expect(metadata.code).toBe('malformed')
  })
})
