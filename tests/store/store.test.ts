/** Reading, listing, paging and numbering, on records that are really encrypted. */

import fc from 'fast-check'
import { expect, test, vi } from 'vitest'
import type { ListOptions } from '../../src/store/store.ts'
import { add, messageOrder, put, remove, tables } from '../../src/store/tables.ts'
import { runSeed } from '../support/random.ts'
import {
  aMessage,
  aStore,
  conversation,
  cursor,
  idsOf,
  message,
  openStore,
  outboxRow,
  write,
} from './support.ts'

test('what was put is got, under names, numbers and texts', async () => {
  const { store } = await aStore()
  await write(
    store,
    put(tables.identity, 'identity', { address: '0xa', registered: true }),
    outboxRow(7),
    cursor('node contact-0xa', 3n),
  )
  expect((await store.get(tables.identity, 'identity'))?.value).toMatchObject({
    address: '0xa',
    registered: true,
  })
  expect(await store.get(tables.outbox, 7)).toMatchObject({
    number: 7,
    value: { messageId: 'message 7' },
  })
  expect((await store.get(tables.cursors, 'node contact-0xa'))?.value.sequence).toBe(3n)
})

test('what was never put, or removed, is undefined', async () => {
  const { store } = await aStore()
  expect(await store.get(tables.identity, 'identity')).toBeUndefined()
  expect(await store.get(tables.outbox, 1)).toBeUndefined()
  await write(store, cursor('a', 1n), cursor('b', 2n))
  await write(store, remove(tables.cursors, 'a'), remove(tables.cursors, 'never there'))
  expect(await store.get(tables.cursors, 'a')).toBeUndefined()
  expect((await store.get(tables.cursors, 'b'))?.value.sequence).toBe(2n)
})

test('what is asked for in one turn is read in one transaction, and what comes later sees what was written since', async () => {
  const { store } = await aStore()
  await write(store, ...Array.from({ length: 100 }, (_, n) => cursor(`topic ${n}`, BigInt(n))))
  const opened = vi.spyOn(IDBDatabase.prototype, 'transaction')
  const rows = await Promise.all(
    Array.from({ length: 100 }, (_, n) => store.get(tables.cursors, `topic ${n}`)),
  )
  expect(opened).toHaveBeenCalledTimes(1)
  expect(rows.map((row) => row?.value.sequence)).toEqual(rows.map((_, n) => BigInt(n)))
  const before = store.get(tables.cursors, 'topic 1')
  await write(store, cursor('topic 1', 500n))
  expect((await before)?.value.sequence).toBe(1n)
  expect((await store.get(tables.cursors, 'topic 1'))?.value.sequence).toBe(500n)
  opened.mockRestore()
})

test('a put replaces, and of two writes to one key in a step the later counts', async () => {
  const { store } = await aStore()
  await write(store, cursor('a', 1n))
  await write(store, cursor('a', 2n), cursor('a', 3n))
  expect((await store.get(tables.cursors, 'a'))?.value.sequence).toBe(3n)
  await write(store, cursor('a', 4n), remove(tables.cursors, 'a'))
  expect(await store.get(tables.cursors, 'a')).toBeUndefined()
})

test('a step sees what it asked for, and gives its result', async () => {
  const { store } = await aStore()
  await write(store, cursor('a', 1n), cursor('b', 10n))
  const reads = [
    { table: tables.cursors, key: 'a' },
    { table: tables.cursors, key: 'missing' },
  ]
  const sum = await store.transaction(reads, (rows) => {
    const before = rows.get(tables.cursors, 'a')?.value.sequence ?? 0n
    expect(rows.get(tables.cursors, 'missing')).toBeUndefined()
    return { writes: [cursor('a', before + 5n)], result: before }
  })
  expect(sum).toBe(1n)
  expect((await store.get(tables.cursors, 'a'))?.value.sequence).toBe(6n)
})

