/** Sessions in the store and in memory: docs/protocol.md section 7; one part alone. */

import { expect, test } from 'vitest'
import { commit } from '../../../src/engine/runtime/change.ts'
import type { Session } from '../../../src/engine/sessions/session-rules.ts'
import { Sessions } from '../../../src/engine/sessions/sessions.ts'
import type { Address, InstallationId } from '../../../src/protocol/ids.ts'
import { dayMs } from '../../../src/protocol/limits.ts'
import { tables } from '../../../src/store/tables.ts'
import { aPartWorld } from '../../support/engine-context.ts'

const idOf = (name: string): InstallationId => name.padEnd(43, 'A') as InstallationId

let count = 0
const aSession = (installationId: InstallationId, given: Partial<Session> = {}): Session => {
  const sessionId = new Uint8Array(32)
  new DataView(sessionId.buffer).setUint32(28, ++count)
  return {
    installationId,
    sessionId,
    state: Uint8Array.of(1, 2, 3),
    createdMs: 1,
    firstDecryptedMs: 0,
    lastDecryptedMs: 0,
    sentSince: 0,
    isClosed: false,
    headsTold: new Uint8Array(),
    ...given,
  }
}

const someSessions = async () => {
  const world = await aPartWorld()
  const { store } = world
  let reads = 0
  const counted: typeof store = {
    ...store,
    pages: (table, group) => {
      reads += 1
      return store.pages(table, group)
    },
  }
  const sessions = new Sessions(counted)
  const save = async (...some: readonly Session[]) => {
    await commit(store, sessions.statesChange(some))
  }
  return { ...world, sessions, save, readsOf: () => reads }
}

const records = async (store: Awaited<ReturnType<typeof someSessions>>['store']) =>
  (await store.all(tables.sessions)).map(({ value }) => value)

test('a session is read back from the store as it was, each part of it', async () => {
  const { store, sessions, save } = await someSessions()
  const id = idOf('peer')
  const session = aSession(id, {
    createdMs: 1_000,
    firstDecryptedMs: 2_000,
    lastDecryptedMs: 3_000,
    sentSince: 4,
    isClosed: true,
    headsTold: new Uint8Array(32).fill(5),
  })
  await save(session, aSession(idOf('other')))
  expect(sessions.of(id)).toEqual([session])
  const later = new Sessions(store)
  expect(later.of(id)).toEqual([])
  await later.load([id])
  expect(later.of(id)).toEqual([session])
  expect(later.of(idOf('other'))).toEqual([])
})

test('the next state takes the place of the one before it, and of no other session', async () => {
  const { store, sessions, save } = await someSessions()
  const id = idOf('peer')
  const [one, two] = [aSession(id), aSession(id)]
  await save(one, two)
  const next = { ...one, state: Uint8Array.of(9), sentSince: 1 }
  await save(next)
  expect(sessions.of(id)).toEqual([two, next])
  expect(await records(store)).toHaveLength(2)
  const later = new Sessions(store)
  await later.load([id])
  expect([...later.of(id)].sort((a, b) => a.sentSince - b.sentSince)).toEqual([two, next])
})

test('memory is not touched before the store has committed', async () => {
  const { sessions } = await someSessions()
  const session = aSession(idOf('peer'))
  sessions.statesChange([session])
  expect(sessions.of(session.installationId)).toEqual([])
})

