/** One writer at a time, all or nothing, and no record that something else wrote. */

import { afterEach, expect, test, vi } from 'vitest'
import type { Store, Write } from '../../src/store/store.ts'
import { add, messageOrder, put, tables } from '../../src/store/tables.ts'
import { freshDatabase } from '../support/engine.ts'
import {
  aMessage,
  aStore,
  codeOf,
  cursor,
  message,
  openRaw,
  openStore,
  outboxRow,
  request,
  tamper,
  write,
} from './support.ts'

afterEach(() => {
  vi.restoreAllMocks()
})

const sequenceOf = async (store: Store, topic: string): Promise<bigint | undefined> =>
  (await store.get(tables.cursors, topic))?.value.sequence

test('a second opener takes the fence: the first writes nothing more, with and without reads', async () => {
  const database = freshDatabase()
  const losses = new Set<string>()
  const first = await openStore(database, (why) => losses.add(why))
  await write(first, cursor('a', 1n))
  const second = await openStore(database)
  const reads = [{ table: tables.cursors, key: 'a' }]

  expect(await codeOf(write(first, cursor('a', 2n), outboxRow(1)))).toBe('leadership_lost')
  expect(await codeOf(write(first))).toBe('leadership_lost')
  const advance = first.transaction(reads, (rows) => ({
    writes: [cursor('a', (rows.get(tables.cursors, 'a')?.value.sequence ?? 0n) + 1n), outboxRow(2)],
    result: 'done',
  }))
  expect(await codeOf(advance)).toBe('leadership_lost')
  const taken = write(first, add(tables.cursors, 'a', { topic: 'a' }))
  expect(await codeOf(taken)).toBe('leadership_lost')
  expect([...losses]).toEqual(['leadership_lost'])

  expect(await sequenceOf(second, 'a')).toBe(1n)
  expect(await second.all(tables.outbox)).toEqual([])
  await write(second, cursor('a', 5n))
  // What is stored may still be read: it is only no longer one's own to change.
  expect(await sequenceOf(first, 'a')).toBe(5n)
})

test('a write that is under way when the fence falls is all there or not at all', async () => {
  const { store: first, database } = await aStore()
  const writing = Array.from({ length: 20 }, (_, n) =>
    codeOf(write(first, cursor(`x${n}`, 1n), cursor(`y${n}`, 1n))),
  )
  const second = await openStore(database)
  const codes = await Promise.all(writing)
  for (const [n, code] of codes.entries()) {
    const expected = code === 'no error' ? 1n : undefined
    expect([code, await sequenceOf(second, `x${n}`)]).toEqual([code, expected])
    expect([code, await sequenceOf(second, `y${n}`)]).toEqual([code, expected])
  }
  expect(await codeOf(write(first, cursor('late', 1n)))).toBe('leadership_lost')
})

test('an add whose key is taken runs the step again, and nothing of the first run is written', async () => {
  const { store } = await aStore()
  await write(store, message(store, 'm', 'c', 1n))
  const runs: boolean[] = []
  const result = await store.transaction([], (rows) => {
    const exists = rows.exists(tables.messages, 'm')
    runs.push(exists)
    const run = runs.length
    const writes = [cursor(`run ${run}`, 1n), cursor('both', BigInt(run))]
    if (!exists) writes.push(add(tables.messages, 'm', aMessage('m', 'c', 99n)))
    return { writes, result: `run ${run}` }
  })
  expect(runs).toEqual([false, true])
  expect(result).toBe('run 2')
  expect(await sequenceOf(store, 'run 1')).toBeUndefined()
  expect(await sequenceOf(store, 'run 2')).toBe(1n)
  expect(await sequenceOf(store, 'both')).toBe(2n)
  expect((await store.get(tables.messages, 'm'))?.value.nodeNs).toBe(1n)
})

test('the same with reads, which are read anew', async () => {
  const { store } = await aStore()
  await write(store, message(store, 'm', 'c', 1n), cursor('a', 7n))
  const seen: unknown[] = []
  await store.transaction([{ table: tables.cursors, key: 'a' }], (rows) => {
    seen.push(rows.get(tables.cursors, 'a')?.value.sequence)
    const writes = rows.exists(tables.messages, 'm')
      ? [cursor('a', 8n)]
      : [cursor('a', 100n), message(store, 'm', 'c', 2n)]
    return { writes, result: undefined }
  })
  expect(seen).toEqual([7n, 7n])
  expect(await sequenceOf(store, 'a')).toBe(8n)
})

