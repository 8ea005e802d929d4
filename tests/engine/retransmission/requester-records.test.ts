/** What the requester notes and forgets, and which answers it takes: docs/protocol.md section 10, one part alone. */

import { expect, test } from 'vitest'
import { commit } from '../../../src/engine/runtime/change.ts'
import { dayMs, hourMs, minuteMs } from '../../../src/protocol/limits.ts'
import { put, tables } from '../../../src/store/tables.ts'
import { until } from '../../support/engine.ts'
import { aDevice, known } from '../../support/engine-context.ts'
import { aDigest, aFailure, aRequester, askedOf, countsOf } from '../../support/requester-part.ts'

test('an envelope that failed fourteen days ago is not asked for anymore, and forgotten', async () => {
  const all = await aRequester(2)
  const [old, young] = all.peers
  if (!old || !young) return
  await all.note([aFailure(old)])
  all.world.turn(1)
  await all.note([aFailure(young)])
  all.world.turn(14 * dayMs - 1)
  await all.run()
  expect(all.parts.fanout.calls.map(({ messages }) => messages[0]?.recipients[0]?.id)).toEqual([
    young.id,
  ])
  const stored = await all.world.store.all(tables.recovery)
  expect(stored.map(({ value }) => value.installationId)).toEqual([young.id])
})

test('section 1, Clocks: fourteen days have passed only when both clocks say so', async () => {
  const all = await aRequester()
  const [peer] = all.peers
  if (!peer) return
  await all.note([aFailure(peer)])
  all.world.clock.nowMs += 20 * dayMs
  await all.run()
  expect(all.parts.fanout.calls).toHaveLength(1)
  expect(await all.world.store.all(tables.recovery)).toHaveLength(1)
})

test('an envelope that came is not asked for anymore; the record goes with its last digest', async () => {
  const all = await aRequester()
  const [peer] = all.peers
  if (!peer) return
  const [one, two] = [aDigest(), aDigest()]
  await all.run()
  await all.note([aFailure(peer, one), aFailure(peer, two)])
  await all.note([], [{ id: peer.id, digest: one }])
  await all.settled()
  await all.turn(minuteMs)
  expect(askedOf(all)).toEqual([[two]])
  await all.note([], [{ id: peer.id, digest: two }])
  expect(await all.world.store.all(tables.recovery)).toEqual([])
  await all.turn(2 * hourMs)
  expect(askedOf(all)).toEqual([[two]])
  // Nothing of an installation that nothing was asked of.
  expect(
    all.requester.failuresChange([], [{ id: peer.id, digest: one }], new Set()).writes,
  ).toEqual([])
})

test('a digest is noted once, in one batch or in two', async () => {
  const all = await aRequester()
  const [peer] = all.peers
  if (!peer) return
  const digest = aDigest()
  await all.note([aFailure(peer, digest), aFailure(peer, digest)])
  await all.note([aFailure(peer, digest)])
  const [stored] = await all.world.store.all(tables.recovery)
  expect(stored?.value.missing).toHaveLength(1)
})

test('2,000 digests of one installation are noted', async () => {
  const all = await aRequester()
  const [peer] = all.peers
  if (!peer) return
  const missing = Array.from({ length: 1_999 }, () => ({ digest: aDigest(), failedMs: 1n }))
  await all.world.store.transaction([], () => ({
    writes: [
      put(tables.recovery, peer.id, { installationId: peer.id, address: peer.address, missing }),
    ],
    result: undefined,
  }))
  await all.requester.load()
  await all.note([aFailure(peer), aFailure(peer)])
  await all.note([aFailure(peer)])
  const [stored] = await all.world.store.all(tables.recovery)
  expect(stored?.value.missing).toHaveLength(2_000)
})

test('digests of 1,000 installations are noted, and more of those that are there', async () => {
  const all = await aRequester()
  const [peer] = all.peers
  if (!peer) return
  const others = Array.from({ length: 1_001 }, (_, nth) => ({
    ...peer,
    id: `${peer.id}${nth}` as typeof peer.id,
  }))
  await all.note(others.slice(0, 500).map((one) => aFailure(one)))
  await all.note(others.slice(500).map((one) => aFailure(one)))
  expect(await all.world.store.all(tables.recovery)).toHaveLength(1_000)
  const [first] = others
  if (!first) return
  await all.note([aFailure(first)])
  const again = (await all.world.store.all(tables.recovery)).find(
    ({ value }) => value.installationId === first.id,
  )
  expect(again?.value.missing).toHaveLength(2)
})

test('an answer is taken only if it was asked of that installation, with its node time, also after a restart', async () => {
  const all = await aRequester(2)
  const [peer, other] = all.peers
  if (!peer || !other) return
  const digest = aDigest()
  await all.run()
  await all.note([aFailure(peer, digest, 77n), aFailure(other)])
  expect(all.requester.askedFor(peer.id, digest)).toBeUndefined()
  await all.settled()
  await all.turn(minuteMs)
  expect(all.requester.askedFor(peer.id, digest)).toBe(77n)
  expect(all.requester.askedFor(other.id, digest)).toBeUndefined()
  expect(all.requester.askedFor(peer.id, aDigest())).toBeUndefined()
  expect(all.requester.askedFor(known(aDevice()).id, digest)).toBeUndefined()
  const again = all.start()
  await again.load()
  expect(again.askedFor(peer.id, digest)).toBe(77n)
  const [stored] = await all.world.store.all(tables.recovery)
  expect(stored?.value.address).toMatch(/^0x/)
})

