/** Digests of processed envelopes: docs/protocol.md section 7, Replays; one part alone. */

import { expect, test } from 'vitest'
import { PrefixSet } from '../../../src/engine/receiving/prefix-set.ts'
import { Seen } from '../../../src/engine/receiving/seen.ts'
import { commit } from '../../../src/engine/runtime/change.ts'
import { tables } from '../../../src/store/tables.ts'
import { aPartWorld } from '../../support/engine-context.ts'

/** The n-th of many digests; their prefixes differ. */
const digest = (n: number): Uint8Array => {
  const bytes = new Uint8Array(32).fill(7)
  new DataView(bytes.buffer).setUint32(n % 2 === 0 ? 0 : 4, n)
  return bytes
}

const digests = (from: number, to: number): readonly Uint8Array[] =>
  Array.from({ length: to - from }, (_, n) => digest(from + n))

const someSeen = async () => {
  const world = await aPartWorld()
  let scans = 0
  const store: typeof world.store = {
    ...world.store,
    scan: (table, options) => {
      scans += 1
      return world.store.scan(table, options)
    },
  }
  const context = { ...world.context, store }
  const add = (seen: Seen, some: readonly Uint8Array[]) =>
    commit(world.store, seen.additionChange(some, world.context.time.passedNs()))
  const records = async () =>
    (await world.store.scan(tables.seen, { after: 0, limit: 10_000 })).rows
  return { ...world, context, add, records, scansOf: () => scans }
}

test('what was processed is found: in the store, and what was added since; anything else is not', async () => {
  const all = await someSeen()
  const seen = new Seen(all.context)
  await all.add(seen, digests(1, 200))
  await all.add(seen, digests(200, 201))
  expect(await seen.find([digest(1), digest(200), digest(201)])).toEqual([true, true, false])
  await all.add(seen, [digest(201)])
  expect(await seen.find([digest(201), digest(202)])).toEqual([true, false])
  expect(await new Seen(all.context).find(digests(1, 203))).toEqual([
    ...digests(1, 202).map(() => true),
    false,
  ])
})

test('the store is read at the first question, and never again', async () => {
  const all = await someSeen()
  const seen = new Seen(all.context)
  for (let n = 1; n < 50; n += 1) await all.add(seen, [digest(n)])
  expect(all.scansOf()).toBe(0)
  await seen.find([digest(1)])
  const once = all.scansOf()
  for (let n = 50; n < 100; n += 1) {
    await all.add(seen, [digest(n)])
    expect(await seen.find([digest(n), digest(n + 1)])).toEqual([true, false])
  }
  expect(all.scansOf()).toBe(once)
})

test('records of single messages are merged, and last as long as the newest of them', async () => {
  const all = await someSeen()
  const seen = new Seen(all.context)
  for (let n = 1; n <= 1_200; n += 1) await all.add(seen, [digest(n)])
  const times = (await all.records()).map(({ value }) => value.nodeNs)
  while (await seen.mergeSome());
  expect((await all.records()).map(({ value }) => value.prefixes.length)).toEqual([1_200 * 8])
  expect((await all.records())[0]?.value.nodeNs).toBe(times.at(-1))
  // What comes later joins them, until the record is full.
  await all.add(seen, digests(1_201, 4_001))
  await all.add(seen, [digest(4_001)])
  while (await seen.mergeSome());
  await all.add(seen, digests(4_002, 4_200))
  while (await seen.mergeSome());
  await all.add(seen, [digest(4_200)])
  while (await seen.mergeSome());
  expect((await all.records()).map(({ value }) => value.prefixes.length / 8)).toEqual([4_001, 199])
  const later = new Seen(all.context)
  expect(await later.find(digests(1, 4_202))).toEqual([...digests(1, 4_201).map(() => true), false])
})

test('a set of prefixes has what was added, however much it grew', () => {
  const set = new PrefixSet()
  const count = 100_000
  for (let n = 1; n < count; n += 2) set.addAll(digest(n).subarray(0, 8))
  let found = 0
  for (let n = 1; n < count; n += 1) if (set.has(digest(n))) found += 1
  expect(found).toBe(count / 2)
  expect(set.has(new Uint8Array(32))).toBe(false)
  set.addAll(new Uint8Array(8))
  expect(set.has(new Uint8Array(32))).toBe(false)
})
