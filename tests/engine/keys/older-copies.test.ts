/** Older copies of databases and of nodes: docs/protocol.md section 10. */

import { expect, onTestFinished, test } from 'vitest'
import { createInProcessNode } from '../../../node/src/testing.ts'
import { PadlockError } from '../../../src/errors.ts'
import { networkOver } from '../../../src/network/connect.ts'
import type { Network } from '../../../src/network/network.ts'
import { copyDatabase } from '../../support/databases.ts'
import {
  anAccount,
  anEngineWorld,
  freshDatabase,
  type Opened,
  untilState,
  untilTexts,
} from '../../support/engine.ts'

const never = new AbortController().signal
const dayMs = 86_400_000

const restoredIn = ({ events }: Opened) => events.filter(({ kind }) => kind === 'restored')

test('section 10: an older copy notices before it sends, repairs itself, and both go on', async () => {
  const clock = { nowMs: Date.UTC(2026, 10, 20) }
  const world = await anEngineWorld({ clock: () => BigInt(clock.nowMs) * 1_000_000n })
  const platform = { nowMs: () => clock.nowMs }
  const [alice, bob] = [anAccount(), anAccount()]
  const [database, copy] = [freshDatabase(), freshDatabase()]
  const atAlice = await world.open({ account: alice, database: freshDatabase(), platform })
  const before = await world.open({ account: bob, database, platform })
  for (const each of [atAlice, before]) await untilState(each, 'live')
  const { id } = await atAlice.engine.conversation(bob.address)
  await atAlice.engine.send(id, 'one')
  await untilTexts(before, id, 1)
  await before.engine.send(id, 'two')
  await untilTexts(atAlice, id, 2)
  await before.engine.close()
  await copyDatabase(database, copy)

  // Life goes on at the original: messages both ways, and after 31 days new keys.
  clock.nowMs += 31 * dayMs
  const later = await world.open({ account: bob, database, platform })
  await untilState(later, 'live')
  await later.engine.send(id, 'three')
  await untilTexts(atAlice, id, 3)
  const bundle = async () =>
    (await atAlice.engine.installations(bob.address)).find(
      (one) => one.id === later.engine.installationId,
    )
  expect(await bundle()).toBeDefined()
  await untilSealingKeys(world, bob.address, 2)
  await atAlice.engine.send(id, 'four, to the newer key')
  await untilTexts(later, id, 4)
  await later.engine.close()

  const sent: string[] = []
  const network = (real: Network): Network => ({
    ...real,
    publish: (envelopes, signal) => {
      for (const { topic } of envelopes) sent.push(topic.split('-')[0] ?? '')
      return real.publish(envelopes, signal)
    },
  })
  const atCopy = await world.open({ account: bob, database: copy, platform, network })
  await atCopy.engine.send(id, 'five, from the copy')
  await untilState(atCopy, 'live')
  expect(restoredIn(atCopy)).toEqual([{ kind: 'restored', unopened: 1 }])
  expect(atCopy.engine.status.warnings.map(({ code }) => code)).toContain('restored')
  // What came before the keys changed is read again; what was sealed to the newer key is lost.
  expect(await untilTexts(atAlice, id, 5)).toEqual([
    'one',
    'two',
    'three',
    'four, to the newer key',
    'five, from the copy',
  ])
  expect(sent.indexOf('message')).toBeGreaterThan(sent.indexOf('prekey'))
  expect(sent.indexOf('message')).toBeGreaterThan(sent.indexOf('contact'))
  await atAlice.engine.send(id, 'six')
  expect((await untilTexts(atCopy, id, 4)).at(-1)).toBe('six')
  // Once is enough.
  await atCopy.engine.close()
  const again = await world.open({ account: bob, database: copy, platform })
  await untilState(again, 'live')
  expect(restoredIn(again)).toEqual([])
})

test('section 10: an ordinary restart, and one in the middle of an upload, is no older copy', async () => {
  const world = await anEngineWorld()
  const bob = anAccount()
  const database = freshDatabase()
  for (let n = 0; n < 3; n += 1) {
    const atBob = await world.open({ account: bob, database })
    await untilState(atBob, 'live')
    expect(restoredIn(atBob)).toEqual([])
    await atBob.engine.close()
  }
})

