/** Claiming prekeys: docs/protocol.md sections 5, 6 and 8, Out. */

import { expect, test } from 'vitest'
import { commit } from '../../../src/engine/runtime/change.ts'
import { PadlockError } from '../../../src/errors.ts'
import type { ClaimedKey } from '../../../src/network/network.ts'
import { encodeHex } from '../../../src/protocol/bytes.ts'
import { hourMs, minuteMs } from '../../../src/protocol/limits.ts'
import { tables } from '../../../src/store/tables.ts'
import {
  anAccount,
  type EngineWorld,
  freshDatabase,
  type Opened,
  until,
  untilState,
  untilTexts,
} from '../../support/engine.ts'
import { aClaimedKey, aDevice, sendingParts } from '../../support/engine-context.ts'
import { aFanout } from '../../support/fanout-part.ts'
import { aLine, aTurnedWorld } from '../../support/turned-world.ts'

test('a claim is saved before it is asked, and one whose answer was lost is asked with the same id for nine minutes', async () => {
  const { fanout, node, claims, recipients, store, turn } = await aFanout(3)
  node.isDown = true
  await expect(fanout.prepare(recipients)).rejects.toThrow('down')
  const saved = (await store.get(tables.claim, 'claim'))?.value
  expect(claims.map(({ id }) => id)).toEqual([encodeHex(saved?.claimId ?? new Uint8Array())])
  expect(saved?.installationIds).toEqual(recipients.map(({ id }) => id))
  // The same ones or fewer of them: the node remembers that answer.
  turn(9 * minuteMs - 1)
  await expect(fanout.prepare(recipients.slice(1))).rejects.toThrow('down')
  expect(new Set(claims.map(({ id }) => id)).size).toBe(1)
  turn(1)
  await expect(fanout.prepare(recipients)).rejects.toThrow('down')
  expect(claims[2]?.id).not.toBe(claims[0]?.id)
  expect(claims[0]?.id).toHaveLength(32)
})

test('a claim of a clock that was set back since is asked with a new id: the node has forgotten it', async () => {
  const { fanout, node, claims, recipients, clock } = await aFanout(1)
  node.isDown = true
  await expect(fanout.prepare(recipients)).rejects.toThrow('down')
  clock.nowMs -= hourMs
  await expect(fanout.prepare(recipients)).rejects.toThrow('down')
  expect(claims).toHaveLength(2)
  expect(claims[1]?.id).not.toBe(claims[0]?.id)
})

test('section 5: one claim id stands for all requests of more than 200 installations, so that none burns a second key', async () => {
  const { fanout, node, claims, recipients, store } = await aFanout(201)
  node.isDown = true
  await expect(fanout.prepare(recipients)).rejects.toThrow('down')
  const saved = (await store.get(tables.claim, 'claim'))?.value
  expect(saved?.installationIds).toHaveLength(201)
  node.isDown = false
  claims.length = 0
  await fanout.prepare(recipients)
  const id = encodeHex(saved?.claimId ?? new Uint8Array())
  expect(claims.map((claim) => claim.id)).toEqual([id, id])
})

test('a claim for one more installation has a new id', async () => {
  const { fanout, node, claims, recipients } = await aFanout(3)
  node.isDown = true
  await expect(fanout.prepare(recipients.slice(0, 2))).rejects.toThrow('down')
  await expect(fanout.prepare(recipients)).rejects.toThrow('down')
  expect(new Set(claims.map(({ id }) => id)).size).toBe(2)
})