test('section 7: a pruned session loses its state on the disk too; its id stays', async () => {
  const { store, sessions, save, clock } = await someSessions()
  const id = idOf('peer')
  const old = aSession(id, {
    createdMs: clock.nowMs - 10 * dayMs,
    firstDecryptedMs: clock.nowMs - 9 * dayMs,
    lastDecryptedMs: clock.nowMs - 8 * dayMs,
  })
  const current = aSession(id, {
    createdMs: clock.nowMs - 2 * dayMs,
    firstDecryptedMs: clock.nowMs - dayMs,
    lastDecryptedMs: clock.nowMs,
  })
  const strange = aSession(idOf('other'), { createdMs: clock.nowMs - 10 * dayMs })
  await save(old, current, strange)
  expect(sessions.wasPruned(id, old.sessionId)).toBe(false)
  await sessions.prune(clock.nowMs, 0n)
  expect(sessions.of(id)).toEqual([current])
  expect(sessions.of(strange.installationId)).toEqual([strange])
  const later = new Sessions(store)
  await later.load([id, strange.installationId])
  for (const each of [sessions, later]) {
    expect(each.of(id)).toEqual([current])
    expect(each.wasPruned(id, old.sessionId)).toBe(true)
    expect(each.wasPruned(id, current.sessionId)).toBe(false)
    expect(each.wasPruned(strange.installationId, old.sessionId)).toBe(false)
  }
  const pruned = (await records(store)).filter((record) => record.pruned)
  expect(pruned).toHaveLength(1)
  expect(pruned[0]?.state).toHaveLength(0)
  expect(pruned[0]?.sessionId).toEqual(old.sessionId)
  // What was pruned stays so when others change, or are pruned too.
  const newer = aSession(id, {
    createdMs: clock.nowMs,
    firstDecryptedMs: clock.nowMs + dayMs,
    lastDecryptedMs: clock.nowMs + 2 * dayMs,
  })
  await save(newer)
  await sessions.prune(clock.nowMs + 2 * dayMs, 0n)
  expect(sessions.of(id)).toEqual([newer])
  for (const one of [old, current]) expect(sessions.wasPruned(id, one.sessionId)).toBe(true)
})

test('section 7: the id of a pruned session goes when the fallback keys are a day newer than it', async () => {
  const { store, sessions, save, clock } = await someSessions()
  const id = idOf('peer')
  const six = Array.from({ length: 6 }, (_, nth) => aSession(id, { createdMs: clock.nowMs - nth }))
  await save(...six)
  await sessions.prune(clock.nowMs, 0n)
  const [, , , , , oldest] = six
  if (!oldest) return
  const atNs = BigInt(oldest.createdMs + dayMs) * 1_000_000n
  await sessions.prune(clock.nowMs, atNs)
  expect(sessions.wasPruned(id, oldest.sessionId)).toBe(true)
  // In memory, and from what an earlier run left.
  const later = new Sessions(store)
  await later.loadLeftOver(clock.nowMs, atNs)
  expect(await records(store)).toHaveLength(6)
  await sessions.prune(clock.nowMs, atNs + 1n)
  expect(sessions.wasPruned(id, oldest.sessionId)).toBe(false)
  expect(await records(store)).toHaveLength(5)
  await save(...six)
  await sessions.prune(clock.nowMs, 0n)
  await later.loadLeftOver(clock.nowMs, atNs + 1n)
  expect(await records(store)).toHaveLength(5)
})

test('section 7: an installation has twenty sessions at most; those used longest ago make room, with their ids', async () => {
  const { store, sessions, save, clock } = await someSessions()
  const id = idOf('peer')
  const used = (nth: number) => ({
    createdMs: clock.nowMs + nth,
    firstDecryptedMs: clock.nowMs + nth,
    lastDecryptedMs: clock.nowMs + nth,
  })
  const many = Array.from({ length: 25 }, (_, nth) => aSession(id, used(nth)))
  await save(...many.slice(0, 19))
  // Six in one change: one of them fits beside, five of the old ones go.
  await save(...many.slice(19))
  expect(sessions.of(id)).toEqual(many.slice(5))
  for (const gone of many.slice(0, 5)) {
    expect(sessions.find(id, gone.sessionId)).toBeUndefined()
    expect(sessions.wasPruned(id, gone.sessionId)).toBe(true)
  }
  const later = new Sessions(store)
  await later.load([id])
  expect(later.of(id)).toHaveLength(20)
  expect((await records(store)).filter(({ pruned }) => pruned)).toHaveLength(5)
  // More than that at once: those that would go at once are stored as removed.
  const flood = Array.from({ length: 200 }, (_, nth) => aSession(id, used(100 + nth)))
  await save(...flood)
  expect(sessions.of(id)).toEqual(flood.slice(-20))
  expect((await records(store)).filter(({ state }) => state.length > 0)).toHaveLength(20)
})

