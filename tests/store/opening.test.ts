/** Opening the database: what may prevent it, and what may close it again. */

import { forceCloseDatabase, IDBFactory } from 'fake-indexeddb'
import { afterEach, expect, test, vi } from 'vitest'
import { schemaVersion } from '../../src/store/schema.ts'
import { tables } from '../../src/store/tables.ts'
import { freshDatabase, until } from '../support/engine.ts'
import { aStore, codeOf, cursor, openRaw, openStore, request, tamper, write } from './support.ts'

afterEach(() => {
  vi.restoreAllMocks()
  vi.unstubAllGlobals()
  vi.useRealTimers()
})

/** Everything of a database in one text. */
const snapshot = async (database: string): Promise<string> => {
  const raw = await request(indexedDB.open(database))
  const names = [...raw.objectStoreNames]
  const parts = await Promise.all(
    names.map(async (name) => {
      const store = raw.transaction(name).objectStore(name)
      const [keys, values] = await Promise.all([
        request(store.getAllKeys()),
        request(store.getAll()),
      ])
      return [name, [...store.indexNames], keys, values]
    }),
  )
  const version = raw.version
  raw.close()
  return JSON.stringify([version, parts], (_, value) =>
    value instanceof Uint8Array ? [...value] : value,
  )
}

test('a database of a newer release is storage_too_new, and nothing of it is changed', async () => {
  const { store, database } = await aStore()
  await write(store, cursor('a', 1n))
  await store.close()
  const upgrade = indexedDB.open(database, 7)
  upgrade.onupgradeneeded = () => {
    upgrade.result.createObjectStore('of 2028').put('something', 'key')
  }
  ;(await request(upgrade)).close()
  const before = await snapshot(database)
  expect(await codeOf(openStore(database))).toBe('storage_too_new')
  expect(await snapshot(database)).toBe(before)
})

test('a database that an older release holds open is storage_blocked, and opens when it lets go', async () => {
  const { store, database } = await aStore()
  await write(store, cursor('a', 1n))
  await store.close()
  // A page of an older release that does not hear that others want to upgrade.
  const holder = await openRaw(database)
  const original = indexedDB.open.bind(indexedDB)
  const open = vi.spyOn(indexedDB, 'open')
  open.mockImplementation((name, version) => original(name, (version ?? 1) + 1))
  expect(await codeOf(openStore(database))).toBe('storage_blocked')
  expect(holder.version).toBe(schemaVersion)

  holder.close()
  const again = await openStore(database)
  expect((await again.get(tables.cursors, 'a'))?.value.sequence).toBe(1n)
})

test('a database whose deletion is held up by another tab is storage_blocked, not a hang', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  const { store, database } = await aStore()
  await store.close()
  const holder = await openRaw(database)
  const deletion = indexedDB.deleteDatabase(database)
  await new Promise((resolve) => {
    deletion.onblocked = resolve
  })
  const opening = codeOf(openStore(database))
  await vi.advanceTimersByTimeAsync(15_000)
  expect(await opening).toBe('storage_blocked')

  // When the other tab is gone, so is the deletion, and the given-up opening holds nothing.
  holder.close()
  await new Promise((resolve) => {
    deletion.onsuccess = resolve
  })
  vi.useRealTimers()
  const again = await openStore(database)
  await write(again, cursor('a', 1n))
  expect((await again.get(tables.cursors, 'a'))?.value.sequence).toBe(1n)
})

test('without IndexedDB, or where it refuses, it is storage_unavailable', async () => {
  vi.stubGlobal('indexedDB', undefined)
  expect(await codeOf(openStore(freshDatabase()))).toBe('storage_unavailable')
  vi.unstubAllGlobals()
  // Private windows of Firefox before 115, blocked site data, and sandboxed frames.
  for (const [name, code] of [
    ['InvalidStateError', 'storage_unavailable'],
    ['NotAllowedError', 'storage_unavailable'],
    ['SecurityError', 'storage_unavailable'],
    // "Internal error opening backing store": a restart of the browser, or free space, may help.
    ['UnknownError', 'storage_failed'],
    ['AbortError', 'storage_failed'],
  ] as const) {
    const refusing = new IDBFactory()
    vi.spyOn(refusing, 'open').mockImplementation(() => {
      throw new DOMException('no', name)
    })
    vi.stubGlobal('indexedDB', refusing)
    const opening = openStore(freshDatabase())
    await expect(opening).rejects.toMatchObject({ code, retryable: code === 'storage_failed' })
    vi.unstubAllGlobals()
  }
})

test('a browser that stores no CryptoKey is storage_unavailable: trying again cannot help', async () => {
  vi.spyOn(IDBObjectStore.prototype, 'put').mockImplementation(() => {
    throw new DOMException('CryptoKey object could not be cloned.', 'DataCloneError')
  })
  const opening = openStore(freshDatabase())
  await expect(opening).rejects.toMatchObject({ code: 'storage_unavailable', retryable: false })
})

