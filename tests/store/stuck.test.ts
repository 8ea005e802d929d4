/** A database that no longer answers: every call ends, and says nothing that might not be so. */
import { afterEach, expect, test, vi } from 'vitest'
import { storeNames } from '../../src/store/store.ts'
import { tables } from '../../src/store/tables.ts'
import { freshDatabase, until } from '../support/engine.ts'
import { codeOf, cursor, openRaw, openStore, write } from './support.ts'

afterEach(() => {
  vi.restoreAllMocks()
  vi.useRealTimers()
})

/** A transaction of somebody else that does not end before the test says so: all others wait. */
const holdUp = async (database: string): Promise<() => Promise<void>> => {
  const raw = await openRaw(database)
  const transaction = raw.transaction([...storeNames, 'meta'], 'readwrite')
  const ended = new Promise<void>((resolve) => {
    transaction.oncomplete = () => resolve()
  })
  let isHeld = true
  const ask = () => {
    if (isHeld) transaction.objectStore('meta').get('epoch').onsuccess = ask
  }
  ask()
  return async () => {
    isHeld = false
    await ended
  }
}

const aHeldStore = async () => {
  const database = freshDatabase()
  let lost = 0
  const store = await openStore(database, () => {
    lost += 1
  })
  await write(store, cursor('a', 1n))
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  const release = await holdUp(database)
  return { store, release, lost: () => lost }
}

const passPatience = (): void => {
  vi.advanceTimersByTime(60_000)
  vi.advanceTimersByTime(5_000)
}

test('a write that the database does not answer is storage_failed, and is never made', async () => {
  const { store, release, lost } = await aHeldStore()
  const writes = [
    write(store, cursor('a', 2n)),
    store.transaction([{ table: tables.cursors, key: 'a' }], () => ({
      writes: [cursor('a', 3n)],
      result: undefined,
    })),
  ].map(codeOf)
  passPatience()
  expect(await Promise.all(writes)).toEqual(['storage_failed', 'storage_failed'])
  await release()
  expect((await store.get(tables.cursors, 'a'))?.value.sequence).toBe(1n)
  await write(store, cursor('a', 4n))
  expect((await store.get(tables.cursors, 'a'))?.value.sequence).toBe(4n)
  expect(lost()).toBe(0)
  expect(vi.getTimerCount()).toBe(0)
})

test('a read that the database does not answer is storage_failed', async () => {
  const { store, release } = await aHeldStore()
  const reads = [
    store.get(tables.cursors, 'a'),
    store.all(tables.cursors),
    store.list(tables.messages, { group: 'one', limit: 1 }),
    store.scan(tables.outbox, { after: 0, limit: 1 }),
  ].map(codeOf)
  passPatience()
  expect(new Set(await Promise.all(reads))).toEqual(new Set(['storage_failed']))
  await release()
})

test('a write whose commit is not answered is not said to have failed: the database is lost', async () => {
  const { store, release, lost } = await aHeldStore()
  vi.spyOn(IDBTransaction.prototype, 'abort').mockImplementation(() => {
    throw new DOMException('The transaction is committing.', 'InvalidStateError')
  })
  const writing = write(store, cursor('a', 2n))
  passPatience()
  expect(lost()).toBe(1)
  await release()
  await writing
  expect((await store.get(tables.cursors, 'a'))?.value.sequence).toBe(2n)
})

test('a database that stops answering while it is opened is storage_failed', async () => {
  const database = freshDatabase()
  await (await openStore(database)).close()
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  const release = await holdUp(database)
  const get = vi.spyOn(IDBObjectStore.prototype, 'get')
  const opening = codeOf(openStore(database))
  await until(() => get.mock.calls.some(([key]) => key === 'vault'))
  passPatience()
  expect(await opening).toBe('storage_failed')
  await release()
})

test('closing a database that does not let go has an end', async () => {
  const store = await openStore(freshDatabase())
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  const asked = vi.spyOn(indexedDB, 'databases').mockReturnValue(new Promise(() => undefined))
  const closing = store.close()
  await until(() => asked.mock.calls.length > 0)
  vi.advanceTimersByTime(15_000)
  vi.advanceTimersByTime(5_000)
  await closing
})
