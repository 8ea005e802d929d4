/** Which session to send on and which to remove: docs/protocol.md section 7, as properties. */

import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  chooseSession,
  chooseToPrune,
  newSession,
  type Session,
  sendsLeft,
} from '../../../src/engine/sessions/session-rules.ts'
import type { Address, InstallationId } from '../../../src/protocol/ids.ts'
import { dayMs } from '../../../src/protocol/limits.ts'
import { runSeed } from '../../support/random.ts'

const nowMs = 100 * dayMs

/** Hours before now. */
const ago = (hours: number): number => nowMs - (hours * dayMs) / 24

const session = (given: Partial<Session>): Session => ({
  installationId: 'i' as InstallationId,
  sessionId: new Uint8Array(32),
  state: new Uint8Array(),
  createdMs: ago(1),
  firstDecryptedMs: 0,
  lastDecryptedMs: 0,
  sentSince: 0,
  isClosed: false,
  ...given,
})

const anySession: fc.Arbitrary<Session> = fc
  .record({
    created: fc.integer({ min: 0, max: 100 }),
    first: fc.option(fc.integer({ min: 0, max: 100 })),
    last: fc.integer({ min: 0, max: 100 }),
    sentSince: fc.constantFrom(0, 1, 999, 1_000, 1_001, 5_000),
    isClosed: fc.boolean(),
  })
  .map(({ created, first, last, sentSince, isClosed }) => {
    const firstAt = first === null ? 0 : Math.max(ago(created), ago(first))
    const lastAt = first === null ? 0 : Math.max(firstAt, ago(last))
    const times = { firstDecryptedMs: firstAt, lastDecryptedMs: lastAt }
    return session({ createdMs: ago(created), ...times, sentSince, isClosed })
  })
const sessions = fc.array(anySession, { maxLength: 12 })
const parameters = { seed: runSeed() }

const isUsable = ({ sentSince, isClosed }: Session) => sentSince < 1_000 && !isClosed

test('section 7: a session is chosen exactly if one is neither spent nor closed, and never such a one', () => {
  fc.assert(
    fc.property(sessions, (all) => {
      const chosen = chooseSession(all)
      expect(chosen === undefined).toBe(!all.some(isUsable))
      if (chosen) expect(isUsable(chosen)).toBe(true)
    }),
    parameters,
  )
})

test('section 7: the session that decrypted last is chosen; if none did, the newest', () => {
  fc.assert(
    fc.property(sessions, (all) => {
      const chosen = chooseSession(all)
      if (!chosen) return
      for (const other of all.filter(isUsable)) {
        expect(other.lastDecryptedMs).toBeLessThanOrEqual(chosen.lastDecryptedMs)
        if (chosen.lastDecryptedMs === 0) {
          expect(other.createdMs).toBeLessThanOrEqual(chosen.createdMs)
        }
      }
    }),
    parameters,
  )
})

test('section 7: sessions that are not chosen do not matter: without one the choice is the same', () => {
  fc.assert(
    fc.property(sessions, fc.nat(11), (all, at) => {
      const chosen = chooseSession(all)
      if (all[at] === chosen) return
      expect(chooseSession(all.filter((_, nth) => nth !== at))).toBe(chosen)
    }),
    parameters,
  )
})

test('section 7: five at most stay, the one to send on always among them, and pruning again removes nothing', () => {
  fc.assert(
    fc.property(sessions, (all) => {
      const pruned = chooseToPrune(all, nowMs)
      const kept = all.filter((one) => !pruned.includes(one))
      expect(kept.length).toBeLessThanOrEqual(5)
      expect(new Set(pruned).size).toBe(pruned.length)
      expect(chooseToPrune(kept, nowMs)).toEqual([])
      const chosen = chooseSession(all)
      if (chosen) expect(kept).toContain(chosen)
      if (all.length > 0) expect(kept.length).toBeGreaterThan(0)
    }),
    parameters,
  )
})

test('section 7: a session goes a day after its last use, once a newer one has decrypted for a day', () => {
  const old = session({ createdMs: ago(100), firstDecryptedMs: ago(90), lastDecryptedMs: ago(24) })
  const newer = session({ createdMs: ago(30), firstDecryptedMs: ago(24), lastDecryptedMs: ago(1) })
  expect(chooseToPrune([old, newer], nowMs)).toEqual([old])
  const justUsed = { ...old, lastDecryptedMs: ago(23) }
  expect(chooseToPrune([justUsed, newer], nowMs)).toEqual([])
  const justBegun = { ...newer, firstDecryptedMs: ago(23) }
  expect(chooseToPrune([old, justBegun], nowMs)).toEqual([])
  const silent = { ...newer, firstDecryptedMs: 0, lastDecryptedMs: 0 }
  expect(chooseToPrune([old, silent], nowMs)).toEqual([])
  // The older of two is not "newer", however long it has been in use.
  expect(chooseToPrune([old], nowMs)).toEqual([])
})

