/** Pages of messages are bounded in bytes: what a peer may write must never be too much to read. */

import { deflateSync } from 'node:zlib'
import { create, toBinary } from '@bufbuild/protobuf'
import { expect, test } from 'vitest'
import { encodeContent } from '../../../src/content/registry.ts'
import type { Message } from '../../../src/engine/model.ts'
import {
  ContentTypeIdSchema,
  EncodedContentSchema,
} from '../../../src/gen/padlock/v1/content_pb.ts'
import { buildConversationId } from '../../../src/protocol/ids.ts'
import { pageContentLimitBytes } from '../../../src/protocol/limits.ts'
import { add, MessageState, tables } from '../../../src/store/tables.ts'
import { anAccount, never } from '../../support/engine.ts'
import { aPartWorld, messageParts } from '../../support/engine-context.ts'

const mib = 1024 * 1024

const compressedText = (bytes: number): Uint8Array =>
  toBinary(
    EncodedContentSchema,
    create(EncodedContentSchema, {
      type: create(ContentTypeIdSchema, {
        authorityId: 'xmtp.org',
        typeId: 'text',
        versionMajor: 1,
        versionMinor: 0,
      }),
      content: deflateSync(new Uint8Array(bytes).fill(0x78)),
      compression: 0,
    }),
  )

/** Messages that a peer wrote; all at one moment if `nodeNs` is the same for all. */
const someMessages = async (contents: readonly Uint8Array[], nodeNsOf: (n: number) => bigint) => {
  const { context, store } = await aPartWorld()
  const peer = anAccount().address.toLowerCase()
  const id = buildConversationId(context.account.address, peer as typeof context.account.address)
  const { stream, history } = messageParts(context)
  for (const [n, content] of contents.entries()) {
    const messageId = n.toString(16).padStart(64, '0')
    const record = {
      messageId,
      conversationId: id,
      sender: peer,
      nodeNs: nodeNsOf(n),
      composedNs: 1n,
      content,
      state: MessageState.RECEIVED,
    }
    const number = store.nextNumber(tables.messages)
    await store.transaction([], () => ({
      writes: [add(tables.messages, messageId, record, number)],
      result: undefined,
    }))
    stream.arrived(number)
  }
  return { stream, history, id }
}

const sizeOf = (messages: readonly Message[]): number =>
  messages.reduce((sum, { content }) => sum + (content?.length ?? 0), 0)

/** All pages of a history, oldest message first. */
const historyOf = async (
  { history, id }: Awaited<ReturnType<typeof someMessages>>,
  limit: number,
) => {
  const pages: (readonly Message[])[] = []
  for (let before: string | undefined; ; ) {
    const page = await history(id, before, limit)
    if (page.length === 0) return pages
    pages.push(page)
    before = page.at(-1)?.cursor
  }
}

const idsOf = (pages: readonly (readonly Message[])[]): readonly string[] =>
  pages.flat().map(({ id }) => id)

const count = 30
const inTurn = Array.from({ length: count }, (_, n) => n.toString(16).padStart(64, '0'))

test.each([
  ['one after the other', (n: number) => BigInt(n + 1)],
  ['all at one moment', () => 1n],
])(
  'long messages, %s, come in pages that hold a few of them, each once and in order',
  async (_, nodeNsOf) => {
    const texts = Array.from({ length: count }, () => encodeContent('x'.repeat(800 * 1024)))
    const made = await someMessages(texts, nodeNsOf)
    const pages = await historyOf(made, 500)
    expect(idsOf(pages)).toEqual(inTurn.toReversed())
    for (const page of pages) expect(sizeOf(page)).toBeLessThanOrEqual(pageContentLimitBytes)
    expect(pages.length).toBe(count / 5)
  },
)

test('a few bytes that inflate to megabytes fill a page alone, in histories and in streams', async () => {
  const bombs = Array.from({ length: count }, () => compressedText(7 * mib))
  const made = await someMessages(bombs, (n) => BigInt(n + 1))
  const pages = await historyOf(made, 500)
  expect(pages.map(({ length }) => length)).toEqual(Array.from({ length: count }, () => 1))
  expect(idsOf(pages)).toEqual(inTurn.toReversed())
  expect(sizeOf(pages[0] ?? [])).toBe(7 * mib)

  const streamed: string[] = []
  for (let after = '0'; streamed.length < count; ) {
    const page = await made.stream.next(after, {}, 0, never)
    expect(page.messages).toHaveLength(1)
    streamed.push(...page.messages.map(({ id }) => id))
    after = page.cursor
  }
  expect(streamed).toEqual(inTurn)
})

test('what inflates to too much counts as much as if it had been shown', async () => {
  const bombs = Array.from({ length: 3 }, () => compressedText(16 * mib))
  const made = await someMessages(bombs, (n) => BigInt(n + 1))
  const pages = await historyOf(made, 500)
  expect(pages.map(([message]) => message)).toMatchObject(
    Array.from({ length: 3 }, () => ({ type: 'unknown', reason: 'content_too_large' })),
  )
})

test('short messages fill pages as before', async () => {
  const texts = Array.from({ length: count }, (_, n) => encodeContent(`${n}`))
  const made = await someMessages(texts, (n) => BigInt(n + 1))
  expect((await historyOf(made, 12)).map(({ length }) => length)).toEqual([12, 12, 6])
  expect((await made.stream.next('0', {}, 0, never)).messages).toHaveLength(count)
})
