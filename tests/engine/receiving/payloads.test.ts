/**
 * Steps 5 and 6 of receiving (docs/protocol.md section 8): the ratchet is saved whatever the payload
 * says; a message that is new is stored with it, in one transaction.
 */

import { describe, expect, test } from 'vitest'
import { concatBytes, encodeUtf8 } from '../../../src/protocol/bytes.ts'
import { type Address, buildConversationId, deriveMessageId } from '../../../src/protocol/ids.ts'
import { type MessageRecord, MessageState, tables } from '../../../src/store/tables.ts'
import { anAccount } from '../../support/engine.ts'
import { must } from '../../support/envelope-forge/basics.ts'
import {
  ahead,
  also,
  type ChangeFields,
  encodeFields,
  type Field,
  flip,
  inTurn,
  set,
  without,
} from '../../support/envelope-forge/fields.ts'
import { composedNs, forge, textContent } from '../../support/envelope-forge/forge.ts'
import {
  aLine,
  type Case,
  expectKept,
  expectRejectedAfterDecryption,
  keptChanges,
  ratchetChanges,
  said,
} from '../../support/envelope-forge/judge.ts'
import { aReceiver, firstNodeNs, nodeStepNs } from '../../support/envelope-forge/receiver.ts'

const badPayload = 'rejected(bad_payload)'
const wrong = 'rejected(wrong_participants)'
const later = 'unsupported_version'
const kinds = ['one-time', 'fallback', 'established'] as const

const bytes = (...values: number[]) => Uint8Array.of(...values)

const stranger = anAccount().address.toLowerCase() as Address
const other = anAccount().address.toLowerCase() as Address

/** Content bytes of just this length. */
const contentOf = (length: number): Uint8Array => {
  const head = textContent('').slice(0, -2)
  const room = length - head.length
  const text = room - 1 - (room > 16_384 + 4 ? 3 : room > 130 ? 2 : 1)
  const content = concatBytes(head, encodeFields([[4, new Uint8Array(text).fill(0x61)]]))
  if (content.length !== length) throw new Error(`${content.length} bytes`)
  return content
}

const limit = 900 * 1024

