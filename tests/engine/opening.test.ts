/** Opening a client: its database, its lock, and a wallet or a node that is not there. */

import { expect, test } from 'vitest'
import { PadlockError } from '../../src/errors.ts'
import { browserPlatform } from '../../src/platform/browser.ts'
import { request } from '../store/request.ts'
import {
  anAccount,
  anEngineWorld,
  failureOf,
  freshDatabase,
  neverAnswers,
  signWith,
  unreachableNode,
  untilState,
} from '../support/engine.ts'

test('a wallet that never answers can be given up, and the database is free again', async () => {
  const world = await anEngineWorld()
  const account = anAccount()
  const database = freshDatabase()
  const abort = new AbortController()
  const opening = failureOf(
    world.open({
      account,
      database,
      sign: (text, signal) => {
        queueMicrotask(() => abort.abort(new PadlockError('aborted')))
        return neverAnswers(text, signal)
      },
      signal: abort.signal,
    }),
  )
  expect(await opening).toMatchObject({ code: 'aborted' })
  const waits: number[] = []
  const takeLock = (name: string, waitMs: number) => {
    waits.push(waitMs)
    return navigator.locks.request(name, { ifAvailable: true }, (lock) => {
      if (!lock) throw new Error('the lock is still held')
      return { release: () => undefined, lost: new Promise<void>(() => undefined) }
    })
  }
  await world.open({ account, database, platform: { takeLock } })
  expect(waits).toEqual([3_000])
  expect(world.asked).toHaveLength(2)
})

test('a database that is deleted while the wallet is asked is storage_lost, and the next try works', async () => {
  const world = await anEngineWorld()
  const account = anAccount()
  const database = freshDatabase()
  const sign = async (text: string, signal: AbortSignal) => {
    await request(indexedDB.deleteDatabase(database))
    return signWith(account)(text, signal)
  }
  expect(await failureOf(world.open({ account, database, sign }))).toMatchObject({
    code: 'storage_lost',
    retryable: true,
  })
  await world.open({ account, database })
})

test('section 2: an installation that exists opens without network and without wallet', async () => {
  const world = await anEngineWorld()
  const account = anAccount()
  const database = freshDatabase()
  const first = await world.open({ account, database })
  const { installationId } = first.engine
  await first.engine.close()

  const again = await world.open({ account, database, network: unreachableNode })
  expect(again.engine.installationId).toBe(installationId)
  expect(await untilState(again, 'offline')).toBe('offline')
  expect(world.asked).toHaveLength(1)
})

test('section 2: a database belongs to one account, and stays usable to it', async () => {
  const world = await anEngineWorld()
  const account = anAccount()
  const database = freshDatabase()
  const { engine } = await world.open({ account, database })
  await engine.close()
  expect(await failureOf(world.open({ account: anAccount(), database }))).toMatchObject({
    code: 'other_account',
  })
  expect(world.asked).toHaveLength(1)
  const again = await world.open({ account, database })
  expect(again.engine.installationId).toBe(engine.installationId)
})

test('a database that is open elsewhere is storage_in_use after three seconds', async () => {
  const world = await anEngineWorld()
  const account = anAccount()
  const database = freshDatabase()
  const { engine } = await world.open({ account, database })
  const waits: number[] = []
  const opening = world.open({
    account,
    database,
    platform: {
      takeLock: (name, waitMs) => {
        waits.push(waitMs)
        return browserPlatform.takeLock(name, 20)
      },
    },
  })
  expect(await failureOf(opening)).toMatchObject({ code: 'storage_in_use', retryable: true })
  expect(waits).toEqual([3_000])

  // One that closes within that time hands over.
  const handedOver = world.open({ account, database })
  await engine.close()
  expect((await handedOver).engine.installationId).toBe(engine.installationId)
})
