/** Devices that could not be reached with the others: docs/protocol.md section 8, Out. */

import { expect, test } from 'vitest'
import { PadlockError } from '../../../src/errors.ts'
import type { Network } from '../../../src/network/network.ts'
import type { Store } from '../../../src/store/store.ts'
import {
  anAccount,
  anEngineWorld,
  freshDatabase,
  isSent,
  never,
  type Opened,
  until,
  untilState,
} from '../../support/engine.ts'
import { storeWithTransaction } from '../../support/store-with-transaction.ts'
import { aTurnedWorld } from '../../support/turned-world.ts'

const untilMessages = async ({ engine }: Opened, id: string, count: number) => {
  const messages: { id: string; content: string | undefined }[] = []
  for (let after = '0'; messages.length < count; ) {
    const page = await engine.nextMessages(after, id, never)
    messages.push(...page.messages.map((one) => ({ id: one.id, content: one.content })))
    after = page.cursor
  }
  return messages
}

test('section 8: a device without usable prekeys is passed over, and gets it when it is heard of', async () => {
  const world = await anEngineWorld()
  const [alice, bob] = [anAccount(), anAccount()]
  const hidden = new Set<string>()
  const network = (real: Network): Network => ({
    ...real,
    claimPrekeys: async (claimId, ids, signal) =>
      (await real.claimPrekeys(claimId, ids, signal)).map((claimed) =>
        hidden.has(claimed.installationId) ? { ...claimed, prekey: undefined } : claimed,
      ),
  })
  const atAlice = await world.open({ account: alice, database: freshDatabase(), network })
  const phone = await world.open({ account: bob, database: freshDatabase() })
  const tablet = await world.open({ account: bob, database: freshDatabase() })
  for (const each of [atAlice, phone, tablet]) await untilState(each, 'live')
  hidden.add(tablet.engine.installationId)
  const { id } = await atAlice.engine.conversation(bob.address)
  for (const text of ['one', 'two']) await atAlice.engine.send(id, text)
  const got = await untilMessages(phone, id, 2)
  await until(() => isSent(atAlice, id, 'two'))
  const inbox = `message-${tablet.engine.installationId}`
  const page = async () =>
    world.node.store.page([{ topic: inbox, afterSequence: 0n }], { envelopes: 9, bytes: 1e9 })
  expect((await page()).envelopes).toHaveLength(0)

  // It writes: that session works, so the deferred messages can go.
  hidden.clear()
  await tablet.engine.send(id, 'from the tablet')
  const all = await untilMessages(tablet, id, 3)
  expect(all.filter(({ content }) => content !== 'from the tablet')).toEqual(got)
  await atAlice.engine.send(id, 'three')
  expect((await untilMessages(tablet, id, 4)).map(({ content }) => content).sort()).toEqual([
    'from the tablet',
    'one',
    'three',
    'two',
  ])
})

test('section 8: a device that came while the message lay sealed here gets it too; a later one does not', async () => {
  const world = await anEngineWorld()
  const [alice, bob] = [anAccount(), anAccount()]
  let isDown = false
  const network = (real: Network): Network => ({
    ...real,
    publish: async (envelopes, signal) => {
      if (isDown) throw new PadlockError('network_unavailable')
      return real.publish(envelopes, signal)
    },
  })
  const atAlice = await world.open({ account: alice, database: freshDatabase(), network })
  const phone = await world.open({ account: bob, database: freshDatabase() })
  for (const each of [atAlice, phone]) await untilState(each, 'live')
  const { id } = await atAlice.engine.conversation(bob.address)
  await atAlice.engine.send(id, 'hello')
  await untilMessages(phone, id, 1)
  isDown = true
  const failures = () =>
    atAlice.engine.status.warnings.find(({ code }) => code === 'network_unavailable')?.count ?? 0
  await atAlice.engine.send(id, 'sealed for the phone')
  await until(() => failures() > 0)
  const tablet = await world.open({ account: bob, database: freshDatabase() })
  await untilState(tablet, 'live')
  isDown = false
  expect((await untilMessages(tablet, id, 1)).map(({ content }) => content)).toEqual([
    'sealed for the phone',
  ])
  const late = await world.open({ account: bob, database: freshDatabase() })
  await untilState(late, 'live')
  await atAlice.engine.send(id, 'for all')
  expect((await untilMessages(late, id, 1)).map(({ content }) => content)).toEqual(['for all'])
  expect((await untilMessages(tablet, id, 2)).map(({ content }) => content)).toEqual([
    'sealed for the phone',
    'for all',
  ])
})

/** A phone that sends itself a note while the news of its owner's new laptop is held up. */
const aNoteBeforeTheNews = async (store: (real: Store) => Store = (real) => real) => {
  const { clocks, world } = await aTurnedWorld()
  const { platform } = clocks
  const [alice, database] = [anAccount(), freshDatabase()]
  let withheld = false
  const [held, release] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  const network = (real: Network): Network => ({
    ...real,
    async *subscribe(...args) {
      for await (const frame of real.subscribe(...args)) {
        if (withheld && frame.kind === 'envelopes') {
          held.resolve()
          await release.promise
        }
        yield frame
      }
    },
  })
  const phone = await world.open({ account: alice, database, network, store, platform })
  await untilState(phone, 'live')
  const { id } = await phone.engine.conversation(alice.address)
  await phone.engine.send(id, 'alone')
  await until(() => isSent(phone, id, 'alone'))
  withheld = true
  const laptop = await world.open({ account: alice, database: freshDatabase() })
  await Promise.all([untilState(laptop, 'live'), held.promise])
  // The laptop was there first.
  clocks.turn(1)
  await phone.engine.send(id, 'for the laptop')
  await until(() => isSent(phone, id, 'for the laptop'))
  return { world, platform, alice, database, phone, laptop, id, release: () => release.resolve() }
}

test('section 8: a note that was sent before we heard of our own new device reaches it', async () => {
  const { laptop, id, release } = await aNoteBeforeTheNews()
  release()
  expect((await untilMessages(laptop, id, 1)).map(({ content }) => content)).toEqual([
    'for the laptop',
  ])
})

test('section 8: deferred messages are stored with the news that a device is there: a crash loses neither', async () => {
  const crashed = Promise.withResolvers<void>()
  let isArmed = false
  let isDead = false
  const store = (real: Store): Store =>
    storeWithTransaction(real, async (reads, step, durability) => {
      if (isDead) throw new PadlockError('storage_failed')
      let isNews = false
      const result = await real.transaction(
        reads,
        (rows) => {
          const made = step(rows)
          isNews = made.writes.some(({ table }) => table.store === 'installations')
          return made
        },
        durability,
      )
      if (!isNews || !isArmed) return result
      // As if the tab were killed right after the transaction.
      isDead = true
      crashed.resolve()
      throw new PadlockError('storage_failed')
    })
  const { world, platform, alice, database, phone, laptop, id, release } =
    await aNoteBeforeTheNews(store)
  isArmed = true
  release()
  await crashed.promise
  await phone.engine.close()
  const again = await world.open({ account: alice, database, platform })
  await untilState(again, 'live')
  expect((await untilMessages(laptop, id, 1)).map(({ content }) => content)).toEqual([
    'for the laptop',
  ])
})