test('a step that looks at what it did not ask for fails instead of writing over it', async () => {
  const { store } = await aStore()
  await write(store, cursor('a', 1n), cursor('b', 10n))
  for (const reads of [[], [{ table: tables.cursors, key: 'a' }]]) {
    const advance = store.transaction(reads, (rows) => {
      const before = rows.get(tables.cursors, 'b')?.value.sequence ?? 0n
      return { writes: [cursor('b', before + 1n)], result: undefined }
    })
    await expect(advance).rejects.toMatchObject({ code: 'internal' })
  }
  expect((await store.get(tables.cursors, 'b'))?.value.sequence).toBe(10n)
})

test('steps that read what others write run one after the other', async () => {
  const { store } = await aStore()
  await write(store, cursor('a', 0n))
  const reads = [{ table: tables.cursors, key: 'a' }]
  const count = () =>
    store.transaction(reads, (rows) => {
      const next = (rows.get(tables.cursors, 'a')?.value.sequence ?? 0n) + 1n
      return { writes: [cursor('a', next)], result: next }
    })
  const results = await Promise.all(Array.from({ length: 20 }, count))
  expect(results).toEqual(Array.from({ length: 20 }, (_, n) => BigInt(n + 1)))
})

test('a step that throws writes nothing and the store goes on', async () => {
  const { store } = await aStore()
  const failing = store.transaction([{ table: tables.cursors, key: 'a' }], () => {
    throw new RangeError('a defect')
  })
  await expect(failing).rejects.toMatchObject({ code: 'storage_failed' })
  await write(store, cursor('a', 1n))
  expect((await store.get(tables.cursors, 'a'))?.value.sequence).toBe(1n)
})

test('all gives every record of a table', async () => {
  const { store } = await aStore()
  expect(await store.all(tables.cursors)).toEqual([])
  await write(store, ...Array.from({ length: 300 }, (_, n) => cursor(`topic ${n}`, BigInt(n))))
  const sequences = (await store.all(tables.cursors)).map(({ value }) => value.sequence)
  expect(sequences.toSorted((a, b) => Number(a - b))).toEqual(
    Array.from({ length: 300 }, (_, n) => BigInt(n)),
  )
})

test('a list is one group in its order, from either end, and no more than the limit', async () => {
  const { store } = await aStore()
  for (const [id, of, ns] of [
    ['m3', 'c', 30n],
    ['other', 'd', 15n],
    ['m1', 'c', 10n],
    ['pending', 'c', 0n],
    ['m2', 'c', 20n],
  ] as const) {
    await write(store, message(store, id, of, ns))
  }
  const list = (limit: number, newestFirst?: boolean) =>
    store.list(tables.messages, {
      group: 'c',
      limit,
      ...(newestFirst === undefined ? {} : { newestFirst }),
    })
  expect(idsOf(await list(10))).toEqual(['m1', 'm2', 'm3', 'pending'])
  expect(idsOf(await list(10, true))).toEqual(['pending', 'm3', 'm2', 'm1'])
  expect(idsOf(await list(4, true))).toEqual(['pending', 'm3', 'm2', 'm1'])
  expect(idsOf(await list(3, true))).toEqual(['pending', 'm3', 'm2'])
  expect(idsOf(await list(1))).toEqual(['m1'])
  expect(await list(0)).toEqual([])
  expect(await store.list(tables.messages, { group: 'nobody', limit: 10 })).toEqual([])
})

test('pages of a list, each before the last of the page before, give everything once', async () => {
  const { store } = await aStore()
  const count = 23
  await write(
    store,
    ...Array.from({ length: count }, (_, n) => message(store, `m${n}`, 'c', BigInt(100 + n))),
  )
  for (const limit of [1, 2, 5, 22, 23, 24]) {
    const seen: string[] = []
    for (let before: Uint8Array<ArrayBuffer> | undefined; ; ) {
      const rows = await store.list(tables.messages, {
        group: 'c',
        limit,
        newestFirst: true,
        ...(before ? { before } : {}),
      })
      seen.push(...idsOf(rows))
      const last = rows.at(-1)
      if (!last) break
      before = messageOrder(last.value.nodeNs, last.value.composedNs)
    }
    expect(seen, `pages of ${limit}`).toEqual(
      Array.from({ length: count }, (_, n) => `m${count - 1 - n}`),
    )
  }
})