const refused: readonly Case[] = [
  {
    what: 'a plaintext that is no protobuf',
    changes: { payloadBytes: () => bytes(0x07, 1, 2, 3) },
    outcome: badPayload,
  },
  {
    what: 'a plaintext whose last field has no end',
    changes: { payloadBytes: (payload) => concatBytes(payload, bytes(0x4a, 0xff, 0x7f)) },
    outcome: badPayload,
  },
  { what: 'version 0', changes: { payload: set(1, 0n) }, outcome: badPayload },
  { what: 'no version', changes: { payload: without(1) }, outcome: badPayload },
  {
    what: 'two versions, of which the last counts',
    changes: { payload: also(1, 0n) },
    outcome: badPayload,
  },
  { what: 'version 2', changes: { payload: set(1, 2n) }, outcome: later },
  {
    what: 'the greatest version there can be',
    changes: { payload: set(1, 0x7fff_ffffn) },
    outcome: later,
  },
  {
    what: 'a negative version',
    changes: { payload: set(1, 0xffff_ffff_ffff_ffffn) },
    outcome: later,
  },
  {
    what: 'version 2 of something that is wrong in every other way',
    changes: {
      payload: inTurn(
        set(1, 2n),
        set(3, 'dm:nobody'),
        set(4, new Uint8Array(limit + 1)),
        also(6, bytes(1)),
      ),
    },
    outcome: later,
  },
  {
    what: 'version 2 of another shape',
    changes: { payload: inTurn(set(1, 2n), without(3), without(4), without(5)) },
    outcome: later,
  },
  { what: 'no convo_id', changes: { payload: without(3) }, outcome: later },
  { what: 'an empty convo_id', changes: { payload: set(3, '') }, outcome: later },
  { what: 'a group', changes: { payload: set(3, 'group:abc') }, outcome: later },
  { what: 'dm without a colon', changes: { payload: set(3, 'dm') }, outcome: later },
  { what: 'DM in capitals', changes: { payload: upper('DM') }, outcome: later },
  {
    what: 'a group whose content is too long',
    changes: { payload: inTurn(set(3, 'group:abc'), set(4, new Uint8Array(limit + 1))) },
    outcome: later,
  },
  { what: 'dm: alone', changes: { payload: set(3, 'dm:') }, outcome: badPayload },
  {
    what: 'one account',
    changes: ({ from }) => ({ payload: set(3, `dm:${from.address}`) }),
    outcome: badPayload,
  },
  {
    what: 'three accounts',
    changes: ({ from, to }) => ({
      payload: set(3, `${buildConversationId(from.address, to.address)}:${stranger}`),
    }),
    outcome: badPayload,
  },
  {
    what: 'the higher account first',
    changes: ({ from, to }) => ({
      payload: set(3, `dm:${[from.address, to.address].sort().reverse().join(':')}`),
    }),
    outcome: badPayload,
  },
  { what: 'capital digits', changes: { payload: upper('digits') }, outcome: badPayload },
  {
    what: 'capital digits in the first account alone',
    changes: ({ from, to }) => {
      const [first = '', second = ''] = [from.address, to.address].sort()
      return { payload: set(3, `dm:0x${first.slice(2).toUpperCase()}:${second}`) }
    },
    outcome: badPayload,
  },
  {
    what: 'capital digits in the second account alone',
    changes: ({ from, to }) => {
      const [first = '', second = ''] = [from.address, to.address].sort()
      return { payload: set(3, `dm:${first}:0x${second.slice(2).toUpperCase()}`) }
    },
    outcome: badPayload,
  },
  {
    what: 'a convo_id that a newline follows',
    changes: ({ from, to }) => ({
      payload: set(3, `${buildConversationId(from.address, to.address)}\n`),
    }),
    outcome: badPayload,
  },
  {
    what: 'a convo_id that is not UTF-8',
    changes: { payload: set(3, concatBytes(encodeUtf8('dm:'), bytes(0xff))) },
    outcome: badPayload,
  },
  {
    what: 'the sender and a third account',
    changes: ({ from }) => ({ payload: set(3, buildConversationId(from.address, stranger)) }),
    outcome: wrong,
  },
  {
    what: 'the recipient and a third account',
    changes: ({ to }) => ({ payload: set(3, buildConversationId(to.address, stranger)) }),
    outcome: wrong,
  },
  {
    what: 'two others',
    changes: { payload: set(3, buildConversationId(stranger, other)) },
    outcome: wrong,
  },
  {
    what: 'the note of the recipient to itself',
    changes: ({ to }) => ({ payload: set(3, buildConversationId(to.address, to.address)) }),
    outcome: wrong,
  },
  {
    what: 'the note of the sender to itself',
    changes: ({ from }) => ({ payload: set(3, buildConversationId(from.address, from.address)) }),
    outcome: wrong,
  },
  {
    what: 'content of a byte more than 900 KiB',
    changes: { payload: set(4, contentOf(limit + 1)) },
    outcome: 'rejected(message_too_large)',
  },
  ...[1, 31, 33].map(
    (length): Case => ({
      what: `retransmits of ${length} bytes`,
      changes: { payload: also(6, new Uint8Array(length).fill(1)) },
      outcome: badPayload,
    }),
  ),
  {
    what: 'the retransmission of something that nobody asked for',
    changes: { payload: also(6, new Uint8Array(32).fill(1)) },
    outcome: badPayload,
  },
]

function upper(what: 'DM' | 'digits'): ChangeFields {
  return (fields) =>
    fields.map(([no, value]): Field => {
      if (no !== 3 || typeof value !== 'string') return [no, value]
      const [type = '', ...rest] = value.split(':')
      return what === 'DM'
        ? [no, ['DM', ...rest].join(':')]
        : [no, [type, ...rest.map((address) => `0x${address.slice(2).toUpperCase()}`)].join(':')]
    })
}

describe('a payload that is decrypted and refused moves the ratchet', () => {
  test.each(refused)('$what is $outcome', async (one) => {
    await expectRejectedAfterDecryption(one, kinds)
  })
})