test('section 10: a node that claims an upload from the future does not make a client repair itself', async () => {
  const world = await anEngineWorld()
  const lying = (real: Network): Network => ({
    ...real,
    async *subscribe(...args) {
      for await (const frame of real.subscribe(...args)) {
        if (frame.kind !== 'prekey_stock') yield frame
        else yield { ...frame, newestCreatedNs: frame.newestCreatedNs + 10n ** 18n }
      }
    },
  })
  const atBob = await world.open({
    account: anAccount(),
    database: freshDatabase(),
    network: lying,
  })
  await untilState(atBob, 'live')
  expect(restoredIn(atBob)).toEqual([])
})

const untilSealingKeys = async (
  world: Awaited<ReturnType<typeof anEngineWorld>>,
  address: string,
  count: number,
) => {
  const topic = `contact-${address.toLowerCase()}`
  for (;;) {
    const { envelopes } = await world.network.query([{ topic, afterSequence: 0n }])
    if (envelopes.length >= count) return
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

test('section 10: a node that lost its data hears of revocations again before the devices that it knows nothing of', async () => {
  const world = await anEngineWorld()
  const other = createInProcessNode()
  onTestFinished(() => other.close())
  const [alice, bob] = [anAccount(), anAccount()]
  const database = freshDatabase()
  const laptop = await world.open({ account: alice, database })
  const phone = await world.open({ account: alice, database: freshDatabase() })
  for (const each of [laptop, phone]) await untilState(each, 'live')
  await laptop.engine.revoke([phone.engine.installationId], never)
  await laptop.engine.close()
  const lost = networkOver(other.transport)
  const again = await world.open({ account: alice, database, network: () => lost })
  await untilState(again, 'live')
  const atBob = await world.open({
    account: bob,
    database: freshDatabase(),
    network: () => lost,
  })
  await untilState(atBob, 'live')
  const seen = await atBob.engine.installations(alice.address)
  expect(seen.map(({ id, state }) => [id, state])).toEqual([
    [laptop.engine.installationId, 'valid'],
  ])
  const topic = `revoked-${alice.address.toLowerCase()}`
  expect((await lost.query([{ topic, afterSequence: 0n }])).envelopes).toHaveLength(1)
  // The revoked device does not get in there either, though the node never saw its grant.
  const bundles = await world.network.query([
    { topic: `contact-${alice.address.toLowerCase()}`, afterSequence: 0n },
  ])
  const old = bundles.envelopes[1]
  if (!old) throw new Error('no bundle')
  await expect(lost.publish([{ topic: old.topic, message: old.message }])).rejects.toMatchObject({
    code: 'revoked',
  })
})

test('section 10: a repair whose news did not get through is not made twice', async () => {
  const clock = { nowMs: Date.UTC(2026, 10, 20) }
  const world = await anEngineWorld({ clock: () => BigInt(clock.nowMs) * 1_000_000n })
  const platform = { nowMs: () => clock.nowMs }
  const bob = anAccount()
  const [database, copy] = [freshDatabase(), freshDatabase()]
  const before = await world.open({ account: bob, database, platform })
  await untilState(before, 'live')
  await before.engine.close()
  await copyDatabase(database, copy)
  clock.nowMs += 31 * dayMs
  const later = await world.open({ account: bob, database, platform })
  await untilState(later, 'live')
  await untilSealingKeys(world, bob.address, 2)
  await later.engine.close()

  let refusals = 2
  const network = (real: Network): Network => ({
    ...real,
    publish: async (envelopes, signal) => {
      const isBundle = envelopes.some(({ topic }) => topic.startsWith('contact-'))
      if (isBundle && refusals > 0) {
        refusals -= 1
        throw new PadlockError('unavailable')
      }
      return real.publish(envelopes, signal)
    },
  })
  const atCopy = await world.open({ account: bob, database: copy, platform, network })
  await untilState(atCopy, 'live')
  await atCopy.engine.close()
  const again = await world.open({ account: bob, database: copy, platform, network })
  await untilState(again, 'live')
  await untilSealingKeys(world, bob.address, 3)
  expect(restoredIn(atCopy)).toHaveLength(1)
  expect(restoredIn(again)).toEqual([])
})