test('a claim is forgotten with the sessions made from it, and not before', async () => {
  const all = await aFanout()
  const { fanout, recipients, store, claims } = all
  const fresh = await fanout.prepare(recipients)
  expect(await store.get(tables.claim, 'claim')).toBeDefined()
  // Not taken up: asked for again, the node gives the same keys.
  await fanout.prepare(recipients)
  expect(new Set(claims.map(({ id }) => id)).size).toBe(1)
  const sealed = fanout.seal([all.message()], fresh)
  if (!sealed) throw new Error('not sealed')
  await commit(store, sealed.change)
  expect(await store.get(tables.claim, 'claim')).toBeUndefined()
  // On a session that is there nothing was claimed, so nothing is forgotten.
  const again = fanout.seal([all.message()], new Map())
  expect(again?.change.writes.map(({ kind, table }) => [kind, table.store])).toEqual([
    ['put', 'sessions'],
  ])
  // Nor is that key asked for again: the next session has a claim of its own.
  await all.save(all.parts.sessions.of(all.first.id).map((one) => ({ ...one, isClosed: true })))
  expect((await fanout.prepare(recipients)).size).toBe(1)
  expect(new Set(claims.map(({ id }) => id)).size).toBe(2)
})

test('a new session beside others has its own claim, which forgets no other', async () => {
  const { fanout, node, recipients, claims, store, first } = await aFanout(2)
  node.isDown = true
  await expect(fanout.prepare(recipients)).rejects.toThrow('down')
  node.isDown = false
  expect(await fanout.prepareNew(first)).toBeDefined()
  expect(claims[1]?.id).not.toBe(claims[0]?.id)
  const saved = (await store.get(tables.claim, 'claim'))?.value
  expect(encodeHex(saved?.claimId ?? new Uint8Array())).toBe(claims[0]?.id)
})

test('section 5: the claim for a new session is asked again with its id until the session is saved, and never after', async () => {
  const { fanout, node, claims, first, store } = await aFanout()
  node.isDown = true
  await expect(fanout.prepareNew(first)).rejects.toThrow('down')
  node.isDown = false
  expect(await fanout.prepareNew(first)).toBeDefined()
  expect(claims[1]?.id).toBe(claims[0]?.id)
  await commit(store, fanout.claimOfOneUsed())
  expect(await fanout.prepareNew(first)).toBeDefined()
  expect(claims[2]?.id).not.toBe(claims[0]?.id)
})

test('section 11: at most 200 installations are named in a claim', async () => {
  const { fanout, recipients, claims } = await aFanout(401)
  const fresh = await fanout.prepare(recipients)
  expect(claims.map(({ ids }) => ids.length)).toEqual([200, 200, 1])
  expect(new Set(claims.flatMap(({ ids }) => ids)).size).toBe(401)
  expect(fresh.size).toBe(401)
})

test('no prekey is claimed of an installation that has a session to send on', async () => {
  const all = await aFanout(2)
  const { fanout, recipients, claims, first } = all
  const fresh = await fanout.prepare([first])
  await all.save([...fresh.values()])
  claims.length = 0
  await fanout.prepare(recipients)
  expect(claims.map(({ ids }) => ids)).toEqual([[recipients[1]?.id]])
})

test.each([
  [
    'a prekey that somebody else signed',
    (claimed: ClaimedKey): ClaimedKey => ({
      ...aClaimedKey(aDevice()),
      installationId: claimed.installationId,
    }),
  ],
  ['no prekey', (claimed: ClaimedKey): ClaimedKey => ({ ...claimed, prekey: undefined })],
  [
    'a prekey for an identity key of small order',
    // The signature is the installation’s own: it may be the one that cheats.
    (claimed: ClaimedKey): ClaimedKey => claimed,
  ],
])(
  'section 6: %s makes no session, and nothing is claimed there again for an hour',
  async (what, change) => {
    const all = await aFanout(2)
    const { fanout, node, recipients, first, claims, turn } = all
    const [, second] = recipients
    if (!second) return
    node.change = (claimed) => (claimed.installationId === first.id ? change(claimed) : claimed)
    const mine =
      what === 'a prekey for an identity key of small order'
        ? { ...first, keys: { ...first.keys, curve25519: new Uint8Array(32) } }
        : first
    const fresh = await fanout.prepare([mine, second])
    expect([...fresh.keys()]).toEqual([second.id])
    expect(fanout.reachable([mine, second], fresh)).toEqual([second])
    // Who cheats with signatures is told of, once.
    const told = all.context.status.current.warnings.filter(({ code }) => code === 'bad_signature')
    expect(told.map(({ count }) => count)).toEqual(what.includes('signed') ? [1] : [])
    node.change = (claimed) => claimed
    await all.save([...fresh.values()])
    turn(hourMs - 1)
    expect((await fanout.prepare([first, second])).size).toBe(0)
    expect(claims).toHaveLength(1)
    turn(1)
    expect((await fanout.prepare([first, second])).size).toBe(1)
    expect(claims).toHaveLength(2)
  },
)