test('a timer goes on where it was after a restart: neither earlier nor from the beginning', async () => {
  const all = await aRequester()
  const [peer] = all.peers
  if (!peer) return
  const restart = async () => {
    const again = all.start()
    await again.load()
    await all.run(again)
    return again
  }
  const { calls } = all.parts.fanout
  await all.note([aFailure(peer)])
  all.world.turn(minuteMs / 2)
  const second = await restart()
  await all.turn(minuteMs / 2 - 1)
  expect(calls).toHaveLength(0)
  await all.turn(1)
  expect(calls).toHaveLength(1)
  second.setLive(false)
  await restart()
  const bothRest = () => until(() => all.world.waits.length === 2)
  await bothRest()
  all.world.turn(hourMs - 1)
  await bothRest()
  expect(calls).toHaveLength(1)
  all.world.turn(1)
  await until(() => calls.length === 2)
  expect(calls[1]?.messages[0]?.recipients).toMatchObject([{ id: peer.id, address: peer.address }])
})

test('an envelope that comes while the request is prepared is not asked for', async () => {
  const all = await aRequester()
  const [peer] = all.peers
  if (!peer) return
  const [old, late] = [aFailure(peer), aFailure(peer)]
  await all.run()
  await all.note([old])
  await all.settled()
  await all.turn(minuteMs)
  await all.turn(hourMs)
  expect(countsOf(all, [old])).toEqual([2])
  // One that was asked for twice is there still, and one that comes at the last moment.
  all.meanwhile.run = () => all.note([], [{ id: peer.id, digest: late.digest }])
  await all.note([late])
  await all.settled()
  await all.turn(minuteMs)
  expect(all.claims).toHaveLength(3)
  expect(countsOf(all, [old, late])).toEqual([2, 0])
  // The same with nothing left at all.
  all.meanwhile.run = () =>
    all.note(
      [],
      [old, late].map(({ digest }) => ({ id: peer.id, digest })),
    )
  await all.note([late])
  await all.settled()
  await all.turn(minuteMs)
  expect(all.claims).toHaveLength(4)
  expect(countsOf(all, [old, late])).toEqual([2, 0])
  expect(all.world.context.status.current.warnings).toEqual([])
})

test('strangers have a hundred places with a hundred digests, and take none of those who were accepted', async () => {
  const all = await aRequester(2)
  const [peer, friend] = all.peers
  if (!peer || !friend) return
  const nobody = new Set<typeof peer.address>()
  const strangers = Array.from({ length: 101 }, (_, nth) => ({
    ...peer,
    id: `${peer.id}${nth}` as typeof peer.id,
  }))
  await all.note(
    strangers.map((one) => aFailure(one)),
    [],
    nobody,
  )
  const noted = async () => (await all.world.store.all(tables.recovery)).map(({ value }) => value)
  expect(await noted()).toHaveLength(100)
  const [first] = strangers
  if (!first) return
  await all.note(
    Array.from({ length: 150 }, () => aFailure(first)),
    [],
    nobody,
  )
  const ofFirst = async () =>
    (await noted()).find(({ installationId }) => installationId === first.id)
  expect((await ofFirst())?.missing).toHaveLength(100)
  await all.note(Array.from({ length: 150 }, () => aFailure(friend)))
  const ofFriend = (await noted()).find(({ installationId }) => installationId === friend.id)
  expect(ofFriend).toMatchObject({ accepted: true })
  expect(ofFriend?.missing).toHaveLength(150)
  // Once it is accepted, there is room.
  await all.note([aFailure(first)], [], new Set([first.address]))
  expect((await ofFirst())?.missing).toHaveLength(101)
  const again = all.start()
  await again.load()
  expect(again.askedFor(first.id, aDigest())).toBeUndefined()
})

test('section 9: of an account that was not accepted nothing is requested, until it is', async () => {
  const all = await aRequester(2)
  const [stranger, friend] = all.peers
  if (!stranger || !friend) return
  const failure = aFailure(stranger)
  await all.note([failure, aFailure(friend)], [], new Set([friend.address]))
  await all.run()
  await all.turn(minuteMs)
  await all.turn(hourMs)
  const asked = () => all.parts.fanout.calls.map(({ messages }) => messages[0]?.recipients[0]?.id)
  // Once more after an hour.
  expect(asked()).toEqual([friend.id, friend.id])
  const { store } = all.world
  await commit(store, all.requester.consentChange(stranger.address, 'allowed'))
  await until(() => asked().length > 2)
  expect(asked().slice(2)).toEqual([stranger.id])
  expect(countsOf(all, [failure])).toEqual([1])
  // Denied: what was noted is forgotten.
  await commit(store, all.requester.consentChange(stranger.address, 'denied'))
  const rows = (await store.all(tables.recovery)).map(({ value }) => value.installationId)
  expect(rows).not.toContain(stranger.id)
})
