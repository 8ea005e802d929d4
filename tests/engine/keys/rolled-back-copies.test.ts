/** Profiles that were put back: docs/protocol.md sections 10 and 12. */

import { expect, onTestFinished, test } from 'vitest'
import { createInProcessNode } from '../../../node/src/testing.ts'
import { deferred } from '../../../src/async.ts'
import { PadlockError } from '../../../src/errors.ts'
import { networkOver } from '../../../src/network/connect.ts'
import type { Network } from '../../../src/network/network.ts'
import { dayMs } from '../../../src/protocol/limits.ts'
import type { Rows, Store } from '../../../src/store/store.ts'
import { put, tables } from '../../../src/store/tables.ts'
import { addressOf } from '../../support/checked.ts'
import { copyDatabase } from '../../support/databases.ts'
import {
  anAccount,
  anEngineWorld,
  countOf,
  freshDatabase,
  never,
  type Opened,
  until,
  untilState,
  untilTexts,
} from '../../support/engine.ts'
import { storeWithTransaction } from '../../support/store-with-transaction.ts'
import { aTurnedWorld } from '../../support/turned-world.ts'

const restoredIn = ({ events }: Opened) => events.filter(({ kind }) => kind === 'restored')

/** Alice and bob have written to each other; then bob's device was closed and copied. */
const aCopied = async () => {
  const { clocks, world } = await aTurnedWorld()
  const { platform } = clocks
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
  return { clocks, world, platform, alice, bob, database, copy, atAlice, id }
}