// What is kept, and as what.

const shape: readonly (readonly [string, Case['changes']])[] = [
  ['nothing changed', {}],
  ['a sent_ns that is not 0', { header: ahead(1, 1_800_000_000_000_000_000n) }],
  ['an unknown field of the message', { inbox: also(9, 'new') }],
  ['an unknown field of the envelope', { envelope: also(9, 'new') }],
  ['an unknown field of the header', { header: also(9, 'new') }],
  ['an unknown field of the metadata', { metadata: also(9, 'new') }],
  ['an unknown field of the payload', { payload: also(9, 'new') }],
  ['an earlier sealed_metadata', { header: ahead(2, new Uint8Array(367)) }],
  ['an earlier ciphertext', { envelope: ahead(2, new Uint8Array(7)) }],
  ['an earlier header_hash', { payload: ahead(2, new Uint8Array(32)) }],
  ['an earlier convo_id', { payload: ahead(3, 'group:abc') }],
  ['an earlier version', { payload: ahead(1, 2n) }],
  ['an earlier session_id', { metadata: ahead(6, new Uint8Array(3)) }],
  ['fields in any order', { payload: (fields) => fields.toReversed() }],
  ['metadata in any order', { metadata: (fields) => fields.toReversed() }],
]

describe('what receivers skip changes nothing', () => {
  test.each(shape)('%s: kept', async (_, changes) => {
    const { kept } = await expectKept({ what: '', changes, outcome: 'kept' }, kinds)
    for (const message of kept) expect(message.content).toEqual(textContent('hello'))
  })
})

test('mail to the two sealing keys before the current one is opened', async () => {
  for (const curves of [true, false]) {
    for (const age of [0, 1, 2]) {
      const changes: Case['changes'] = ({ to }) => ({ sealingKey: must(to.sealingKeys[age]) })
      await expectKept({ what: '', changes, outcome: 'kept' }, ['one-time'], { curves })
    }
  }
})

test('mail to keys of several ages and to nobody is told apart within one batch', async () => {
  for (const curves of [true, false]) {
    const bob = await aReceiver({ curves })
    const batch: Uint8Array[] = []
    for (const age of [2, undefined, 0, undefined, 1, 0, 2]) {
      const line = bob.begin(await bob.sender())
      const sealingKey =
        age === undefined ? line.from.prekey.publicKey : must(line.to.sealingKeys[age])
      batch.push(forge(line, { sealingKey, ...said(`${age}`) }).message)
    }
    const { outcomes, transactions } = await bob.deliver(...batch)
    expect(outcomes).toEqual([
      ...Array.from({ length: 5 }, () => 'kept'),
      'rejected(unsealing_failed)',
      'rejected(unsealing_failed)',
    ])
    expect(transactions).toBe(1)
    const { rows } = await bob.store.scan(tables.messages, { after: 0, limit: 10 })
    expect(rows.map(({ value }) => Number((value.nodeNs - firstNodeNs) / nodeStepNs) - 2)).toEqual([
      0, 2, 4, 5, 6,
    ])
  }
})

/** What an application is shown of a message. */
const shownOf = async (bob: Awaited<ReturnType<typeof aReceiver>>, record: MessageRecord) => {
  const { messages } = await bob.parts.conversations.next(
    '0',
    undefined,
    1,
    new AbortController().signal,
  )
  return must(messages.find(({ id }) => id === record.messageId))
}

const typeFields = (...fields: readonly Field[]) => encodeFields(fields)
const xmtpText: readonly Field[] = [
  [1, 'xmtp.org'],
  [2, 'text'],
  [3, 1n],
]
const content = (type: readonly Field[], ...more: readonly Field[]) =>
  encodeFields([[1, typeFields(...type)], [3, 'instead'], [4, 'hello'], ...more])

