/** Payloads: wire form, checks in their order, and round trips. */
import { create, toBinary } from '@bufbuild/protobuf'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  PadlockMessagePayloadSchema,
  TopicHeadSchema,
} from '../../src/gen/padlock/v1/message_pb.ts'
import { concatBytes } from '../../src/protocol/bytes.ts'
import {
  type Address,
  buildConversationId,
  deriveMessageId,
  parseCanonicalAddress,
  parseInstallationId,
} from '../../src/protocol/ids.ts'
import { outcomeOf } from '../../src/protocol/outcomes.ts'
import {
  buildPayload,
  checkHeaderHash,
  checkPayload,
  parsePayload,
} from '../../src/protocol/payload.ts'
import { contactTopic, messageTopic, revokedTopic } from '../../src/protocol/topics.ts'
import { Fields, testVectors, type Vector } from '../vectors/vectors.ts'
import { addresses, bytesOf, check, damaged, passed, timesNs } from './support.ts'
import { runDecode, runEncode } from './wire.ts'

function runCheckPayload(vector: Vector): void {
  const data = vector.input.bytes('data')
  const sender = passed(parseCanonicalAddress(vector.input.text('sender')))
  const recipient = passed(parseCanonicalAddress(vector.input.text('recipient')))
  const header = checkHeaderHash(data, vector.input.bytes('header_hash'))
  const payload = header.ok ? checkPayload(data, sender, recipient) : header
  if (payload.ok) {
    expect(vector.code).toBeUndefined()
    const installationId = vector.input.has('sender_installation_id')
      ? vector.input.text('sender_installation_id')
      : vector.fields.text('sender_installation_id')
    const id = deriveMessageId({
      convoId: payload.value.convoId,
      senderAddress: sender,
      senderInstallationId: passed(parseInstallationId(installationId)),
      composedNs: payload.value.composedNs,
      contentBytes: payload.value.contentBytes,
    })
    expect(id).toBe(new Fields(vector.output ?? null).text('message_id'))
  } else {
    // Where the vectors leave the outcome open (null), section 8 says `rejected`.
    const outcome = vector.code === null ? 'rejected' : vector.code
    expect(outcomeOf(payload.code).kind).toBe(outcome)
  }
}

testVectors('payload', { encode: runEncode, decode: runDecode, check_payload: runCheckPayload })
testVectors('own', {
  check_payload: runCheckPayload,
  topic: 'elsewhere',
  encode_text: 'elsewhere',
  decode_content: 'elsewhere',
})

const [alice, bob] = [`0x${'a'.repeat(40)}`, `0x${'b'.repeat(40)}`] as [Address, Address]
const convoId = buildConversationId(alice, bob)
const write = (fields: Parameters<typeof create<typeof PadlockMessagePayloadSchema>>[1]) =>
  toBinary(PadlockMessagePayloadSchema, create(PadlockMessagePayloadSchema, fields))

test('section 8: a payload is read back as it was built', () => {
  const optional = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined })
  const fields = fc.record({
    participants: fc.tuple(addresses, addresses),
    contentBytes: fc.uint8Array({ maxLength: 100 }),
    composedNs: timesNs,
    retransmits: optional(bytesOf(32)),
    sequence: timesNs,
    hash: bytesOf(32),
    nodeId: bytesOf(16),
  })
  check(
    fields,
    ({ participants, contentBytes, composedNs, retransmits, sequence, hash, nodeId }) => {
      const id = buildConversationId(...participants)
      const heads = [...new Set(participants)]
        .sort()
        .flatMap((address) => [contactTopic(address), revokedTopic(address)])
        .map((topic) => ({ topic, sequence, hash }))
      const bytes = buildPayload({
        convoId: id,
        contentBytes,
        composedNs,
        retransmits,
        heads,
        nodeId,
      })
      const payload = passed(parsePayload(bytes))
      expect(payload).toEqual({
        // Appended in wasm, which knows the header.
        headerHash: new Uint8Array(),
        convoId: id,
        participants: [...participants].sort(),
        contentBytes,
        composedNs,
        retransmits,
        heads,
        nodeId,
      })
      expect(checkPayload(bytes, participants[0], participants[1]).ok).toBe(true)
    },
  )
})

test('section 8: an unknown version is found before anything else that is wrong', () => {
  const wrong = write({
    convoId: 'dm:nobody',
    contentBytes: new Uint8Array(921_601),
    retransmits: Uint8Array.of(1),
  })
  // The last one of a field counts, so what stands behind mends what stands before.
  const code = (...behind: Uint8Array[]) => {
    const payload = parsePayload(concatBytes(wrong, ...behind))
    return payload.ok ? 'ok' : payload.code
  }
  const version = (number: number) => Uint8Array.of(0x08, number)
  expect(code(version(2))).toBe('unsupported_version')
  expect(code(version(0))).toBe('bad_payload')
  expect(code(version(1))).toBe('bad_payload')
  expect(code(version(1), write({ convoId: 'group:x' }))).toBe('unsupported_version')
  expect(code(version(1), write({ convoId }))).toBe('message_too_large')
  const content = write({ convoId, contentBytes: Uint8Array.of(1) })
  expect(code(version(1), content)).toBe('bad_payload')
  expect(code(version(1), content, write({ retransmits: new Uint8Array(32) }))).toBe('ok')
})

test('section 8: heads of other topics, of a wrong length or given twice change nothing', () => {
  const head = (topic: string, sequence: bigint, length = 32) =>
    create(TopicHeadSchema, { topic, sequence, hash: new Uint8Array(length) })
  const stranger = `0x${'c'.repeat(40)}` as Address
  const inbox = messageTopic(passed(parseInstallationId('A'.repeat(43))))
  const bytes = write({
    messageVersion: 1,
    convoId,
    heads: [
      head(contactTopic(stranger), 1n),
      head(inbox, 2n),
      head('nonsense', 3n),
      head(revokedTopic(bob), 4n, 31),
      head(contactTopic(bob), 5n),
      head(contactTopic(bob), 6n),
    ],
    nodeId: new Uint8Array(15),
  })
  const payload = passed(parsePayload(bytes))
  expect(payload.heads.map((each) => [each.topic, each.sequence])).toEqual([
    [contactTopic(bob), 5n],
  ])
  expect(payload.nodeId).toBeUndefined()
})

test('section 8: only the two accounts of a conversation take part, in either direction', () => {
  const bytes = buildPayload({ convoId, contentBytes: new Uint8Array(), composedNs: 1n })
  const stranger = `0x${'c'.repeat(40)}` as Address
  for (const [sender, recipient, isFine] of [
    [alice, bob, true],
    [bob, alice, true],
    [alice, alice, true],
    [stranger, alice, false],
    [alice, stranger, false],
    [stranger, stranger, false],
  ] as const) {
    const payload = checkPayload(bytes, sender, recipient)
    if (isFine) expect(payload.ok).toBe(true)
    else expect(payload).toMatchObject({ ok: false, code: 'wrong_participants' })
  }
})

test('section 8: no plaintext makes the parser throw, and each refusal has an outcome of step 5', () => {
  const good = buildPayload({ convoId, contentBytes: Uint8Array.of(1, 2, 3), composedNs: 7n })
  check(damaged(good), (bytes) => {
    const payload = parsePayload(bytes)
    if (!payload.ok) {
      expect(['rejected', 'unsupported_version']).toContain(outcomeOf(payload.code).kind)
    }
    expect(typeof checkHeaderHash(bytes, new Uint8Array(32)).ok).toBe('boolean')
  })
})
