/** What is looked after now and then: docs/protocol.md sections 2, 6 and 7; one part alone. */

import { expect, test, vi } from 'vitest'
import { Maintenance } from '../../src/engine/maintenance.ts'
import { Seen } from '../../src/engine/receiving/seen.ts'
import { SetAside } from '../../src/engine/receiving/set-aside.ts'
import { commit } from '../../src/engine/runtime/change.ts'
import { newsChange, readNews } from '../../src/engine/runtime/news.ts'
import { hourMs } from '../../src/protocol/limits.ts'
import { put, tables } from '../../src/store/tables.ts'
import { until } from '../support/engine.ts'
import { sendingParts } from '../support/engine-context.ts'
import { aHolder, down } from '../support/key-holder.ts'

test('maintenance runs at each connect and once an hour, each task for itself', async () => {
  const all = await aHolder()
  const { context, sealingKeys, prekeys } = all
  const parts = sendingParts(context)
  const seen = new Seen(context)
  const setAside = new SetAside(context, parts.consents)
  const spies = [
    vi.spyOn(sealingKeys, 'rotateIfDue').mockRejectedValue(down()),
    vi.spyOn(prekeys, 'rotateIfDue').mockRejectedValue(new Error('what')),
    vi.spyOn(parts.sessions, 'prune').mockResolvedValue(),
    vi.spyOn(seen, 'forgetOld').mockResolvedValue(),
    vi.spyOn(seen, 'mergeSome').mockResolvedValue(false),
    vi.spyOn(setAside, 'forgetOld').mockResolvedValue(),
    vi.spyOn(parts.sessions, 'loadLeftOver'),
    vi.spyOn(parts.sessions, 'pruneRequests').mockResolvedValue(),
  ]
  const sentLongAgo = put(tables.sent, all.store.nextNumber(tables.sent), { sentMs: 1n })
  await commit(all.store, { writes: [sentLongAgo] })
  const restored = (unopened: number) => ({ kind: 'restored', unopened }) as const
  await commit(
    all.store,
    newsChange(
      context,
      Array.from({ length: 1_001 }, (_, n) => restored(n)),
    ),
  )
  const oldestNews = async () => (await readNews(context, '', 0, 1))[0]?.event
  const sent = async () => (await all.store.scan(tables.sent, { after: 0, limit: 9 })).rows
  const counts = () => spies.map((spy) => spy.mock.calls.length)
  const maintenance = new Maintenance(context, {
    sealingKeys,
    prekeys,
    sessions: parts.sessions,
    consents: parts.consents,
    conversations: parts.conversations,
    directory: parts.directory,
    seen,
    setAside,
  })
  void maintenance.run()
  await until(() => all.waits.length === 1)
  expect(counts()).toEqual([0, 0, 0, 0, 0, 0, 0, 0])
  expect(await sent()).toHaveLength(1)
  expect(await oldestNews()).toEqual(restored(0))
  maintenance.setLive(true)
  await until(() => all.waits.length === 1)
  expect(counts()).toEqual([1, 1, 1, 1, 1, 1, 1, 1])
  expect(await sent()).toEqual([])
  expect(await oldestNews()).toEqual(restored(1))
  expect(spies[2]?.mock.calls).toEqual([[context.time.passedMs(), prekeys.oldestFallbackNs]])
  expect(all.warned('network_unavailable')).toBe(1)
  expect(all.warned('internal')).toBe(1)
  all.turn(hourMs - 1)
  await until(() => all.waits.length === 1)
  expect(counts()).toEqual([1, 1, 1, 1, 1, 1, 1, 1])
  all.turn(1)
  await until(() => all.waits.length === 1)
  expect(counts()).toEqual([2, 2, 2, 2, 2, 2, 1, 2])
  maintenance.setLive(false)
  all.turn(2 * hourMs)
  await until(() => all.waits.length === 1)
  expect(counts()).toEqual([2, 2, 2, 2, 2, 2, 1, 2])
})
