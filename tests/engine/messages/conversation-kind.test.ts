/** The kind of a conversation: records of release 0.1 have none, and are direct conversations. */

import { expect, test } from 'vitest'
import { directConversation } from '../../../src/engine/messages/audience.ts'
import { commit } from '../../../src/engine/runtime/change.ts'
import { ConversationKind, put, tables } from '../../../src/store/tables.ts'
import { anAddress, aPartWorld, messageParts } from '../../support/engine-context.ts'

test('a record without a kind is shown as it was, and gets its kind with the next message', async () => {
  const { context, store } = await aPartWorld()
  const other = anAddress()
  const id = directConversation(context.account.address, other)
  const old = { conversationId: id, peer: other, createdMs: 5n, lastMessageMs: 7n }
  await commit(store, { writes: [put(tables.conversations, id, old)] })
  const kind = async () => (await store.get(tables.conversations, id))?.value.kind
  expect(await kind()).toBe(ConversationKind.UNSPECIFIED)

  const { conversations, conversationList } = messageParts(context)
  expect(await conversationList.page(9)).toMatchObject([{ id, createdAtMs: 5, lastMessageAtMs: 7 }])
  expect([...(await conversationList.peers('unknown', 9))]).toEqual([other])
  await conversations.load(id)
  await commit(
    store,
    conversations.activityChange(id, { messageMs: 9, consent: 'unknown', messages: 1 }),
  )
  expect((await store.get(tables.conversations, id))?.value).toMatchObject({
    kind: ConversationKind.DIRECT,
    peer: other,
    createdMs: 5n,
    lastMessageMs: 9n,
  })
})

test('a new conversation has its kind from the start', async () => {
  const { context, store } = await aPartWorld()
  const { conversations } = messageParts(context)
  const { id } = await conversations.open(anAddress())
  const stored = (await store.get(tables.conversations, id))?.value
  expect(stored?.kind).toBe(ConversationKind.DIRECT)
})
