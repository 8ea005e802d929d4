/** What is kept of a message, and what an application is shown of it (docs/protocol.md sections 4, 8 and 11). */

import { describe, expect, test } from 'vitest'
import { concatBytes } from '../../../src/protocol/bytes.ts'
import { type Address, buildConversationId, deriveMessageId } from '../../../src/protocol/ids.ts'
import { type MessageRecord, MessageState, tables } from '../../../src/store/tables.ts'
import { must } from '../../support/checked.ts'
import { encodeFields, type Field, set, without } from '../../support/envelope-forge/fields.ts'
import { composedNs, contentOf, forge, textContent } from '../../support/envelope-forge/forge.ts'
import { aLine, expectKept } from '../../support/envelope-forge/judge.ts'
import { aReceiver, firstNodeNs } from '../../support/envelope-forge/receiver.ts'

const bytes = (...values: number[]) => Uint8Array.of(...values)

const limit = 900 * 1024

/** What an application is shown of a message. */
const shownOf = async (bob: Awaited<ReturnType<typeof aReceiver>>, record: MessageRecord) => {
  const { messages } = await bob.parts.stream.next('0', {}, 1, new AbortController().signal)
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
  [
    'content that is no protobuf',
    bytes(0xff, 0xff),
    { type: 'unknown', contentType: '', reason: 'malformed' },
  ],
  [
    'content that says to be compressed and is not',
    content(xmtpText, [5, 0n]),
    { type: 'unknown', fallback: 'instead', reason: 'malformed' },
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
    { type: 'unknown', fallback: 'instead', reason: 'malformed' },
  ],
]

describe('any content is a message', () => {
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
