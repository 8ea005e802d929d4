/**
 * The seam of catch-up and live, moment by moment, where the tests under load meet it by chance; news
 * that come in the wrong order or not at all; and what readers that take nothing may hold.
 */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { AnswerMemory } from '../../node/src/limits/answer-memory.ts'
import { openSqliteStore } from '../../node/src/store/sqlite/sqlite.ts'
import type { Commit, Cursor, Store, StoredEnvelope } from '../../node/src/store/store.ts'
import { LiveFeed } from '../../node/src/streams/live-feed.ts'
import { type StreamEvent, subscribe } from '../../node/src/streams/subscription.ts'
import { stockMinimum } from '../../src/protocol/limits.ts'
import { inboxEnvelope, TestInstallation, testAccount, testClock } from './support.ts'

const clock = testClock()
const bob = new TestInstallation(testAccount('bob'), 'bob')
let store: Store
let feed: LiveFeed | undefined

beforeEach(async () => {
  store = openSqliteStore({ file: ':memory:', clock })
  await store.publish([await bob.bundle(clock.nowNs)])
})
afterEach(async () => {
  feed?.close()
  await store.close()
})

const publish = (from: number, count: number) =>
  store.publish(Array.from({ length: count }, (_, n) => inboxEnvelope(bob, `${from + n}`)))

function open(reading: Store, envelopes = 10) {
  feed = new LiveFeed(reading, { envelopes, bytes: 1024 * 1024 }, stockMinimum)
  const events = subscribe({
    store: reading,
    feed,
    clock,
    heartbeatMs: 60_000,
    cursors: [{ topic: bob.inbox, afterSequence: 0n }],
    installationIds: [],
    room: new AnswerMemory({ limitBytes: 64 * mebibyte, exempt: () => true }).open('', () => {}),
    signal: new AbortController().signal,
  })
  return async () => {
    const { value } = await events.next()
    return shortly(value)
  }
}

/** A kind, or for envelopes their sequences. */
const shortly = (event: StreamEvent | undefined) =>
  event?.kind === 'envelopes'
    ? event.envelopes.map(({ sequence }) => Number(sequence))
    : event?.kind

test('section 5: what comes while the last page waits for its reader is read again if it was too much', async () => {
  await publish(1, 3)
  const next = open(store)
  expect(await next()).toBe('started')
  expect(await next()).toEqual([1, 2, 3])
  // The page is out and caught-up is not: eleven do not fit the buffer of ten.
  await publish(4, 11)
  expect(await next()).toEqual([4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14])
  expect(await next()).toBe('caught-up')
})

test('section 5: what fits the buffer meanwhile comes after caught-up, once', async () => {
  await publish(1, 3)
  const next = open(store)
  await next()
  expect(await next()).toEqual([1, 2, 3])
  await publish(4, 10)
  expect(await next()).toBe('caught-up')
  expect(await next()).toEqual([4, 5, 6, 7, 8, 9, 10, 11, 12, 13])
})

test('section 5: what a page and the buffer both have comes once', async () => {
  await publish(1, 2)
  // Stored after the subscription began to collect and before its page is read.
  const late: Store = Object.create(store, {
    page: {
      value: async (...args: Parameters<Store['page']>) => {
        await publish(3, 2)
        return store.page(...args)
      },
    },
    nodeId: { value: store.nodeId },
    watch: { value: store.watch.bind(store) },
  })
  const next = open(late)
  await next()
  expect(await next()).toEqual([1, 2, 3, 4])
  expect(await next()).toBe('caught-up')
  await publish(5, 1)
  expect(await next()).toEqual([5])
})

test('section 5: what is stored between the page and the first live frame is not missed', async () => {
  const early: Store = Object.create(store, {
    page: {
      value: async (...args: Parameters<Store['page']>) => {
        const page = await store.page(...args)
        await publish(1, 2)
        return page
      },
    },
    nodeId: { value: store.nodeId },
    watch: { value: store.watch.bind(store) },
  })
  const next = open(early)
  await next()
  expect(await next()).toBe('caught-up')
  expect(await next()).toEqual([1, 2])
})

test('section 5: a reader that stands still too long after caught-up is ended', async () => {
  const next = open(store)
  await next()
  expect(await next()).toBe('caught-up')
  await publish(1, 10)
  expect(await next()).toHaveLength(10)
  await publish(11, 11)
  await expect(next()).rejects.toThrow(/too slowly/)
})