test('a connection that the browser closed is lost: nothing works with it again', async () => {
  const database = freshDatabase()
  let lost = 0
  const store = await openStore(database, () => {
    lost += 1
  })
  await write(store, cursor('a', 1n))
  vi.spyOn(IDBDatabase.prototype, 'transaction').mockImplementation(() => {
    throw new DOMException('The database connection is closing.', 'InvalidStateError')
  })
  expect(await codeOf(write(store, cursor('a', 2n)))).toBe('storage_failed')
  expect(lost).toBe(1)
  expect(await codeOf(store.all(tables.cursors))).toBe('storage_failed')
  expect(lost).toBe(2)
  // Closed by ourselves it is not lost.
  await store.close()
  expect(await codeOf(store.all(tables.cursors))).toBe('storage_failed')
  expect(lost).toBe(2)
})

test('a full disk at the first opening is storage_full, and the next opening works', async () => {
  const database = freshDatabase()
  vi.spyOn(IDBObjectStore.prototype, 'put').mockImplementation(() => {
    throw new DOMException('no space', 'QuotaExceededError')
  })
  expect(await codeOf(openStore(database))).toBe('storage_full')
  vi.restoreAllMocks()
  const store = await openStore(database)
  await write(store, cursor('a', 1n))
  expect((await store.get(tables.cursors, 'a'))?.value.sequence).toBe(1n)
})

test('a vault key that no longer unwraps is storage_damaged, and is not replaced', async () => {
  const { store, database } = await aStore()
  await write(store, cursor('a', 1n))
  await store.close()
  const raw = await openRaw(database)
  const good = await request(raw.transaction('meta').objectStore('meta').get('vault'))
  const wrapped = new Uint8Array(good.wrapped.slice(0))
  wrapped[0] = (wrapped[0] ?? 0) ^ 1
  const setVault = (value: unknown) =>
    tamper(database, ['meta'], async (transaction) => {
      transaction.objectStore('meta').put(value, 'vault')
    })
  for (const bad of [
    { ...good, wrapped: wrapped.buffer },
    'text',
    null,
    {},
    { ...good, nonce: 5 },
  ]) {
    await setVault(bad)
    expect(await codeOf(openStore(database))).toBe('storage_damaged')
  }
  await setVault(good)
  const again = await openStore(database)
  expect((await again.get(tables.cursors, 'a'))?.value.sequence).toBe(1n)
})

test('two first openers end with one vault key: what the first wrote stays readable', async () => {
  const database = freshDatabase()
  const original = crypto.subtle.generateKey.bind(crypto.subtle)
  const gate = Promise.withResolvers<void>()
  const slow = vi.spyOn(crypto.subtle, 'generateKey')
  slow.mockImplementationOnce(async (...args: Parameters<typeof original>) => {
    await gate.promise
    return original(...args)
  })
  // The one that begins first makes its key last.
  const late = openStore(database)
  await until(() => slow.mock.calls.length > 0)
  const early = await openStore(database)
  await write(early, cursor('a', 1n))
  gate.resolve()
  const latest = await late
  expect((await latest.get(tables.cursors, 'a'))?.value.sequence).toBe(1n)
  await write(latest, cursor('b', 2n))
  await latest.close()
  const again = await openStore(database)
  expect((await again.get(tables.cursors, 'b'))?.value.sequence).toBe(2n)
})

test('deleting the database takes it from the store, which says so once', async () => {
  let lost = 0
  const database = freshDatabase()
  const store = await openStore(database, () => {
    lost += 1
  })
  await write(store, cursor('a', 1n))
  // It would never succeed if the store did not let go.
  await request(indexedDB.deleteDatabase(database))
  expect(lost).toBe(1)
  expect(await codeOf(store.get(tables.cursors, 'a'))).toBe('storage_failed')
  expect(await codeOf(write(store, cursor('a', 2n)))).toBe('storage_failed')
})

test('a newer release that wants to upgrade gets the database', async () => {
  const lost = Promise.withResolvers<void>()
  const database = freshDatabase()
  await openStore(database, () => lost.resolve())
  const upgraded = await openRaw(database, schemaVersion + 1)
  await lost.promise
  expect(upgraded.version).toBe(schemaVersion + 1)
})

test('a database that the browser closes by itself is told as lost', async () => {
  const lost = Promise.withResolvers<void>()
  const database = freshDatabase()
  const opened: IDBDatabase[] = []
  const original = indexedDB.open.bind(indexedDB)
  vi.spyOn(indexedDB, 'open').mockImplementation((...args) => {
    const opening = original(...args)
    opening.addEventListener('success', () => opened.push(opening.result))
    return opening
  })
  const store = await openStore(database, () => lost.resolve())
  const [connection] = opened
  if (!connection) throw new Error('nothing was opened')
  Reflect.apply(forceCloseDatabase, undefined, [connection])
  await lost.promise
  expect(await codeOf(store.get(tables.cursors, 'a'))).toBe('storage_failed')
})