test('section 7: after a thousand removed sessions an installation is full, until their ids expire', async () => {
  const { sessions, save, clock } = await someSessions()
  const id = idOf('peer')
  const peer = { id, address: 'address' as Address }
  const flood = Array.from({ length: 1_020 }, (_, nth) =>
    aSession(id, { createdMs: nth + 1, lastDecryptedMs: nth + 1 }),
  )
  await save(...flood.slice(0, 1_019))
  expect(sessions.isFull(peer)).toBe(false)
  await save(...flood.slice(1_019))
  expect(sessions.isFull(peer)).toBe(true)
  expect(sessions.isFull({ ...peer, id: idOf('other') })).toBe(false)
  await sessions.prune(clock.nowMs, BigInt(clock.nowMs) * 1_000_000n)
  expect(sessions.isFull(peer)).toBe(false)
})

test('an older copy closes every session that there is, and leaves the pruned alone', async () => {
  const { store, sessions, save, clock } = await someSessions()
  const id = idOf('peer')
  const six = Array.from({ length: 6 }, (_, nth) =>
    aSession(id, { createdMs: clock.nowMs - nth, lastDecryptedMs: 1, firstDecryptedMs: 1 }),
  )
  await save(...six, aSession(idOf('other')))
  await sessions.prune(clock.nowMs, 0n)
  const closing = await sessions.closingChange()
  expect(closing.writes).toHaveLength(6)
  await commit(store, closing)
  await sessions.load([id, idOf('other')])
  for (const each of [id, idOf('other')]) {
    expect(sessions.of(each).length).toBeGreaterThan(0)
    expect(sessions.of(each).every(({ isClosed }) => isClosed)).toBe(true)
    expect(sessions.of(each).every(({ state }) => state.length === 3)).toBe(true)
  }
  expect((await records(store)).filter((record) => record.pruned)).toHaveLength(1)
  expect((await sessions.closingChange()).writes).toEqual([])
})

test('the sessions of 2,000 installations stay in memory, those used last; others are read again', async () => {
  const { sessions, save, readsOf } = await someSessions()
  const ids = Array.from({ length: 2_001 }, (_, nth) => idOf(`n${nth}`))
  const [first, second] = ids
  if (!first || !second) return
  await save(...ids.slice(0, 2_000).map((id) => aSession(id)))
  expect(sessions.of(first)).toHaveLength(1)
  // Used again: now the second one is the oldest.
  await sessions.load([first])
  expect(readsOf()).toBe(0)
  await save(aSession(idOf('n2000')))
  expect(sessions.of(first)).toHaveLength(1)
  expect(sessions.of(second)).toEqual([])
  await sessions.load([second])
  expect(readsOf()).toBe(1)
  expect(sessions.of(second)).toHaveLength(1)
})

test('an installation is read from the store once, however often it is asked for', async () => {
  const { sessions, readsOf } = await someSessions()
  const id = idOf('nobody')
  await sessions.load([id, id])
  await sessions.load([id])
  expect(readsOf()).toBe(1)
  expect(sessions.of(id)).toEqual([])
})

test('of what an earlier run left over only those installations are loaded that have too many', async () => {
  const { store, save, clock } = await someSessions()
  const [id, other] = [idOf('peer'), idOf('other')]
  const six = Array.from({ length: 6 }, (_, nth) => aSession(id, { createdMs: clock.nowMs - nth }))
  await save(...six, aSession(other))
  const later = new Sessions(store)
  await later.loadLeftOver(clock.nowMs, 0n)
  expect(later.of(id)).toHaveLength(6)
  expect(later.of(other)).toEqual([])
  await later.prune(clock.nowMs, 0n)
  expect(later.of(id)).toHaveLength(5)
})
