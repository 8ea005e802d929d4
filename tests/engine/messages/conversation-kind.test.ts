/** The kind of a conversation: records of release 0.1 have none, and are direct conversations. */

import { expect, test } from 'vitest'
import { directConversation } from '../../../src/engine/messages/audience.ts'
import { Conversations } from '../../../src/engine/messages/conversations.ts'
import { commit } from '../../../src/engine/runtime/change.ts'
import type { MessageId } from '../../../src/protocol/ids.ts'
import { ConversationKind, put, tables } from '../../../src/store/tables.ts'
import { anAddress, aPartWorld } from '../../support/engine-context.ts'

test('a record without a kind is shown as it was, and gets its kind with the next message', async () => {
  const { context, store } = await aPartWorld()
  const other = anAddress()
  const id = directConversation(context.account.address, other)
  const old = { conversationId: id, peer: other, createdMs: 5n, lastMessageMs: 7n }
  await commit(store, { writes: [put(tables.conversations, id, old)] })
  const kind = async () => (await store.get(tables.conversations, id))?.value.kind
  expect(await kind()).toBe(ConversationKind.UNSPECIFIED)

  const conversations = new Conversations(context)
  expect(await conversations.list(9)).toMatchObject([{ id, createdAtMs: 5, lastMessageAtMs: 7 }])
  expect([...(await conversations.peers(9))]).toEqual([other])
  await conversations.load(id)
  await commit(store, conversations.activityChange(id, 9))
  expect((await store.get(tables.conversations, id))?.value).toMatchObject({
    kind: ConversationKind.DIRECT,
    peer: other,
    createdMs: 5n,
    lastMessageMs: 9n,
  })
})

test('a new conversation has its kind from the start', async () => {
  const { context, store } = await aPartWorld()
  const conversations = new Conversations(context)
  const { id } = await conversations.open(anAddress())
  const stored = (await store.get(tables.conversations, id))?.value
  expect(stored?.kind).toBe(ConversationKind.DIRECT)
})

test('an account has been written to once a message of ours went there, from this device or another', async () => {
  const { context, store } = await aPartWorld()
  const conversations = new Conversations(context)
  const { address: own } = context.account
  const [heard, written, elsewhere] = [anAddress(), anAddress(), anAddress()]
  const all = [heard, written, elsewhere]
  const idOf = (address: typeof own) => directConversation(own, address)
  for (const address of all) await conversations.open(address)
  const message = (address: typeof own, sender: typeof own) => ({
    id: `message of ${address}` as MessageId,
    conversationId: idOf(address),
    sender,
    senderInstallation: context.account.installationId,
    composedNs: 1n,
    nodeNs: 2n,
    content: new Uint8Array(),
    state: 'sent' as const,
  })
  await commit(
    store,
    conversations.additionChange([message(heard, heard), message(elsewhere, own)]),
  )
  await commit(store, conversations.activityChange(idOf(written), 3, true))
  // It stays so, whatever comes later.
  await commit(store, conversations.activityChange(idOf(written), 4))
  const expected = new Set([written, elsewhere, own])
  expect(await conversations.writtenTo([...all, own, anAddress()])).toEqual(expected)
  expect(await new Conversations(context).writtenTo([...all, own])).toEqual(expected)
})