test('section 8: at most one claim an hour, but an installation that is heard of gets it on the session that came', async () => {
  const { fanout, node, first, claims, save } = await aFanout()
  // Stands for the one that they make.
  const theirs = await fanout.prepare([first])
  claims.length = 0
  node.change = (claimed) => ({ ...claimed, prekey: undefined })
  await fanout.prepare([first])
  node.change = (claimed) => claimed
  await fanout.prepare([first])
  expect(claims).toHaveLength(1)
  fanout.markReachable(first)
  expect((await fanout.prepare([first])).size).toBe(0)
  expect(await fanout.prepareNew(first)).toBeUndefined()
  expect(claims).toHaveLength(1)
  const [session] = [...theirs.values()]
  if (!session) throw new Error('no session')
  expect(fanout.reachable([first], new Map())).toEqual([])
  await save([session])
  expect(fanout.reachable([first], new Map())).toEqual([first])
})

test('after a restart no prekey is claimed of an installation that has a session in the store, and no session is lost', async () => {
  const all = await aFanout()
  const { context, first, claims, recipients } = all
  const made = await all.fanout.prepareNew(first)
  if (!made) throw new Error('no session')
  await all.save([made])
  claims.length = 0
  const again = sendingParts(context)
  expect((await again.fanout.prepare(recipients)).size).toBe(0)
  expect(claims).toEqual([])
  expect(again.fanout.reachable(recipients, new Map())).toEqual(recipients)
  // A new session beside it does not push it out of memory either.
  const later = sendingParts(context)
  const second = await later.fanout.prepareNew(first)
  if (!second) throw new Error('no session')
  await commit(all.store, later.sessions.statesChange([second]))
  expect(later.sessions.of(first.id)).toHaveLength(2)
})

const stockOf = (world: EngineWorld, { engine }: Opened) =>
  world.node.store.stock(engine.installationId)

test('section 5: the id of a claim is kept before asking, and one whose answer was lost burns no second key', async () => {
  const { world, clocks } = await aTurnedWorld()
  const { platform } = clocks
  const [alice, bob] = [anAccount(), anAccount()]
  const database = freshDatabase()
  const atBob = await world.open({ account: bob, database: freshDatabase(), platform })
  await untilState(atBob, 'live')
  const line = aLine()
  let answers = 0
  line.serve = (keys) => {
    answers += 1
    if (answers <= 2) throw new PadlockError('network_unavailable')
    return keys
  }
  const { network } = line
  const first = await world.open({ account: alice, database, platform, network })
  await untilState(first, 'live')
  const { id } = await first.engine.conversation(bob.address)
  await first.engine.send(id, 'hello')
  await until(() => line.claimed.length >= 1)
  await first.engine.close()
  const second = await world.open({ account: alice, database, platform, network })
  await untilState(second, 'live')
  // A message rests by the clock after its claim failed.
  await until(() => {
    clocks.turn(1_000)
    return answers >= 3
  })
  expect(await untilTexts(atBob, id, 1)).toEqual(['hello'])
  expect(line.claimed.length).toBeGreaterThanOrEqual(3)
  const [{ claimId } = { claimId: new Uint8Array() }, ...others] = line.claimed
  expect(claimId).toHaveLength(16)
  for (const other of others) expect(other.claimId).toEqual(claimId)
  expect((await stockOf(world, atBob)).oneTimeLeft).toBe(49)
})