const contents: readonly (readonly [string, Uint8Array, object])[] = [
  ['a text', content(xmtpText), { type: 'text', content: 'hello' }],
  ['a text of a later minor version', content([...xmtpText, [4, 9n]]), { type: 'text' }],
  [
    'a text of a later major version',
    content(set(3, 2n)(xmtpText) as Field[]),
    { type: 'unknown', contentType: 'xmtp.org/text:2.0', fallback: 'instead' },
  ],
  [
    'another type',
    content(set(2, 'poll')(xmtpText) as Field[]),
    { type: 'unknown', contentType: 'xmtp.org/poll:1.0' },
  ],
  [
    'another authority',
    content(set(1, 'example.org')(xmtpText) as Field[]),
    { type: 'unknown', contentType: 'example.org/text:1.0' },
  ],
  [
    'no type',
    encodeFields([
      [3, 'instead'],
      [4, 'hello'],
    ]),
    { type: 'unknown', contentType: '', fallback: 'instead' },
  ],
  ['no content_bytes', new Uint8Array(), { type: 'unknown', contentType: '' }],
  ['content that is no protobuf', bytes(0xff, 0xff), { type: 'unknown', contentType: '' }],
  [
    'content that says to be compressed and is not',
    content(xmtpText, [5, 0n]),
    { type: 'unknown', fallback: 'instead' },
  ],
  [
    'a compression that nobody knows',
    content(xmtpText, [5, 7n]),
    { type: 'unknown', fallback: 'instead' },
  ],
  [
    'a text that is not UTF-8',
    encodeFields([
      [1, typeFields(...xmtpText)],
      [3, 'instead'],
      [4, bytes(0xff)],
    ]),
    { type: 'unknown', fallback: 'instead' },
  ],
]

describe('whatever the content is, it is a message', () => {
  test.each(contents)('%s', async (_, value, shown) => {
    const { bob, kept } = await expectKept(
      { what: '', changes: { payload: set(4, value) }, outcome: 'kept' },
      ['one-time'],
    )
    const [message] = kept
    expect(must(message).content).toEqual(value)
    expect(await shownOf(bob, must(message))).toMatchObject(shown)
  })
})

test('content of 900 KiB and an envelope of 1 MiB are within the limits', async () => {
  const value = contentOf(limit)
  const { kept } = await expectKept(
    { what: '', changes: { payload: set(4, value) }, outcome: 'kept' },
    ['one-time'],
  )
  expect(kept[0]?.content).toEqual(value)
  const fill = (message: Uint8Array) =>
    concatBytes(message, encodeFields([[9, new Uint8Array(1024 * 1024 - message.length - 4)]]))
  await expectKept({ what: '', changes: { message: fill }, outcome: 'kept' }, ['established'])
})

test('composed_ns is any number, makes the id, and is shown unless it is far ahead', async () => {
  for (const composed of [0n, 1n, firstNodeNs, 0xffff_ffff_ffff_ffffn]) {
    const { bob, kept } = await expectKept(
      { what: '', changes: { payload: set(5, composed) }, outcome: 'kept' },
      ['one-time'],
    )
    const message = must(kept[0])
    expect(message.composedNs).toBe(composed)
    const id = deriveMessageId({
      convoId: message.conversationId as ReturnType<typeof buildConversationId>,
      senderAddress: message.sender as Address,
      senderInstallationId: message.senderInstallation as never,
      composedNs: composed,
      contentBytes: message.content,
    })
    expect(message.messageId).toBe(id)
    const ms = Number((composed > firstNodeNs ? message.nodeNs : composed) / 1_000_000n)
    expect((await shownOf(bob, message)).sentAtMs).toBe(ms)
  }
  const { kept } = await expectKept(
    { what: '', changes: { payload: without(5) }, outcome: 'kept' },
    ['one-time'],
  )
  expect(kept[0]?.composedNs).toBe(0n)
})

test('a message has the node time of its envelope, and what it is of', async () => {
  const bob = await aReceiver()
  const line = await aLine(bob, 'one-time')
  await bob.deliver({ message: forge(line).message, nodeNs: 77n })
  const { rows } = await bob.store.scan(tables.messages, { after: 0, limit: 1 })
  expect(rows[0]?.value).toMatchObject({
    conversationId: buildConversationId(line.from.address, bob.target.address),
    sender: line.from.address,
    senderInstallation: line.from.id,
    composedNs,
    nodeNs: 77n,
    content: textContent('hello'),
    state: MessageState.RECEIVED,
  })
})

