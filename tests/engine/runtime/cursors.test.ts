/** Positions in topics: what of them stays in memory. */

import { expect, test } from 'vitest'
import { commit, joinChanges } from '../../../src/engine/runtime/change.ts'
import { Cursors } from '../../../src/engine/runtime/cursors.ts'
import { aPartWorld } from '../../support/engine-context.ts'

test('the positions of 10,000 topics stay in memory; with one more it begins anew', async () => {
  const { store } = await aPartWorld()
  const cursors = new Cursors(store)
  const changes = Array.from({ length: 10_000 }, (_, nth) =>
    cursors.positionChange(`message-${nth}`, BigInt(nth)),
  )
  await commit(store, joinChanges(...changes))
  expect(cursors.peek('message-0')?.sequence).toBe(0n)
  await commit(store, cursors.positionChange('message-more', 7n))
  expect(cursors.peek('message-more')?.sequence).toBe(7n)
  expect(cursors.peek('message-0')).toBeUndefined()
  expect((await cursors.position('message-9999')).sequence).toBe(9_999n)
})

test('what was read from one node is no position at another', async () => {
  const { store } = await aPartWorld()
  const cursors = new Cursors(store)
  cursors.setNode(new Uint8Array(16).fill(1))
  const moved = cursors.positionChange('message-one', 7n)
  cursors.setNode(new Uint8Array(16).fill(2))
  await commit(store, moved)
  expect((await cursors.position('message-one')).sequence).toBe(0n)
  cursors.setNode(new Uint8Array(16).fill(1))
  expect((await cursors.position('message-one')).sequence).toBe(7n)
})