test('section 10: an older copy notices before it sends, repairs itself, and both go on', async () => {
  const { clocks, world, platform, bob, database, copy, atAlice, id } = await aCopied()

  // Life goes on at the original: messages both ways, and after 31 days new keys.
  clocks.turn(31 * dayMs)
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

test('section 10: an older copy answers no request that waited in it before it has noticed', async () => {
  const { clocks, world, platform, alice, bob, database, copy, atAlice } = await aCopied()
  const inCopy = await world.openStore(copy)
  const [session] = await inCopy.all(tables.sessions)
  const sent = await inCopy.scan(tables.sent, { after: 0, limit: 10 })
  const asked = sent.rows.flatMap(({ value }) => value.envelopes)
  const request = {
    installationId: atAlice.engine.installationId,
    address: alice.address.toLowerCase(),
    sessionId: session?.value.sessionId ?? new Uint8Array(),
    digests: asked.map(({ digest }) => digest),
  }
  expect(request.digests).toHaveLength(1)
  await inCopy.transaction([], () => ({
    writes: [put(tables.requests, 'requests', { requests: [request] })],
    result: undefined,
  }))
  await inCopy.close()

  // Newer keys at the original, so that the copy can notice.
  clocks.turn(31 * dayMs)
  const later = await world.open({ account: bob, database, platform })
  await untilState(later, 'live')
  await untilSealingKeys(world, bob.address, 2)
  await later.engine.close()
  // The request is old by now; what it asks for was sent again since.
  const again = await world.openStore(copy)
  await again.transaction([], () => ({
    writes: sent.rows.map(({ number, value }) =>
      put(tables.sent, number, { ...value, sentMs: BigInt(clocks.nowMs) }),
    ),
    result: undefined,
  }))
  await again.close()

  const handled = deferred()
  const store = (real: Store): Store =>
    storeWithTransaction(real, async (reads, step, durability) => {
      let isHandled = false
      const noting = (rows: Rows) => {
        const made = step(rows)
        isHandled = made.writes.some(({ key, kind }) => key === 'requests' && kind === 'delete')
        return made
      }
      const result = await real.transaction(reads, noting, durability)
      if (isHandled) handled.resolve()
      return result
    })
  const atCopy = await world.open({ account: bob, database: copy, platform, store })
  await untilState(atCopy, 'live')
  expect(restoredIn(atCopy)).toHaveLength(1)
  // The session that it came on is closed since.
  await handled.promise
  expect(atCopy.events.filter(({ kind }) => kind === 'retransmitted')).toEqual([])
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

test('section 10: a repair whose news did not get through is not made twice', async () => {
  const { clocks, world } = await aTurnedWorld()
  const { platform } = clocks
  const bob = anAccount()
  const [database, copy] = [freshDatabase(), freshDatabase()]
  const before = await world.open({ account: bob, database, platform })
  await untilState(before, 'live')
  await before.engine.close()
  await copyDatabase(database, copy)
  clocks.turn(31 * dayMs)
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

test('section 10: an older copy that meets a node without its data, where the newer one was first, repairs itself and goes on', async () => {
  const { world, clocks } = await aTurnedWorld()
  const { platform } = clocks
  const [alice, bob] = [anAccount(), anAccount()]
  const [database, copy] = [freshDatabase(), freshDatabase()]
  const first = await world.open({ account: bob, database, platform })
  await untilState(first, 'live')
  await first.engine.close()
  await copyDatabase(database, copy)

  clocks.turn(30 * dayMs)
  const newer = await world.open({ account: bob, database, platform })
  await untilState(newer, 'live')
  const contact = { topic: `contact-${addressOf(bob)}`, afterSequence: 0n }
  const bundles = async () => (await world.network.query([contact])).envelopes.length
  await until(async () => (await bundles()) === 2)
  await newer.engine.close()

  // The node lost its data, and the newer one came back to it first.
  const other = createInProcessNode({ clock: () => BigInt(clocks.nodeMs) * 1_000_000n })
  onTestFinished(() => other.close())
  const network = () => networkOver(other.transport)
  const moved = await world.open({ account: bob, database, platform, network })
  await untilState(moved, 'live')
  await moved.engine.close()
  clocks.turn(1_000)
  const older = await world.open({ account: bob, database: copy, platform, network })
  await untilState(older, 'live')
  expect(older.events.filter(({ kind }) => kind === 'restored')).toHaveLength(1)
  const atAlice = await world.open({ account: alice, database: freshDatabase(), platform, network })
  await untilState(atAlice, 'live')
  const { id } = await atAlice.engine.conversation(bob.address)
  await atAlice.engine.send(id, 'which of you is it?')
  expect(await untilTexts(older, id, 1)).toEqual(['which of you is it?'])
  for (const { engine } of [older, atAlice]) await engine.close()
})

test('section 12: a copy that is newer than the last replaced key goes unnoticed, shows nobody anything false, and goes on after an answer', async () => {
  const world = await anEngineWorld()
  const [alice, bob] = [anAccount(), anAccount()]
  const [database, copy] = [freshDatabase(), freshDatabase()]
  const first = await world.open({ account: alice, database })
  const atBob = await world.open({ account: bob, database: freshDatabase() })
  for (const each of [first, atBob]) await untilState(each, 'live')
  const { id } = await first.engine.conversation(bob.address)
  const sendsAs = async ({ engine }: typeof first, text: string) => {
    const sent = await engine.send(id, text)
    await engine.whenSent(sent.id, never)
  }
  await sendsAs(first, 'one')
  await untilTexts(atBob, id, 1)
  await sendsAs(atBob, 'two')
  await untilTexts(first, id, 2)
  // A chain of messages has begun, so the next key follows from what is copied.
  await sendsAs(first, 'and on')
  await untilTexts(atBob, id, 3)
  await first.engine.close()
  await copyDatabase(database, copy)

  const newer = await world.open({ account: alice, database })
  await sendsAs(newer, 'three')
  await untilTexts(atBob, id, 4)
  await newer.engine.close()

  // The copy does not know of the third message, and encrypts under the key of it once more.
  const older = await world.open({ account: alice, database: copy })
  await untilState(older, 'live')
  await sendsAs(older, 'not three')
  await until(() => countOf(atBob, 'message_key_gone') === 1)
  expect(older.events.filter(({ kind }) => kind === 'restored')).toEqual([])
  const texts = async () =>
    (await atBob.engine.history(id, undefined, 10)).map(({ content }) => content).reverse()
  expect(await texts()).toEqual(['one', 'two', 'and on', 'three'])

  await sendsAs(atBob, 'four')
  await untilTexts(older, id, 5)
  await sendsAs(older, 'five')
  await untilTexts(atBob, id, 6)
  expect(await texts()).toEqual(['one', 'two', 'and on', 'three', 'four', 'five'])
})