test('section 7: of two sessions that were started at the same time, both sides keep the one to send on', () => {
  // Each saw the other's session begin after its own; the last message that each decrypted was
  // on the session that alice made.
  const used = { firstDecryptedMs: ago(70), lastDecryptedMs: ago(70) }
  const alice = {
    byAlice: session({ createdMs: ago(90), ...used }),
    byBob: session({ createdMs: ago(80), firstDecryptedMs: ago(80), lastDecryptedMs: ago(80) }),
  }
  const bob = {
    byBob: session({ createdMs: ago(91), firstDecryptedMs: ago(75), lastDecryptedMs: ago(75) }),
    byAlice: session({ createdMs: ago(79), ...used }),
  }
  for (const { byAlice, byBob } of [alice, bob]) {
    expect(chooseToPrune([byAlice, byBob], nowMs)).not.toContain(byAlice)
  }
})

test('section 7: of more than five, those that never decrypted go first, then the least recently used', () => {
  const used = [1, 2, 3, 4, 5].map((hours) =>
    session({ createdMs: ago(20), firstDecryptedMs: ago(10), lastDecryptedMs: ago(hours) }),
  )
  const never = session({ createdMs: ago(0.5) })
  expect(chooseToPrune([never, ...used], nowMs)).toEqual([never])
  const sixth = session({ createdMs: ago(20), firstDecryptedMs: ago(10), lastDecryptedMs: ago(6) })
  expect(chooseToPrune([sixth, ...used], nowMs)).toEqual([sixth])
})

test('section 7: after a rollback the new session stays, though it has not decrypted yet', () => {
  const closed = [1, 2, 3, 4, 5].map((hours) =>
    session({ firstDecryptedMs: ago(10), lastDecryptedMs: ago(hours), isClosed: true }),
  )
  const fresh = session({ createdMs: ago(0.5) })
  const pruned = chooseToPrune([...closed, fresh], nowMs)
  expect(pruned).toEqual([closed[4]])
})

/** All orders of these. */
const orders = <T>(items: readonly T[]): readonly (readonly T[])[] =>
  items.length < 2
    ? [items]
    : items.flatMap((item, at) =>
        orders([...items.slice(0, at), ...items.slice(at + 1)]).map((rest) => [item, ...rest]),
      )

test('section 7: the choice does not depend on the order in which the sessions lie', () => {
  const silent = [3, 2, 1].map((hours) => session({ createdMs: ago(hours) }))
  for (const all of orders(silent)) expect(chooseSession(all)).toBe(silent[2])
  // The newest of all has decrypted nothing, the oldest did so most recently.
  const oldest = session({ createdMs: ago(9), firstDecryptedMs: ago(8), lastDecryptedMs: ago(1) })
  const middle = session({ createdMs: ago(5), firstDecryptedMs: ago(4), lastDecryptedMs: ago(2) })
  const newest = session({ createdMs: ago(0.5) })
  for (const all of orders([oldest, middle, newest])) expect(chooseSession(all)).toBe(oldest)
})

test('section 7: nor does what is removed', () => {
  const used = [1, 2, 3].map((hours) =>
    session({ createdMs: ago(20), firstDecryptedMs: ago(10), lastDecryptedMs: ago(hours) }),
  )
  // Two that decrypted nothing are newer than all of these, and the older of them goes first.
  const [older, newer] = [0.7, 0.5].map((hours) => session({ createdMs: ago(hours) }))
  const closed = session({ createdMs: ago(0.1), isClosed: true })
  if (!older || !newer) return
  for (const all of orders([...used, older, newer, closed])) {
    expect(chooseToPrune(all, nowMs)).toEqual([older])
  }
})

test('a session has a thousand sends without an answer, and then none', () => {
  const left = [0, 1, 999, 1_000, 1_001, 5_000].map((sentSince) =>
    sendsLeft(session({ sentSince })),
  )
  expect(left).toEqual([1_000, 999, 1, 0, 0, 0])
})

test('a session that was just made has decrypted and sent nothing, and is open', () => {
  const made = { sessionId: new Uint8Array(32).fill(1), state: Uint8Array.of(2) }
  expect(newSession({ id: 'i' as InstallationId, address: 'a' as Address }, made, 7)).toEqual({
    installationId: 'i',
    address: 'a',
    ...made,
    createdMs: 7,
    firstDecryptedMs: 0,
    lastDecryptedMs: 0,
    sentSince: 0,
    isClosed: false,
  })
})
