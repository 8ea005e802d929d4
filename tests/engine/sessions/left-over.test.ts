/** What a run leaves behind when it ends early is put right by the next one (docs/protocol.md section 7). */

import { expect, test } from 'vitest'
import { commit } from '../../../src/engine/runtime/change.ts'
import { Sessions } from '../../../src/engine/sessions/sessions.ts'
import type { InstallationId } from '../../../src/protocol/ids.ts'
import type { Store } from '../../../src/store/store.ts'
import { tables } from '../../../src/store/tables.ts'
import { anAccount, anEngineWorld, freshDatabase, until, untilState } from '../../support/engine.ts'

test('section 7: of more than five sessions an earlier run kept, the oldest go at the next start, whoever writes', async () => {
  const world = await anEngineWorld()
  const account = anAccount()
  const database = freshDatabase()
  const before = await world.open({ account, database })
  await untilState(before, 'live')
  await before.engine.close()
  const installationId = 'peer'.padEnd(43, 'A') as InstallationId
  const store = await world.openStore(database)
  const nowMs = Date.now()
  const sessions = Array.from({ length: 7 }, (_, nth) => ({
    installationId,
    sessionId: new Uint8Array(32).fill(nth + 1),
    state: Uint8Array.of(1),
    createdMs: nowMs + nth,
    firstDecryptedMs: 0,
    lastDecryptedMs: nowMs + nth,
    sentSince: 0,
    isClosed: false,
  }))
  await commit(store, new Sessions(store).statesChange(sessions))
  await store.close()

  let running: Store | undefined
  const after = await world.open({
    account,
    database,
    store: (real) => {
      running = real
      return real
    },
  })
  await untilState(after, 'live')
  const kept = async () =>
    ((await running?.all(tables.sessions)) ?? [])
      .filter(({ value }) => !value.pruned)
      .map(({ value }) => value.sessionId[0])
      .sort()
  await until(async () => (await kept()).length < 7)
  expect(await kept()).toEqual([3, 4, 5, 6, 7])
})
