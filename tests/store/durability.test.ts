/** What must be on disk when a transaction resolves: docs/architecture.md section 2. */

import { expect, onTestFinished, test, vi } from 'vitest'
import type { Write } from '../../src/store/store.ts'
import { aStore, message, outboxRow } from './support.ts'

/** How each write transaction was begun from now on. */
const watchTransactions = () => {
  const spy = vi.spyOn(IDBDatabase.prototype, 'transaction')
  onTestFinished(() => spy.mockRestore())
  return () =>
    spy.mock.calls.flatMap(([, mode, options]) =>
      mode === 'readwrite' ? [options?.durability] : [],
    )
}

test('a strict step waits for the disk, with and without reads; others do not', async () => {
  const { store } = await aStore()
  const seen = watchTransactions()
  const writes: readonly Write[] = [outboxRow(1)]
  const reads = [{ table: writes[0]?.table ?? outboxRow(1).table, key: 1 }]
  await store.transaction([], () => ({ writes, result: undefined }))
  await store.transaction([], () => ({ writes, result: undefined }), 'strict')
  await store.transaction(reads, () => ({ writes, result: undefined }), 'strict')
  await store.transaction(reads, () => ({ writes, result: undefined }), 'relaxed')
  expect(seen()).toEqual(['relaxed', 'strict', 'strict', 'relaxed'])
})

test('a strict step that runs again because its key is taken is strict again', async () => {
  const { store } = await aStore()
  const taken = message(store, 'one', 'conversation', 1n)
  await store.transaction([], () => ({ writes: [taken], result: undefined }))
  const seen = watchTransactions()
  const again = message(store, 'one', 'conversation', 2n)
  const runs = await store.transaction(
    [],
    (rows) => {
      const exists = rows.exists(again.table, again.key)
      return { writes: exists ? [outboxRow(1)] : [again], result: exists }
    },
    'strict',
  )
  expect(runs).toBe(true)
  expect(seen().length).toBeGreaterThan(1)
  expect(new Set(seen())).toEqual(new Set(['strict']))
})

test('a step resolves when its transaction is complete, not before', async () => {
  const { store } = await aStore()
  const begin = IDBDatabase.prototype.transaction
  const running = new Set<IDBTransaction>()
  const spy = vi.spyOn(IDBDatabase.prototype, 'transaction').mockImplementation(function (
    this: IDBDatabase,
    ...given
  ) {
    const transaction = begin.apply(this, given)
    if (transaction.mode === 'readwrite') {
      running.add(transaction)
      transaction.addEventListener('complete', () => running.delete(transaction))
    }
    return transaction
  })
  onTestFinished(() => spy.mockRestore())
  const writes: readonly Write[] = [outboxRow(1), outboxRow(2)]
  const reads = [{ table: outboxRow(1).table, key: 1 }]
  for (const durability of ['relaxed', 'strict'] as const) {
    await store.transaction([], () => ({ writes, result: undefined }), durability)
    expect(running.size).toBe(0)
    await store.transaction(reads, () => ({ writes, result: undefined }), durability)
    expect(running.size).toBe(0)
  }
  expect(spy.mock.calls.length).toBeGreaterThanOrEqual(4)
})
