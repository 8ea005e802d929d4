/** The list of conversations, page after page. */

import { expect, test } from 'vitest'
import { checkPlace } from '../../../src/engine/arguments.ts'
import { directConversation } from '../../../src/engine/messages/audience.ts'
import { Conversations } from '../../../src/engine/messages/conversations.ts'
import { commit } from '../../../src/engine/runtime/change.ts'
import { anAddress, aPartWorld } from '../../support/engine-context.ts'

/** So many conversations, several of them active at the same moment. */
const someConversations = async (count: number) => {
  const { context, store, clock } = await aPartWorld()
  const conversations = new Conversations(context)
  const ids = Array.from({ length: count }, () =>
    directConversation(context.account.address, anAddress()),
  )
  const touch = (id: (typeof ids)[number], ms: number) =>
    commit(store, conversations.activityChange(id, ms))
  for (const [n, id] of ids.entries()) await touch(id, clock.nowMs - Math.floor(n / 3))
  return { conversations, ids, touch, clock }
}

test('pages of any size have every conversation once, those with the newest messages first', async () => {
  const { conversations, ids } = await someConversations(50)
  for (const limit of [1, 7, 49, 50, 51]) {
    const seen: { id: string; lastMessageAtMs: number | undefined }[] = []
    for (let page = await conversations.list(limit); page.length > 0; ) {
      seen.push(...page)
      page = await conversations.list(limit, page.at(-1))
    }
    expect(seen.map(({ id }) => id).toSorted()).toEqual(ids.toSorted())
    const times = seen.map(({ lastMessageAtMs }) => lastMessageAtMs ?? 0)
    expect(times).toEqual(times.toSorted((a, b) => b - a))
  }
})

test('a conversation that moves up between two pages hides none of the others', async () => {
  const { conversations, ids, touch, clock } = await someConversations(20)
  const first = await conversations.list(10)
  const last = first.at(-1)
  if (!last) return
  await touch(last.id as (typeof ids)[number], clock.nowMs + 1)
  const second = await conversations.list(20, last)
  const seen = [...first, ...second].map(({ id }) => id)
  expect(seen.toSorted()).toEqual(ids.toSorted())
})

test('a place that no conversation can have is refused', () => {
  const place = {
    id: directConversation(anAddress(), anAddress()),
    createdAtMs: 1,
    lastMessageAtMs: 2,
  }
  checkPlace(place)
  checkPlace({ ...place, lastMessageAtMs: undefined })
  for (const bad of [
    { ...place, id: 'nothing' },
    { ...place, createdAtMs: -1 },
    { ...place, createdAtMs: Number.NaN },
    { ...place, lastMessageAtMs: 2 ** 60 },
  ]) {
    expect(() => checkPlace(bad)).toThrow(expect.objectContaining({ code: 'invalid_argument' }))
  }
})