test('a list goes on behind its last record, within a place too, whether or not that record is still there', async () => {
  const { store } = await aStore()
  const ids = ['m1', 'tie 1', 'tie 2', 'tie 3', 'm5']
  const places = [1n, 5n, 5n, 5n, 9n]
  await write(store, ...ids.map((id, n) => message(store, id, 'c', places[n] ?? 0n)))
  const list = (more: Partial<ListOptions>) =>
    store.list(tables.messages, { group: 'c', limit: 1, newestFirst: true, ...more })
  for (const newestFirst of [true, false]) {
    const seen: string[] = []
    for (let past: ListOptions['past']; ; ) {
      const [row, ...others] = await list({ newestFirst, ...(past ? { past } : {}) })
      expect(others).toEqual([])
      if (!row) break
      seen.push(row.value.messageId)
      past = { place: messageOrder(row.value.nodeNs, 1n), key: row.value.messageId }
    }
    expect(seen.toSorted()).toEqual(ids.toSorted())
    expect(newestFirst ? seen : seen.reverse()).toMatchObject({ 0: 'm5', 4: 'm1' })
  }
  const at = messageOrder(5n, 1n)
  const [first] = await list({ at })
  const key = first?.value.messageId ?? ''
  const rest = idsOf(await list({ at, limit: 9, past: { place: at, key } }))
  expect([key, ...rest].toSorted()).toEqual(['tie 1', 'tie 2', 'tie 3'])
  await write(store, remove(tables.messages, key))
  expect(idsOf(await list({ limit: 9, past: { place: at, key } }))).toEqual([...rest, 'm1'])
  expect(idsOf(await list({ limit: 9, before: at }))).toEqual(['m1'])
})

test('a group without places goes on behind its last record', async () => {
  const { store } = await aStore()
  const numbers = Array.from({ length: 7 }, (_, n) => n)
  await write(
    store,
    ...numbers.map((n) => put(tables.sessions, `a ${n}`, { installationId: 'a', sentSince: n })),
    put(tables.sessions, 'b 9', { installationId: 'b', sentSince: 9 }),
  )
  const seen: number[] = []
  for (let past: ListOptions['past']; ; ) {
    const rows = await store.list(tables.sessions, {
      group: 'a',
      limit: 3,
      ...(past ? { past } : {}),
    })
    seen.push(...rows.map(({ value }) => value.sentSince))
    const last = rows.at(-1)
    if (!last) break
    past = { key: `a ${last.value.sentSince}` }
  }
  expect(seen.toSorted()).toEqual(numbers)
})

test('one read decrypts at most 8 MiB, and goes on from there; a record alone is always read', async () => {
  const { store } = await aStore()
  const size = 3 * 1024 * 1024
  for (let n = 1; n <= 5; n += 1) {
    const record = { ...aMessage(`m${n}`, 'c', BigInt(n)), content: new Uint8Array(size) }
    await write(store, add(tables.messages, `m${n}`, record, store.nextNumber(tables.messages)))
  }
  const seen: string[][] = []
  for (let after = 0; ; ) {
    const { rows, lastNumber } = await store.scan(tables.messages, { after, limit: 100 })
    seen.push([...idsOf(rows)])
    if (lastNumber === after) break
    after = lastNumber
  }
  expect(seen).toEqual([['m1', 'm2'], ['m3', 'm4'], ['m5'], []])
  const list = { group: 'c', limit: 100, newestFirst: true }
  expect(idsOf(await store.list(tables.messages, list))).toEqual(['m5', 'm4'])
  const huge = { ...aMessage('huge', 'd', 1n), content: new Uint8Array(9 * 1024 * 1024) }
  await write(store, add(tables.messages, 'huge', huge, store.nextNumber(tables.messages)))
  expect(idsOf(await store.list(tables.messages, { group: 'd', limit: 9 }))).toEqual(['huge'])
})