/** A store that emits the commits of other processes when and in whatever order a test asks. */
class ScriptedStore {
  readonly nodeId = new Uint8Array(16)
  readonly chainIds = []
  readonly clock = clock
  readonly stored: StoredEnvelope[] = []
  pages = 0
  #listener: (commit: Commit) => void = () => {}

  watch(listener: (commit: Commit) => void) {
    this.#listener = listener
    return () => {}
  }

  async page(cursors: readonly Cursor[]) {
    this.pages += 1
    const after = new Map(cursors.map(({ topic, afterSequence }) => [topic, afterSequence]))
    const envelopes = this.stored.filter(
      ({ topic, sequence }) => sequence > (after.get(topic) ?? sequence),
    )
    return { envelopes, hasMore: false }
  }

  async stock(installationId: string) {
    return { installationId, oneTimeLeft: 0, newestCreatedNs: 0n }
  }

  /** Stores so many on a topic, and emits nothing. */
  add(topic: string, count: number, bytes = 8) {
    const before = this.stored.filter((envelope) => envelope.topic === topic).length
    const added = Array.from({ length: count }, (_, n) => ({
      topic,
      sequence: BigInt(before + n + 1),
      nodeNs: BigInt(this.stored.length + n),
      message: new Uint8Array(bytes),
    }))
    this.stored.push(...added)
    return added
  }

  emit(envelopes: readonly StoredEnvelope[], missed = false) {
    this.#listener({ envelopes, stocks: [], missed })
  }

  publish = neverCalled
  claim = neverCalled
  sweep = neverCalled
  occupancy = async () => ({ usedBytes: 0 })
  takesWrites = neverCalled
  close = neverCalled
}

const neverCalled = () => Promise.reject(new Error('nobody asks this here'))

async function caughtUp(scripted: ScriptedStore, envelopes?: number) {
  const next = open(scripted, envelopes)
  while ((await next()) !== 'caught-up') {
    // Whatever comes before is not what these tests are about.
  }
  scripted.pages = 0
  return next
}

test('section 5: envelopes that are emitted in the wrong order are read from the store, and come in order and once', async () => {
  const scripted = new ScriptedStore()
  scripted.add(bob.inbox, 3)
  const next = await caughtUp(scripted)
  const [fourth, fifth, sixth] = scripted.add(bob.inbox, 3)
  if (!fourth || !fifth || !sixth) throw new Error('three were added')
  scripted.emit([fifth])
  scripted.emit([fourth])
  expect(await next()).toEqual([4, 5, 6])
  expect(scripted.pages).toBe(1)
  // The same ones again are known by their numbers; what follows goes on without a reading.
  scripted.emit([fourth, fifth])
  scripted.emit([sixth])
  scripted.emit(scripted.add(bob.inbox, 1))
  expect(await next()).toEqual([7])
  expect(scripted.pages).toBe(1)
})

test('section 5: a number that is skipped inside what waits is noticed too', async () => {
  const scripted = new ScriptedStore()
  const next = await caughtUp(scripted)
  const [first, second, third] = scripted.add(bob.inbox, 3)
  if (!first || !second || !third) throw new Error('three were added')
  scripted.emit([first, third])
  expect(await next()).toEqual([1, 2, 3])
  expect(scripted.pages).toBe(1)
  expect(second.sequence).toBe(2n)
})

test('section 5: a number that is gone for good does not stop what comes after it', async () => {
  const scripted = new ScriptedStore()
  scripted.add(bob.inbox, 1)
  const next = await caughtUp(scripted)
  const [gone, here] = scripted.add(bob.inbox, 2)
  if (!gone || !here) throw new Error('two were added')
  scripted.stored.splice(scripted.stored.indexOf(gone), 1)
  scripted.emit([here])
  expect(await next()).toEqual([3])
})

test('section 5: commits that are told late, after they were read from the store, are no backlog', async () => {
  const scripted = new ScriptedStore()
  const late = scripted.add(bob.inbox, 50)
  const next = await caughtUp(scripted)
  // Five times what the reader's buffer holds, and nothing that it does not have.
  scripted.emit(late)
  scripted.emit(scripted.add(bob.inbox, 1))
  expect(await next()).toEqual([51])
})