test('a batch that is there already costs one more run, not one for each record', async () => {
  const { store } = await aStore()
  const ids = Array.from({ length: 100 }, (_, n) => `m${n}`)
  await write(store, ...ids.slice(0, 99).map((id) => message(store, id, 'c', 1n)))
  let runs = 0
  const added = await store.transaction([], (rows) => {
    runs += 1
    const fresh = ids.filter((id) => !rows.exists(tables.messages, id))
    return { writes: fresh.map((id) => message(store, id, 'c', 1n)), result: fresh }
  })
  expect(added).toEqual(['m99'])
  expect(runs).toBe(2)
})

test('a step that adds the taken key again fails instead of running forever', async () => {
  const { store } = await aStore()
  await write(store, message(store, 'm', 'c', 1n))
  let runs = 0
  const advance = store.transaction([], () => {
    runs += 1
    return { writes: [message(store, 'm', 'c', 2n)], result: undefined }
  })
  expect(await codeOf(advance)).toBe('storage_failed')
  expect(runs).toBe(2)
})

test('two messages of one arrival number are refused: the order of arrival is one', async () => {
  const { store } = await aStore()
  await write(store, add(tables.messages, 'a', aMessage('a', 'c', 1n), 1))
  const second = write(store, put(tables.messages, 'b', aMessage('b', 'c', 1n), 1))
  expect(await codeOf(second)).toBe('storage_failed')
  expect(await store.get(tables.messages, 'b')).toBeUndefined()
})

type Put = IDBObjectStore['put']

/** Makes the nth put from now on fail in this way. */
const failPut = (nth: number, fail: (store: IDBObjectStore) => void) => {
  const original: Put = IDBObjectStore.prototype.put
  let count = 0
  vi.spyOn(IDBObjectStore.prototype, 'put').mockImplementation(function (
    this: IDBObjectStore,
    ...args: Parameters<Put>
  ) {
    count += 1
    if (count === nth) fail(this)
    return original.apply(this, args)
  })
}

test('a full disk is storage_full, and nothing of the step is there', async () => {
  const { store } = await aStore()
  await write(store, cursor('a', 1n))
  for (const reads of [[], [{ table: tables.cursors, key: 'a' }]]) {
    failPut(2, () => {
      throw new DOMException('no space', 'QuotaExceededError')
    })
    const advance = store.transaction(reads, () => ({
      writes: [cursor('a', 2n), cursor('b', 2n), cursor('c', 2n)],
      result: undefined,
    }))
    expect(await codeOf(advance)).toBe('storage_full')
    vi.restoreAllMocks()
    expect(await sequenceOf(store, 'a')).toBe(1n)
    expect(await sequenceOf(store, 'b')).toBeUndefined()
    expect(await sequenceOf(store, 'c')).toBeUndefined()
  }
  await write(store, cursor('b', 3n))
  expect(await sequenceOf(store, 'b')).toBe(3n)
})

test('a transaction that the browser ends for want of space is storage_full too', async () => {
  const { store } = await aStore()
  await write(store, cursor('a', 1n))
  failPut(3, ({ transaction }) => {
    // As Chromium does it: requests fall with an AbortError, the transaction says why.
    const end: unknown = Reflect.get(transaction, '_abort')
    if (typeof end !== 'function') throw new Error('fake-indexeddb has changed')
    queueMicrotask(() => Reflect.apply(end, transaction, ['QuotaExceededError']))
  })
  const writing = write(store, cursor('a', 2n), cursor('b', 2n), cursor('c', 2n), cursor('d', 2n))
  expect(await codeOf(writing)).toBe('storage_full')
  vi.restoreAllMocks()
  expect(await sequenceOf(store, 'a')).toBe(1n)
  expect(await sequenceOf(store, 'b')).toBeUndefined()
})

/** Exchanges two records as they lie in the database. */
const swap = (database: string, from: string, to: string) =>
  tamper(database, [...new Set([from, to])], async (transaction) => {
    const [one, other] = [transaction.objectStore(from), transaction.objectStore(to)]
    const [keyA] = await request(one.getAllKeys())
    const keyB = (await request(other.getAllKeys())).at(-1)
    if (keyA === undefined || keyB === undefined) throw new Error('nothing to swap')
    const [a, b] = [await request(one.get(keyA)), await request(other.get(keyB))]
    one.put(b, keyA)
    other.put(a, keyB)
  })

const account = (address: string): Write => put(tables.accounts, address, { address })
const revocation = (number: number): Write =>
  put(tables.revocations, number, { message: Uint8Array.of(number) })

test('records swapped between two keys do not open', async () => {
  const { store, database } = await aStore()
  await write(store, account('a'), account('b'), revocation(1), revocation(2))
  await swap(database, 'accounts', 'accounts')
  await swap(database, 'revocations', 'revocations')
  expect(await codeOf(store.get(tables.accounts, 'a'))).toBe('storage_damaged')
  expect(await codeOf(store.get(tables.accounts, 'b'))).toBe('storage_damaged')
  expect(await codeOf(store.all(tables.accounts))).toBe('storage_damaged')
  expect(await codeOf(store.scan(tables.revocations, { after: 0, limit: 9 }))).toBe(
    'storage_damaged',
  )
})