test('all sessions of an installation are read, also when one read does not decrypt them', async () => {
  const { store } = await aStore()
  const addSession = (installationId: string, createdMs: bigint, bytes: number) => {
    const sessionId = Uint8Array.of(Number(createdMs))
    const record = { installationId, sessionId, createdMs, state: new Uint8Array(bytes) }
    return write(store, put(tables.sessions, `${installationId} ${createdMs}`, record))
  }
  for (let n = 1n; n <= 5n; n += 1n) await addSession('a', n, 3 * 1024 * 1024)
  await addSession('b', 6n, 1)
  const read = async (group?: string) => {
    const pages: bigint[][] = []
    for await (const page of store.pages(tables.sessions, group)) {
      pages.push(page.map(({ value }) => value.createdMs))
    }
    return pages
  }
  const ofA = await read('a')
  expect(ofA.map(({ length }) => length)).toEqual([2, 2, 1])
  expect(ofA.flat().toSorted()).toEqual([1n, 2n, 3n, 4n, 5n])
  expect(await read('b')).toEqual([[6n]])
  expect(await read('c')).toEqual([])
  expect((await read()).flat().toSorted()).toEqual([1n, 2n, 3n, 4n, 5n, 6n])
})

test('conversations are listed by last activity, and move when something happens', async () => {
  const { store } = await aStore()
  await write(store, conversation('a', 1n), conversation('b', 3n), conversation('c', 2n))
  const list = async () => {
    const options = { group: 'unknown', limit: 10, newestFirst: true }
    const rows = await store.list(tables.conversations, options)
    return rows.map(({ value }) => value.conversationId)
  }
  expect(await list()).toEqual(['b', 'c', 'a'])
  await write(store, conversation('a', 2n ** 40n))
  expect(await list()).toEqual(['a', 'b', 'c'])
})

test('sessions and installations are listed by what they belong to', async () => {
  const { store } = await aStore()
  const session = (installationId: string, n: number) =>
    put(tables.sessions, `${installationId} ${n}`, { installationId, sentSince: n })
  await write(store, session('a', 1), session('a', 2), session('b', 3))
  const rows = await store.list(tables.sessions, { group: 'a', limit: 10 })
  expect(rows.map(({ value }) => value.sentSince).toSorted()).toEqual([1, 2])
  expect(await store.list(tables.sessions, { group: 'a', limit: 1 })).toHaveLength(1)
  expect(await store.list(tables.installations, { group: 'a', limit: 10 })).toEqual([])
})

test('a scan goes by running number, from after one, and says where to go on', async () => {
  const { store } = await aStore()
  await write(store, outboxRow(2), outboxRow(3), outboxRow(10), outboxRow(11))
  const scan = async (after: number, limit: number) => {
    const { rows, lastNumber } = await store.scan(tables.outbox, { after, limit })
    return { numbers: rows.map(({ number }) => number), lastNumber }
  }
  expect(await scan(0, 10)).toEqual({ numbers: [2, 3, 10, 11], lastNumber: 11 })
  expect(await scan(0, 4)).toEqual({ numbers: [2, 3, 10, 11], lastNumber: 11 })
  expect(await scan(0, 2)).toEqual({ numbers: [2, 3], lastNumber: 3 })
  expect(await scan(3, 2)).toEqual({ numbers: [10, 11], lastNumber: 11 })
  expect(await scan(2, 1)).toEqual({ numbers: [3], lastNumber: 3 })
  expect(await scan(11, 5)).toEqual({ numbers: [], lastNumber: 11 })
  expect(await scan(99, 5)).toEqual({ numbers: [], lastNumber: 99 })
  expect(await scan(5, 0)).toEqual({ numbers: [], lastNumber: 5 })
})

