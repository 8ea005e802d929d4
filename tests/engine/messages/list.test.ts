/** The list of conversations, page after page. */

import { expect, test } from 'vitest'
import { checkPlace } from '../../../src/engine/arguments.ts'
import { directConversation } from '../../../src/engine/messages/audience.ts'
import { commit } from '../../../src/engine/runtime/change.ts'
import { anAddress, aPartWorld, messageParts } from '../../support/engine-context.ts'

/** Some accepted, some not: both are listed together. */
const consentOf = (id: string) => (id.endsWith('0') || id.endsWith('8') ? 'allowed' : 'unknown')

/** So many conversations, several of them active at the same moment. */
const someConversations = async (count: number) => {
  const { context, store, clock } = await aPartWorld()
  const { conversations, conversationList } = messageParts(context)
  const ids = Array.from({ length: count }, () =>
    directConversation(context.account.address, anAddress()),
  )
  const touch = (id: (typeof ids)[number], ms: number) =>
    commit(
      store,
      conversations.activityChange(id, { messageMs: ms, consent: consentOf(id), messages: 0 }),
    )
  for (const [n, id] of ids.entries()) await touch(id, clock.nowMs - Math.floor(n / 3))
  return { list: conversationList, ids, touch, clock }
}

test('pages of any size have every conversation once, those with the newest messages first', async () => {
  const { list, ids } = await someConversations(50)
  for (const limit of [1, 7, 49, 50, 51]) {
    const seen: { id: string; lastMessageAtMs: number | undefined }[] = []
    for (let page = await list.page(limit); page.length > 0; ) {
      seen.push(...page)
      page = await list.page(limit, page.at(-1))
    }
    expect(seen.map(({ id }) => id).toSorted()).toEqual(ids.toSorted())
    const times = seen.map(({ lastMessageAtMs }) => lastMessageAtMs ?? 0)
    expect(times).toEqual(times.toSorted((a, b) => b - a))
  }
})

test('a conversation that moves up between two pages hides none of the others', async () => {
  const { list, ids, touch, clock } = await someConversations(20)
  const first = await list.page(10)
  const last = first.at(-1)
  if (!last) return
  await touch(last.id as (typeof ids)[number], clock.nowMs + 1)
  const second = await list.page(20, last)
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