test('section 5: a reader gets envelopes that were never emitted once a commit was missed', async () => {
  const scripted = new ScriptedStore()
  const next = await caughtUp(scripted)
  scripted.add(bob.inbox, 2)
  const waiting = next()
  scripted.emit([], true)
  expect(await waiting).toEqual([1, 2])
  scripted.emit([], true)
  scripted.emit(scripted.add(bob.inbox, 1))
  expect(await next()).toEqual([3])
})

const mebibyte = 1024 * 1024
const anInbox = (n: number) => `message-${`${n}`.padStart(43, 'A')}`
const waiting = (reader: number, feed: LiveFeed) =>
  feed.open({ topics: [anInbox(reader)], installationIds: [] }).buffer

test('what waits for all readers together is bounded: the fullest lose theirs, the others nothing', () => {
  const scripted = new ScriptedStore()
  const bounded = new LiveFeed(
    scripted,
    { envelopes: 1_000, bytes: 64 * mebibyte },
    0,
    4 * mebibyte,
  )
  const buffers = Array.from({ length: 100 }, (_, reader) => waiting(reader, bounded))
  let most = 0
  for (let round = 0; round < 20; round += 1) {
    for (const reader of buffers.keys()) {
      // Every tenth gets four times what the others get.
      scripted.emit(scripted.add(anInbox(reader), 1, reader % 10 === 0 ? 16_384 : 4_096))
      most = Math.max(most, bounded.memory.waitingBytes)
    }
  }
  expect(most).toBeLessThanOrEqual(4 * mebibyte)
  expect(most).toBeGreaterThan(3 * mebibyte)
  const ended = [...buffers.keys()].filter((reader) => buffers[reader]?.overflowed)
  expect(ended.length).toBeGreaterThan(0)
  for (const buffer of buffers) {
    if (buffer.overflowed) continue
    // Who was not ended has everything.
    expect(buffer.take({ envelopes: 1_000, bytes: 64 * mebibyte })).toHaveLength(20)
  }
  for (const reader of buffers.keys()) if (reader % 10 === 0) expect(ended).toContain(reader)
  expect(bounded.memory.waitingBytes).toBe(0)
  bounded.close()
})

test('an envelope that waits for a thousand readers is held, and counted, once', () => {
  const scripted = new ScriptedStore()
  const shared = new LiveFeed(scripted, { envelopes: 1_000, bytes: 64 * mebibyte }, 0, 4 * mebibyte)
  const buffers = Array.from({ length: 1_000 }, () => waiting(0, shared))
  for (let n = 0; n < 3; n += 1) scripted.emit(scripted.add(anInbox(0), 1, mebibyte))
  expect(shared.memory.waitingBytes).toBeLessThan(3.1 * mebibyte)
  expect(buffers.some(({ overflowed }) => overflowed)).toBe(false)
  const everything = { envelopes: 1_000, bytes: 64 * mebibyte }
  for (const buffer of buffers.slice(1)) expect(buffer.take(everything)).toHaveLength(3)
  expect(shared.memory.waitingBytes).toBeGreaterThan(3 * mebibyte)
  buffers[0]?.end()
  expect(shared.memory.waitingBytes).toBe(0)
  shared.close()
})

test('two thousand readers that take nothing hold no more memory than they may together', async () => {
  const limit = 64 * mebibyte
  const scripted = new ScriptedStore()
  const bounded = new LiveFeed(scripted, { envelopes: 8_192, bytes: 32 * mebibyte }, 0, limit)
  const buffers = Array.from({ length: 2_000 }, (_, reader) => waiting(reader, bounded))
  const before = await heldBytes()
  // 4 KiB in turn for each, 512 MiB in all; nobody reads.
  for (let n = 0; n < 131_072; n += 1) {
    const envelope = { topic: anInbox(n % 2_000), sequence: 1n, nodeNs: 1n }
    scripted.emit([{ ...envelope, message: new Uint8Array(4_096) }])
  }
  expect(buffers.some(({ overflowed }) => overflowed)).toBe(true)
  expect((await heldBytes()) - before).toBeLessThan(1.25 * limit)
  bounded.close()
})

/** Bytes of messages and objects that are still referred to: buffers are given back in the background. */
async function heldBytes(): Promise<number> {
  setFlagsFromString('--expose-gc')
  let held = Number.POSITIVE_INFINITY
  for (let round = 0; round < 5; round += 1) {
    runInNewContext('gc')()
    await new Promise((resolve) => setImmediate(resolve))
    const { heapUsed, arrayBuffers } = process.memoryUsage()
    held = Math.min(held, heapUsed + arrayBuffers)
  }
  return held
}