test('a scan of one group passes the others by and still says how far it came', async () => {
  const { store } = await aStore()
  for (const [id, of] of [
    ['m1', 'c'],
    ['m2', 'd'],
    ['m3', 'c'],
    ['m4', 'd'],
    ['m5', 'd'],
  ] as const) {
    await write(store, message(store, id, of, 9n))
  }
  const scan = async (after: number, limit: number, group: string) => {
    const { rows, lastNumber } = await store.scan(tables.messages, { after, limit, group })
    return { ids: idsOf(rows), lastNumber }
  }
  expect(await scan(0, 10, 'c')).toEqual({ ids: ['m1', 'm3'], lastNumber: 5 })
  expect(await scan(0, 1, 'c')).toEqual({ ids: ['m1'], lastNumber: 1 })
  expect(await scan(1, 1, 'c')).toEqual({ ids: ['m3'], lastNumber: 3 })
  expect(await scan(3, 1, 'c')).toEqual({ ids: [], lastNumber: 5 })
  expect(await scan(0, 2, 'd')).toEqual({ ids: ['m2', 'm4'], lastNumber: 4 })
})

test('scanning page by page gives what was written, whatever the pages and gaps', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.uniqueArray(fc.integer({ min: 1, max: 200 }), { maxLength: 30 }),
      fc.integer({ min: 1, max: 12 }),
      async (numbers, limit) => {
        const { store } = await aStore()
        await write(store, ...numbers.map((number) => outboxRow(number)))
        const seen: number[] = []
        for (let after = 0; ; ) {
          const page = await store.scan(tables.outbox, { after, limit })
          if (page.rows.length === 0) break
          seen.push(...page.rows.map(({ number }) => number))
          after = page.lastNumber
        }
        expect(seen).toEqual(numbers.toSorted((a, b) => a - b))
        await store.close()
      },
    ),
    { seed: runSeed(), numRuns: 15 },
  )
})

test('numbers ascend and go on after what is stored when the database is opened again', async () => {
  const { store, database } = await aStore()
  expect(store.nextNumber(tables.outbox)).toBe(1)
  expect(store.nextNumber(tables.outbox)).toBe(2)
  expect(store.nextNumber(tables.parked)).toBe(1)
  await write(store, outboxRow(2), put(tables.seen, 41, { nodeNs: 1n }))
  await write(store, put(tables.parked, 6, { address: 'a' }), put(tables.setAside, 8, {}))
  // What is never stored leaves a gap, which does not matter.
  store.nextNumber(tables.messages)
  await write(store, message(store, 'm', 'c', 1n))
  await store.close()

  const again = await openStore(database)
  expect(again.nextNumber(tables.outbox)).toBeGreaterThan(2)
  expect(again.nextNumber(tables.seen)).toBeGreaterThan(41)
  expect(again.nextNumber(tables.parked)).toBeGreaterThan(6)
  expect(again.nextNumber(tables.setAside)).toBeGreaterThan(8)
  expect(again.nextNumber(tables.messages)).toBeGreaterThan(2)
  expect((await again.scan(tables.messages, { after: 0, limit: 5 })).rows).toMatchObject([
    { number: 2, value: { messageId: 'm' } },
  ])
})

test('a message keeps its number when it is written again with it', async () => {
  const { store } = await aStore()
  await write(store, message(store, 'm', 'c', 0n))
  const row = await store.get(tables.messages, 'm')
  if (!row) throw new Error('it was written')
  expect(row.number).toBe(1)
  await write(store, put(tables.messages, 'm', { ...row.value, nodeNs: 5n }, row.number))
  expect(await store.get(tables.messages, 'm')).toMatchObject({ number: 1, value: { nodeNs: 5n } })
})

test('a store that is closed answers nothing more, with a code', async () => {
  const { store } = await aStore()
  await write(store, cursor('a', 1n))
  await store.close()
  await store.close()
  for (const call of [
    () => store.get(tables.cursors, 'a'),
    () => store.all(tables.cursors),
    () => store.list(tables.messages, { group: 'c', limit: 1 }),
    () => store.scan(tables.outbox, { after: 0, limit: 1 }),
    () => write(store, cursor('a', 2n)),
    () =>
      store.transaction([{ table: tables.cursors, key: 'a' }], () => ({ writes: [], result: 1 })),
  ]) {
    await expect(call()).rejects.toMatchObject({ code: 'storage_failed' })
  }
})
