/** The seam of catch-up and live, moment by moment, where the tests under load meet it by chance. */
import { afterEach, beforeEach, expect, test } from 'vitest'
import { openSqliteStore } from '../../node/src/store/sqlite/sqlite.ts'
import type { Store } from '../../node/src/store/store.ts'
import { LiveFeed } from '../../node/src/streams/live-feed.ts'
import { type StreamEvent, subscribe } from '../../node/src/streams/subscription.ts'
import { stockMinimum } from '../../src/protocol/limits.ts'
import { mail, TestInstallation, testAccount, testClock } from './support.ts'

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
  store.publish(Array.from({ length: count }, (_, n) => mail(bob, `${from + n}`)))

function open(reading: Store, envelopes = 10) {
  feed = new LiveFeed(reading, { envelopes, bytes: 1024 * 1024 }, stockMinimum)
  const events = subscribe({
    store: reading,
    feed,
    clock,
    heartbeatMs: 60_000,
    cursors: [{ topic: bob.inbox, afterSequence: 0n }],
    installationIds: [],
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

test('what comes while the last page waits for its reader is read again if it was too much', async () => {
  await publish(1, 3)
  const next = open(store)
  expect(await next()).toBe('started')
  expect(await next()).toEqual([1, 2, 3])
  // The page is out and caught-up is not: eleven do not fit the buffer of ten.
  await publish(4, 11)
  expect(await next()).toEqual([4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14])
  expect(await next()).toBe('caught-up')
})

test('what fits the buffer meanwhile comes after caught-up, once', async () => {
  await publish(1, 3)
  const next = open(store)
  await next()
  expect(await next()).toEqual([1, 2, 3])
  await publish(4, 10)
  expect(await next()).toBe('caught-up')
  expect(await next()).toEqual([4, 5, 6, 7, 8, 9, 10, 11, 12, 13])
})

test('what a page and the buffer both have comes once', async () => {
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

test('what is stored between the page and the first live frame is not missed', async () => {
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

test('a reader that stands still too long after caught-up is ended', async () => {
  const next = open(store)
  await next()
  expect(await next()).toBe('caught-up')
  await publish(1, 10)
  expect(await next()).toHaveLength(10)
  await publish(11, 11)
  await expect(next()).rejects.toThrow(/too slowly/)
})
