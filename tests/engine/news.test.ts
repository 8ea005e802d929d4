/** News that must not be missed: stored where they were made, and read by whoever listens later. */

import { expect, test } from 'vitest'
import { commit } from '../../src/engine/runtime/change.ts'
import { forgetOldNews, newsChange, readNews } from '../../src/engine/runtime/news.ts'
import { tables } from '../../src/store/tables.ts'
import { anAccount, anEngineWorld, freshDatabase, until, untilState } from '../support/engine.ts'
import { aPartWorld } from '../support/engine-context.ts'

test('a device that was added while nobody looked is told later, to everyone, and once to a reader', async () => {
  const world = await anEngineWorld()
  const account = anAccount()
  const database = freshDatabase()
  const phone = await world.open({ account, database })
  await untilState(phone, 'live')
  // Its own registration is no news to it.
  expect(await phone.engine.news('0', 100)).toEqual([])
  await phone.engine.close()
  const thief = await world.open({ account, database: freshDatabase() })
  await untilState(thief, 'live')
  const again = await world.open({ account, database })
  await until(async () => (await again.engine.news('0', 100)).length === 1)
  const [news] = await again.engine.news('0', 100)
  expect(news?.event).toMatchObject({
    kind: 'installation-added',
    installation: { id: thief.engine.installationId, isThis: false, state: 'valid' },
  })
  const [told] = again.events.filter(({ kind }) => kind === 'installation-added')
  expect(told).toEqual(news?.event)
  expect(await again.engine.news(news?.cursor ?? '', 100)).toEqual([])
  await again.engine.close()
  const once = await world.open({ account, database })
  expect(await once.engine.news('0', 100)).toEqual([news])
  await once.engine.revoke([thief.engine.installationId], new AbortController().signal)
  expect(await once.engine.news(news?.cursor ?? '', 100)).toMatchObject([
    { event: { kind: 'installation-revoked', installation: { id: thief.engine.installationId } } },
  ])
})

test('a peer’s devices are no news of this account', async () => {
  const world = await anEngineWorld()
  const [alice, bob] = [anAccount(), anAccount()]
  const atAlice = await world.open({ account: alice, database: freshDatabase() })
  const phone = await world.open({ account: bob, database: freshDatabase() })
  for (const each of [atAlice, phone]) await untilState(each, 'live')
  const { id } = await atAlice.engine.conversation(bob.address)
  await atAlice.engine.send(id, 'gm')
  const tablet = await world.open({ account: bob, database: freshDatabase() })
  await until(() =>
    atAlice.events.some(
      (event) =>
        event.kind === 'installation-added' &&
        event.installation.id === tablet.engine.installationId,
    ),
  )
  expect(await atAlice.engine.news('0', 100)).toEqual([])
})

test('a cursor that is none, and a limit that is none, are refused', async () => {
  const world = await anEngineWorld()
  const { engine } = await world.open({ account: anAccount(), database: freshDatabase() })
  for (const since of ['', '-1', 'x', '1.5']) {
    expect(() => engine.news(since, 1)).toThrow(
      expect.objectContaining({ code: 'invalid_argument' }),
    )
  }
  for (const limit of [0, 1.5, Number.NaN]) {
    expect(() => engine.news('0', limit)).toThrow(
      expect.objectContaining({ code: 'invalid_argument' }),
    )
  }
})

const installation = {
  id: 'i'.repeat(43),
  address: '0xd8dA6BF26964aF9D7eEd9e03E53415D37aA96045',
  isThis: false,
  createdAtMs: 1_700_000_000_000,
  keys: { curve25519: 'c', ed25519: 'e' },
  state: 'pending',
} as const

test('every kind of news is read as it was told', async () => {
  const { context, store, clock } = await aPartWorld()
  const events = [
    { kind: 'restored', unopened: 3 },
    {
      kind: 'node-accused',
      code: 'node_equivocating',
      account: installation.address,
      claimant: installation,
    },
    { kind: 'installation-revoked', installation: { ...installation, state: 'revoked' } },
    { kind: 'installation-added', installation },
  ] as const
  await commit(store, newsChange(context, events))
  const news = await readNews(context, 'another', 0, 100)
  expect(news.map(({ event }) => event)).toEqual(events)
  expect(news.every(({ atMs }) => atMs === clock.nowMs)).toBe(true)
  const own = await readNews(context, installation.id, 3, 100)
  expect(own).toMatchObject([{ event: { installation: { isThis: true } } }])
  expect(await readNews(context, 'another', 0, 2)).toEqual(news.slice(0, 2))
})

test('the newest thousand news are kept, also those of other openings of the database', async () => {
  const database = freshDatabase()
  const tell = async (count: number) => {
    const { context, store } = await aPartWorld({ database })
    const events = Array.from({ length: count }, (_, unopened) => ({
      kind: 'restored' as const,
      unopened,
    }))
    await commit(store, newsChange(context, events))
    await forgetOldNews(context)
    return (await store.scan(tables.news, { after: 0, limit: 2_000 })).rows.map(
      ({ value }) => value.unopened,
    )
  }
  expect(await tell(999)).toHaveLength(999)
  const kept = await tell(4)
  expect(kept).toHaveLength(1_000)
  expect([kept[0], ...kept.slice(-4)]).toEqual([3, 0, 1, 2, 3])
})