test('records swapped between two tables under the same key do not open', async () => {
  const { store, database } = await aStore()
  // Empty, so that either would parse as the other: only the seal tells them apart.
  await write(store, put(tables.unverified, 1, {}), put(tables.revocations, 1, {}))
  await swap(database, 'unverified', 'revocations')
  expect(await codeOf(store.get(tables.unverified, 1))).toBe('storage_damaged')
  expect(await codeOf(store.get(tables.revocations, 1))).toBe('storage_damaged')
})

test('a record of another database does not open here', async () => {
  const [one, other] = [await aStore(), await aStore()]
  await write(one.store, revocation(1))
  await write(other.store, revocation(1))
  const raw = await openRaw(other.database)
  const foreign: unknown = await request(
    raw.transaction('revocations').objectStore('revocations').get(1),
  )
  await tamper(one.database, ['revocations'], async (transaction) => {
    transaction.objectStore('revocations').put(foreign, 1)
  })
  expect(await codeOf(one.store.get(tables.revocations, 1))).toBe('storage_damaged')
})

test('every flipped byte of a record is noticed, wherever it is read', async () => {
  const { store, database } = await aStore()
  await write(store, account('a'))
  const raw = await openRaw(database)
  const [record] = await request(raw.transaction('accounts').objectStore('accounts').getAll())
  const [key] = await request(raw.transaction('accounts').objectStore('accounts').getAllKeys())
  const sealed: Uint8Array = record.s
  expect(sealed.length).toBeGreaterThan(40)
  for (const at of sealed.keys()) {
    const changed = sealed.slice()
    changed[at] = (changed[at] ?? 0) ^ 1
    await tamper(database, ['accounts'], async (transaction) => {
      transaction.objectStore('accounts').put({ ...record, s: changed }, key)
    })
    expect(await codeOf(store.get(tables.accounts, 'a')), `byte ${at}`).toBe('storage_damaged')
  }
  const advance = store.transaction([{ table: tables.accounts, key: 'a' }], (rows) => ({
    writes: rows.get(tables.accounts, 'a') ? [] : [account('a')],
    result: undefined,
  }))
  expect(await codeOf(advance)).toBe('storage_damaged')
})

test('a record that is none is storage_damaged and no crash', async () => {
  const { store, database } = await aStore()
  for (const junk of [{}, 5, 'text', { s: 'text' }, { s: [1, 2] }, { s: new Uint8Array() }]) {
    await tamper(database, ['revocations'], async (transaction) => {
      transaction.objectStore('revocations').put(junk, 1)
    })
    expect(await codeOf(store.get(tables.revocations, 1))).toBe('storage_damaged')
    expect(await codeOf(store.scan(tables.revocations, { after: 0, limit: 1 }))).toBe(
      'storage_damaged',
    )
  }
})

test('where the client does without it, a record that does not open is left out and told of', async () => {
  const database = freshDatabase()
  const lost: unknown[] = []
  const store = await openStore(database, undefined, ({ code, details }) =>
    lost.push({ code, ...details }),
  )
  const session = (n: number): Write =>
    put(tables.sessions, `peer ${n}`, { installationId: 'peer', sentSince: n })
  await write(store, session(1), session(2), session(3))
  await swap(database, 'sessions', 'sessions')
  const left = []
  for await (const page of store.pages(tables.sessions, 'peer')) left.push(...page)
  expect(left).toHaveLength(1)
  const damaged = { code: 'storage_damaged', table: 'sessions' }
  expect(lost).toEqual([damaged, damaged])
  await write(store, message(store, 'a', 'one', 1n), message(store, 'b', 'one', 2n))
  await tamper(database, ['messages'], async (transaction) => {
    const messages = transaction.objectStore('messages')
    const [key] = await request(messages.getAllKeys())
    messages.put({ ...(await request(messages.get(key ?? ''))), s: new Uint8Array(50) }, key)
  })
  // Page by page, a lost record is not the end.
  const ids = []
  for (let past: { place: Uint8Array<ArrayBuffer>; key: string } | undefined; ; ) {
    const rows = await store.list(tables.messages, {
      group: 'one',
      limit: 1,
      ...(past && { past }),
    })
    const [row] = rows
    if (!row) break
    ids.push(row.value.messageId)
    past = { place: messageOrder(row.value.nodeNs, row.value.composedNs), key: row.value.messageId }
  }
  expect(ids).toHaveLength(1)
})
