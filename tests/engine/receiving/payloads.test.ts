/**
 * Steps 5 and 6 of receiving (docs/protocol.md section 8): the ratchet is saved whatever the payload
 * says; a message that is new is stored with it, in one transaction.
 */

import { describe, expect, test } from 'vitest'
import { concatBytes, encodeUtf8 } from '../../../src/protocol/bytes.ts'
import { type Address, buildConversationId } from '../../../src/protocol/ids.ts'
import { tables } from '../../../src/store/tables.ts'
import { must } from '../../support/checked.ts'
import { anAccount } from '../../support/engine.ts'
import {
  ahead,
  also,
  type ChangeFields,
  type Field,
  inTurn,
  set,
  without,
} from '../../support/envelope-forge/fields.ts'
import { contentOf, forge, textContent } from '../../support/envelope-forge/forge.ts'
import {
  type Case,
  expectKept,
  expectRejectedAfterDecryption,
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

describe('fields that receivers skip change nothing', () => {
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

test('mail to keys of several ages and mail to nobody are told apart within one batch', async () => {
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
