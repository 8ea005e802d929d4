/** Addresses and ids: the vectors, and what holds for all of them. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { decodeBase64Url, encodeHex } from '../../src/protocol/bytes.ts'
import {
  type Address,
  buildConversationId,
  deriveInstallationId,
  deriveMessageId,
  digestEnvelope,
  formatAddress,
  messageIdFromDigest,
  messageIdInput,
  parseAddress,
  parseCanonicalAddress,
  parseConversationId,
  parseInstallationId,
} from '../../src/protocol/ids.ts'
import { outcomeOf } from '../../src/protocol/outcomes.ts'
import { expectResult, readBytes, testVectors } from '../vectors/vectors.ts'
import { addresses, check, passed } from './support.ts'

testVectors('ids', {
  installation_id: (vector) => {
    const keys = {
      curve25519: vector.input.bytes('curve25519'),
      ed25519: vector.input.bytes('ed25519'),
    }
    expectResult(vector, deriveInstallationId(keys))
  },
  parse_installation_id: (vector) => {
    const id = parseInstallationId(vector.input.text('text'))
    if (vector.code === undefined) {
      expect(decodeBase64Url(passed(id))).toEqual(readBytes(vector.output ?? null))
    } else {
      expect(id).toMatchObject({ ok: false, code: 'malformed' })
    }
  },
  address: (vector) => {
    const address = parseAddress(vector.input.text('text'))
    expectResult(vector, address)
    if (!address.ok) expect(address.code).toBe('invalid_address')
  },
  convo_id: (vector) => {
    const a = parseAddress(vector.input.text('a'))
    const b = parseAddress(vector.input.text('b'))
    const both = !a.ok ? a : b
    expectResult(
      vector,
      a.ok && b.ok ? { ok: true, value: buildConversationId(a.value, b.value) } : both,
    )
  },
  parse_convo_id: (vector) => {
    const conversation = parseConversationId(vector.input.text('text'))
    if (conversation.ok) {
      expect(vector.code).toBeUndefined()
      expect(conversation.value.participants).toEqual(vector.output)
    } else {
      // The codes here are outcomes of receiving.
      expect(outcomeOf(conversation.code).kind).toBe(vector.code)
    }
  },
  message_id: (vector) => {
    const conversation = passed(parseConversationId(vector.input.text('convo_id')))
    const fields = {
      convoId: conversation.id,
      senderAddress: passed(parseCanonicalAddress(vector.input.text('sender'))),
      senderInstallationId: passed(
        parseInstallationId(vector.input.text('sender_installation_id')),
      ),
      composedNs: vector.input.integer('composed_ns'),
      contentBytes: vector.input.bytes('content'),
    }
    expect(deriveMessageId(fields)).toBe(vector.output)
    expect(messageIdFromDigest(digestEnvelope(messageIdInput(fields)))).toBe(vector.output)
  },
  digest: (vector) => {
    expect(encodeHex(digestEnvelope(vector.input.bytes('message')))).toBe(vector.output)
  },
})

test('section 1: an address is read back from its EIP-55 form, from capitals and from its own form', () => {
  check(addresses, (address) => {
    const mixed = formatAddress(address)
    expect(passed(parseAddress(mixed))).toBe(address)
    expect(passed(parseAddress(`0x${address.slice(2).toUpperCase()}`))).toBe(address)
    expect(passed(parseCanonicalAddress(address))).toBe(address)
    expect(parseCanonicalAddress(mixed).ok).toBe(mixed === address)
  })
})

test('section 1: the four addresses of EIP-55 have their published checksums', () => {
  for (const address of [
    '0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed',
    '0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359',
    '0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB',
    '0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb',
  ]) {
    expect(formatAddress(passed(parseAddress(address)))).toBe(address)
    // One letter in the other case, all others right.
    const letter = address.search(/(?<=^0x.*)[a-fA-F]/)
    const digit = address.charAt(letter)
    const flipped = digit === digit.toLowerCase() ? digit.toUpperCase() : digit.toLowerCase()
    const wrong = address.slice(0, letter) + flipped + address.slice(letter + 1)
    expect(parseAddress(wrong)).toMatchObject({ ok: false, code: 'invalid_address' })
  }
})

test('section 1: what is not text, or has letters that only look like hex, is not an address', () => {
  // U+212A lowers to k, U+FF21 to a full-width a; neither is a digit.
  for (const wrong of [
    undefined,
    null,
    5,
    {},
    `0x${'\u212a'.repeat(40)}`,
    `0x${'\uff21'.repeat(40)}`,
  ]) {
    const result = Reflect.apply(parseAddress, undefined, [wrong])
    expect(result).toMatchObject({ ok: false, code: 'invalid_address' })
  }
})

test('section 1: a conversation has one id, whoever starts it, and it names both', () => {
  check(fc.tuple(addresses, addresses), ([a, b]) => {
    const id = buildConversationId(a, b)
    expect(buildConversationId(b, a)).toBe(id)
    const { participants } = passed(parseConversationId(id))
    expect([...participants].sort()).toEqual([a, b].sort())
    if (a !== b) {
      const [lower, higher] = participants
      expect(parseConversationId(`dm:${higher}:${lower}`).ok).toBe(false)
    }
  })
})

test('section 1: no text makes a parser throw, and what passes is in its one form', () => {
  check(fc.string({ unit: 'binary', maxLength: 100 }), (text) => {
    const parsed = [
      parseCanonicalAddress(text),
      parseInstallationId(text),
      parseConversationId(text),
      parseConversationId(`dm:${text}`),
    ]
    for (const result of parsed) expect(result.ok).toBe(false)
    expect(parseAddress(text).ok).toBe(false)
  })
})

test('section 1: exactly one of the four characters with the same leading bits ends an installation id', () => {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  const accepted = [...alphabet].filter((last) => parseInstallationId('A'.repeat(42) + last).ok)
  expect(accepted.join('')).toBe('AEIMQUYcgkosw048')
})

test('section 1: a message id changes with each thing that it commits to', () => {
  const [alice, bob] = ['0x'.padEnd(42, 'a'), '0x'.padEnd(42, 'b')] as [Address, Address]
  const fields = {
    convoId: buildConversationId(alice, bob),
    senderAddress: alice,
    senderInstallationId: passed(parseInstallationId('A'.repeat(43))),
    composedNs: 1n,
    contentBytes: Uint8Array.of(1, 2, 3),
  }
  const ids = [
    fields,
    { ...fields, convoId: buildConversationId(alice, alice) },
    { ...fields, senderAddress: bob },
    { ...fields, senderInstallationId: passed(parseInstallationId(`${'B'.repeat(42)}A`)) },
    { ...fields, composedNs: 2n },
    { ...fields, contentBytes: Uint8Array.of(1, 2) },
  ].map(deriveMessageId)
  expect(new Set(ids).size).toBe(ids.length)
})