// Step 6.

test('a message that is here already is a duplicate, in the same batch and later, and its ratchet is saved', async () => {
  const bob = await aReceiver()
  for (const kind of kinds) {
    const line = await aLine(bob, kind)
    const one = forge(line)
    // Another envelope with the same message.
    const two = forge(one.next)
    const three = forge(two.next)
    const batch = await bob.deliver(one.message, two.message)
    expect(batch.outcomes).toEqual(['duplicate', 'kept'])
    expect(batch.changes).toEqual(keptChanges(kind))
    const late = await bob.deliver(three.message)
    expect(late).toMatchObject({ outcomes: ['duplicate'], transactions: 1 })
    expect(late.changes).toEqual(ratchetChanges('established'))
    expect((await bob.deliver(forge(three.next, said('next')).message)).outcomes).toEqual(['kept'])
  }
  expect(bob.countOf('duplicate_message')).toBe(2 * kinds.length)
})

test('each thing that a message id commits to makes another message', async () => {
  const bob = await aReceiver()
  const first = await aLine(bob, 'one-time')
  const one = forge(first)
  expect((await bob.deliver(one.message)).outcomes).toEqual(['kept'])
  const two = forge(one.next, { payload: set(5, composedNs + 1n) })
  const three = forge(two.next, said('hello '))
  // Another installation.
  const four = forge(await aLine(bob, 'fallback'))
  expect((await bob.deliver(two.message, three.message, four.message)).outcomes).toEqual([
    'kept',
    'kept',
    'kept',
  ])
})

test('if the store fails nothing of a batch is saved, and all of it comes again', async () => {
  const bob = await aReceiver()
  const batch: Uint8Array[] = []
  for (const kind of kinds) batch.push(forge(await aLine(bob, kind)).message)
  batch.push(forge(await aLine(bob, 'established'), { ciphertext: flip(0) }).message)
  batch.push(forge(await aLine(bob, 'one-time'), { payload: set(1, 2n) }).message)
  const before = await bob.rows()
  bob.control.failWrites = 1
  await expect(bob.deliver(...batch)).rejects.toMatchObject({ code: 'storage_failed' })
  expect(await bob.rows()).toEqual(before)
  // Memory holds nothing of it either: the next subscription brings it all again.
  await bob.parts.inbox.begin()
  const first = bob.nextSequence() - BigInt(batch.length)
  const again = await bob.deliver(
    ...batch.map((message, at) => ({ message, sequence: first + BigInt(at) })),
  )
  expect(again.transactions).toBe(1)
  expect(again.outcomes.filter((outcome) => outcome === 'kept')).toHaveLength(3)
  expect(again.outcomes).toContain('unsupported_version')
  expect(again.outcomes).toContain('undecryptable(decryption_failed)')
  expect(again.changes).toEqual([
    'account *1',
    'conversations *1',
    'conversations +2',
    'cursors *1',
    'messages +3',
    'recovery +1',
    'seen +1',
    'sessions *1',
    'sessions +3',
    'setAside +1',
  ])
})

test('what is below the cursor is passed over, and what is missing above it is a gap', async () => {
  const bob = await aReceiver()
  const one = forge(await aLine(bob, 'one-time'))
  await bob.deliver(one.message)
  const before = await bob.rows()
  const at = bob.nextSequence() - 1n
  const again = await bob.deliver({ message: one.message, sequence: at })
  expect(again).toMatchObject({ changes: [], transactions: 0 })
  expect(await bob.rows()).toEqual(before)
  expect(bob.countOf('gap')).toBe(0)
  const two = forge(one.next, said('behind a gap'))
  const far = await bob.deliver({ message: two.message, sequence: at + 4n })
  expect(far.outcomes).toEqual(['kept'])
  expect(bob.countOf('gap')).toBe(3)
})
