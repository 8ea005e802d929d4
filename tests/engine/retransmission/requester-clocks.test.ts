/** Requests under a clock that was wrong: neither put off until it comes true, nor forgotten by it. */

import { expect, test } from 'vitest'
import { dayMs, hourMs, minuteMs } from '../../../src/protocol/limits.ts'
import { tables } from '../../../src/store/tables.ts'
import { aFailure, aRequester, askedOf } from '../../support/requester-part.ts'

const farMs = 3_650 * dayMs

test('what failed under a clock that was ahead is asked for a minute after it was set back', async () => {
  const all = await aRequester()
  const [peer] = all.peers
  if (!peer) return
  const failure = aFailure(peer)
  all.world.clock.nowMs += farMs
  await all.note([failure])
  all.world.clock.nowMs -= farMs
  await all.run()
  await all.turn(minuteMs - 1)
  expect(askedOf(all)).toEqual([])
  await all.turn(1)
  expect(askedOf(all)).toEqual([[failure.digest]])
  // And no longer than fourteen days.
  expect((await all.world.store.all(tables.recovery)).length).toBe(1)
  await all.turn(14 * dayMs)
  expect(await all.world.store.all(tables.recovery)).toEqual([])
})

test('what was asked for under a clock that was ahead is asked for once more an hour after it was set back', async () => {
  const all = await aRequester()
  const [peer] = all.peers
  if (!peer) return
  all.world.clock.nowMs += farMs
  await all.note([aFailure(peer)])
  await all.run()
  await all.turn(minuteMs)
  expect(askedOf(all)).toHaveLength(1)
  all.world.clock.nowMs -= farMs
  all.requester.setLive(true)
  await all.settled()
  await all.turn(hourMs - 1)
  expect(askedOf(all)).toHaveLength(1)
  await all.turn(1)
  expect(askedOf(all)).toHaveLength(2)
})

test('twenty requests under a clock that was ahead use up none of the hour after it was set back', async () => {
  const all = await aRequester(21)
  all.world.clock.nowMs += farMs
  await all.note(all.peers.slice(0, 20).map((peer) => aFailure(peer)))
  await all.run()
  await all.turn(minuteMs)
  expect(askedOf(all)).toHaveLength(20)
  all.world.clock.nowMs -= farMs
  const [last] = all.peers.slice(20)
  if (!last) return
  await all.note([aFailure(last)])
  await all.settled()
  await all.turn(minuteMs)
  expect(askedOf(all)).toHaveLength(21)
})

test('what failed under a clock that was behind is asked for in time, and not forgotten when that is right', async () => {
  const all = await aRequester()
  const [peer] = all.peers
  if (!peer) return
  const failure = aFailure(peer)
  all.world.clock.nowMs -= farMs
  await all.note([failure])
  all.world.clock.nowMs += farMs
  await all.run()
  await all.turn(minuteMs)
  expect(askedOf(all)).toEqual([[failure.digest]])
})
