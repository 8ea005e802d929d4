/** Changes: what is written in one transaction, and when memory follows. */

import { expect, onTestFinished, test, vi } from 'vitest'
import {
  type Change,
  commit,
  commitWith,
  joinChanges,
  recordUpdate,
} from '../../../src/engine/runtime/change.ts'
import { add, put, tables } from '../../../src/store/tables.ts'
import { aPartWorld } from '../../support/engine-context.ts'
import { storeWithTransaction } from '../../support/store-with-transaction.ts'

/** Writes one cursor, and notes when it is committed. */
const noted = (topic: string, log: string[]): Change => ({
  writes: [put(tables.cursors, topic, { topic, sequence: 1n })],
  committed: () => log.push(topic),
})

test('joined changes are one transaction, and memory follows in their order, after it', async () => {
  const { store, committed } = await aPartWorld()
  const log: string[] = []
  const joined = joinChanges(noted('one', log), undefined, noted('two', log), { writes: [] })
  expect(log).toEqual([])
  await commit(store, joined)
  expect(committed).toEqual([{ tables: ['cursors', 'cursors'], durability: 'relaxed' }])
  expect(log).toEqual(['one', 'two'])
  expect((await store.get(tables.cursors, 'two'))?.value.sequence).toBe(1n)
})

test('a change that must be on the disk is committed so', async () => {
  const { store, committed } = await aPartWorld()
  await commit(store, noted('one', []), 'strict')
  expect(committed).toEqual([{ tables: ['cursors'], durability: 'strict' }])
})

test('a transaction that fails leaves memory as it was', async () => {
  const { store } = await aPartWorld()
  const failing = storeWithTransaction(store, () => Promise.reject(new Error('no room')))
  const log: string[] = []
  await expect(commit(failing, noted('one', log))).rejects.toThrow('no room')
  expect(log).toEqual([])
})

test('an update changes a record as it is within the transaction, whoever else wrote it', async () => {
  const { store } = await aPartWorld()
  await commit(store, { writes: [put(tables.times, 'times', { lastCreatedNs: 7n })] })
  const composed = recordUpdate(tables.times, 'times', (times) => ({
    ...times,
    lastComposedNs: 5n,
  }))
  const created = recordUpdate(tables.times, 'times', (times) => ({
    ...times,
    lastCreatedNs: times.lastCreatedNs + 1n,
  }))
  // Both are planned before either is committed.
  await Promise.all([commit(store, composed), commit(store, created)])
  expect((await store.get(tables.times, 'times'))?.value).toMatchObject({
    lastComposedNs: 5n,
    lastCreatedNs: 8n,
  })
})

test('an update of a record that is missing writes nothing, of the others neither', async () => {
  const { store } = await aPartWorld()
  const log: string[] = []
  const update = recordUpdate(tables.times, 'times', (times) => times)
  await expect(commit(store, joinChanges(noted('one', log), update))).rejects.toMatchObject({
    code: 'storage_damaged',
  })
  expect(await store.get(tables.cursors, 'one')).toBeUndefined()
  expect(log).toEqual([])
})

test('a step decides with what it reads, and runs again when a record turns out to be there', async () => {
  const { store, committed } = await aPartWorld()
  await commit(store, { writes: [add(tables.conversations, 'id', { conversationId: 'id' })] })
  committed.length = 0
  const log: string[] = []
  let runs = 0
  const result = await commitWith(
    store,
    joinChanges(noted('one', log), recordUpdateOf(log)),
    [{ table: tables.conversations, key: 'id' }],
    (rows) => {
      runs += 1
      const isThere = rows.exists(tables.conversations, 'id')
      const conversationId = rows.get(tables.conversations, 'id')?.value.conversationId ?? ''
      return {
        writes: isThere ? [] : [add(tables.conversations, 'id', { conversationId })],
        result: [isThere, conversationId],
      }
    },
  )
  expect(result).toEqual([true, 'id'])
  expect(runs).toBe(2)
  expect(committed.map(({ tables: names }) => names)).toEqual([['cursors', 'seen']])
  // Once, however often the step ran.
  expect(log).toEqual(['one', 'update'])
})

/** An update that needs no record. */
const recordUpdateOf = (log: string[]): Change => ({
  writes: [],
  updates: [
    {
      read: { table: tables.seen, key: 1 },
      to: [tables.seen],
      writes: () => [put(tables.seen, 1, { nodeNs: 1n })],
    },
  ],
  committed: () => log.push('update'),
})

test('a commit opens the tables that it reads and writes for writing, and no other', async () => {
  const { store } = await aPartWorld()
  await commit(store, { writes: [put(tables.times, 'times', { lastComposedNs: 1n })] })
  const opened = vi.spyOn(IDBDatabase.prototype, 'transaction')
  onTestFinished(() => opened.mockRestore())
  const later = recordUpdate(tables.times, 'times', (times) => ({ ...times, lastComposedNs: 2n }))
  await commit(store, joinChanges(later, { writes: [put(tables.seen, 1, { nodeNs: 1n })] }))
  const scopes = opened.mock.calls.filter(([, mode]) => mode === 'readwrite')
  expect(scopes.map(([names]) => [...names].toSorted())).toEqual([['account', 'meta', 'seen']])
})
