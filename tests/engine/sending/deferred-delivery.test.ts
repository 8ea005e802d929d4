/** Devices that could not be reached with the others: docs/protocol.md section 8, Out. */

import { expect, test } from 'vitest'
import { PadlockError } from '../../../src/errors.ts'
import type { Network } from '../../../src/network/network.ts'
import type { Store } from '../../../src/store/store.ts'
import { tables } from '../../../src/store/tables.ts'
import {
  anAccount,
  anEngineWorld,
  freshDatabase,
  type Opened,
  until,
  untilState,
} from '../../support/engine.ts'
import { storeWithTransaction } from '../../support/store-with-transaction.ts'

const never = new AbortController().signal
const dayMs = 86_400_000

const untilMessages = async ({ engine }: Opened, id: string, count: number) => {
  const messages: { id: string; content: string | undefined }[] = []
  for (let after = '0'; messages.length < count; ) {
    const page = await engine.nextMessages(after, id, never)
    messages.push(...page.messages.map((one) => ({ id: one.id, content: one.content })))
    after = page.cursor
  }
  return messages
}

const isSent = async ({ engine }: Opened, id: string, content: string): Promise<boolean> =>
  (await engine.history(id, undefined, 50)).some(
    (one) => one.content === content && one.state === 'sent',
  )

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

  // It writes: that session works, so what it is owed can go.
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

test('section 8: what is owed is owed for two weeks, across restarts', async () => {
  const clock = { nowMs: Date.now() }
  const world = await anEngineWorld({ clock: () => BigInt(clock.nowMs) * 1_000_000n })
  const platform = { nowMs: () => clock.nowMs }
  const [alice, bob] = [anAccount(), anAccount()]
  const database = freshDatabase()
  let hidden = ''
  const network = (real: Network): Network => ({
    ...real,
    claimPrekeys: async (claimId, ids, signal) =>
      (await real.claimPrekeys(claimId, ids, signal)).map((claimed) =>
        claimed.installationId === hidden ? { ...claimed, prekey: undefined } : claimed,
      ),
  })
  const first = await world.open({ account: alice, database, network, platform })
  const phone = await world.open({ account: bob, database: freshDatabase(), platform })
  const tablet = await world.open({ account: bob, database: freshDatabase(), platform })
  for (const each of [first, phone, tablet]) await untilState(each, 'live')
  hidden = tablet.engine.installationId
  const { id } = await first.engine.conversation(bob.address)
  await first.engine.send(id, 'old')
  await untilMessages(phone, id, 1)
  await until(() => isSent(first, id, 'old'))
  await first.engine.close()

  clock.nowMs += 13 * dayMs
  const second = await world.open({ account: alice, database, network, platform })
  await untilState(second, 'live')
  await second.engine.send(id, 'newer')
  await untilMessages(phone, id, 2)
  await until(() => isSent(second, id, 'newer'))
  await second.engine.close()

  clock.nowMs += 2 * dayMs
  hidden = ''
  const third = await world.open({ account: alice, database, network, platform })
  await untilState(third, 'live')
  // Fifteen days after the first, two after the second.
  expect((await untilMessages(tablet, id, 1)).map(({ content }) => content)).toEqual(['newer'])
  await third.engine.send(id, 'last')
  expect((await untilMessages(tablet, id, 2)).map(({ content }) => content)).toEqual([
    'newer',
    'last',
  ])
  await third.engine.close()
  const store = await world.openStore(database)
  expect((await store.scan(tables.owed, { after: 0, limit: 10 })).rows).toEqual([])
})

test('section 8: bytes that no node took for two weeks are encrypted anew, under the same id', async () => {
  const clock = { nowMs: Date.now() }
  const world = await anEngineWorld({ clock: () => BigInt(clock.nowMs) * 1_000_000n })
  const platform = { nowMs: () => clock.nowMs }
  const [alice, bob] = [anAccount(), anAccount()]
  const database = freshDatabase()
  const offered: Uint8Array[] = []
  let isDown = true
  const network = (real: Network): Network => ({
    ...real,
    publish: async (envelopes, signal) => {
      const mail = envelopes.filter(({ topic }) => topic.startsWith('message-'))
      offered.push(...mail.map(({ message }) => message))
      if (isDown && mail.length > 0) throw new PadlockError('network_unavailable')
      return real.publish(envelopes, signal)
    },
  })
  const phone = await world.open({ account: bob, database: freshDatabase(), platform })
  const first = await world.open({ account: alice, database, network, platform })
  for (const each of [first, phone]) await untilState(each, 'live')
  const { id } = await first.engine.conversation(bob.address)
  const sent = await first.engine.send(id, 'patience')
  await until(() => offered.length > 0)
  await first.engine.close()
  const [sealedFirst] = offered.splice(0)

  clock.nowMs += 15 * dayMs
  isDown = false
  const second = await world.open({ account: alice, database, network, platform })
  await untilState(second, 'live')
  expect(await untilMessages(phone, id, 1)).toEqual([{ id: sent.id, content: 'patience' }])
  expect(offered).toHaveLength(1)
  expect(offered[0]).not.toEqual(sealedFirst)
})

/** A phone that sends itself a note while the news of its owner's new laptop is held up. */
const aNoteBeforeTheNews = async (store: (real: Store) => Store = (real) => real) => {
  const world = await anEngineWorld()
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
  const phone = await world.open({ account: alice, database, network, store })
  await untilState(phone, 'live')
  const { id } = await phone.engine.conversation(alice.address)
  await phone.engine.send(id, 'alone')
  await until(() => isSent(phone, id, 'alone'))
  withheld = true
  const laptop = await world.open({ account: alice, database: freshDatabase() })
  await Promise.all([untilState(laptop, 'live'), held.promise])
  await phone.engine.send(id, 'for the laptop')
  await until(() => isSent(phone, id, 'for the laptop'))
  return { world, alice, database, phone, laptop, id, release: () => release.resolve() }
}

test('section 8: a note that was sent before the own new device was heard of reaches it', async () => {
  const { laptop, id, release } = await aNoteBeforeTheNews()
  release()
  expect((await untilMessages(laptop, id, 1)).map(({ content }) => content)).toEqual([
    'for the laptop',
  ])
})

test('section 8: what is owed is stored with the news that someone is there: a crash loses neither', async () => {
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
  const { world, alice, database, phone, laptop, id, release } = await aNoteBeforeTheNews(store)
  isArmed = true
  release()
  await crashed.promise
  await phone.engine.close()
  const again = await world.open({ account: alice, database })
  await untilState(again, 'live')
  expect((await untilMessages(laptop, id, 1)).map(({ content }) => content)).toEqual([
    'for the laptop',
  ])
})
