/** Rate limits: who asks too much waits as long as it is told, and nobody else notices. */
import { randomBytes } from 'node:crypto'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { Code, createContextValues } from '@connectrpc/connect'
import { connectNodeAdapter, createConnectTransport } from '@connectrpc/connect-node'
import { afterEach, expect, onTestFinished, test } from 'vitest'
import type { Chains } from '../../node/src/chains/chains.ts'
import {
  createRateLimits,
  type Limited,
  type RateLimits,
} from '../../node/src/limits/rate-limits.ts'
import { type Rates, rateDefaults } from '../../node/src/limits/rates.ts'
import { TokenBuckets } from '../../node/src/limits/token-buckets.ts'
import { callerKey } from '../../node/src/server/caller.ts'
import { openSqliteStore } from '../../node/src/store/sqlite/sqlite.ts'
import { StoreFailure } from '../../node/src/store/store.ts'
import { createInProcessNode, type InProcessNode, serveInProcess } from '../../node/src/testing.ts'
import { until } from '../support/until.ts'
import {
  inboxEnvelope,
  minuteNs,
  type NodeClient,
  nodeClient,
  refusalOf,
  register,
  TestInstallation,
  TestStream,
  testAccount,
  testClock,
} from './support.ts'

const hourMs = 3_600_000
const dayMs = 24 * hourMs
const noRates = Object.fromEntries(Object.keys(rateDefaults).map((name) => [name, 0])) as Record<
  keyof Rates,
  number
>

/** Milliseconds that only move when a test turns them. */
function testTime() {
  const time = () => time.nowMs
  // As after three years without a restart: times are still exact.
  time.nowMs = 1_095 * dayMs
  return time
}
type TestTime = ReturnType<typeof testTime>

/** The installations of a claim that give only their fallback key; fails if it is refused. */
function fallbacksOf(claim: ReturnType<RateLimits['claim']>): readonly string[] {
  if (claim.kind !== 'claim') throw new Error(`refused for ${claim.kind}`)
  return [...claim.fallbackOnly]
}

const limitsOf = (rates: Partial<Rates>, time: TestTime) =>
  createRateLimits({ ...noRates, ...rates }, { clock: time })

test('a bucket gives its burst at once, then its rate, and says when there is enough again', () => {
  const buckets = new TokenBuckets({ perSecond: 3, burst: 10, keysLimit: 10 })
  let nowMs = 1_095 * dayMs
  const take = (tokens: number) => {
    const waitMs = buckets.waitMs('a', tokens, nowMs)
    if (waitMs === 0) buckets.take('a', tokens, nowMs)
    return waitMs
  }
  for (let n = 0; n < 10; n += 1) expect(take(1)).toBe(0)
  expect(take(1)).toBe(334)
  expect(take(7)).toBe(2_334)
  nowMs += 333
  expect(take(1)).toBe(1)
  nowMs += 1
  expect(take(1)).toBe(0)
  expect(buckets.waitMs('b', 10, nowMs)).toBe(0)
  // More than there ever is is there when the bucket is full, and then missing for longer.
  nowMs += 10_000
  expect(take(20)).toBe(0)
  expect(take(1)).toBe(3_667)
})

test('after the time that a refusal names, a retry succeeds, whatever the rate and the amount', () => {
  const time = testTime()
  let seed = 7
  const random = (below: number) => {
    seed = (seed * 48_271) % 2_147_483_647
    return seed % below
  }
  for (let round = 0; round < 2_000; round += 1) {
    const perSecond = (random(1_000_000) + 1) / (random(1_000) + 1)
    const buckets = new TokenBuckets({ perSecond, burst: random(1_000) + 1, keysLimit: 10 })
    for (let n = 0; n < 5; n += 1) {
      const tokens = random(2_000)
      const waitMs = buckets.waitMs('a', tokens, time.nowMs)
      if (waitMs > 2)
        expect(buckets.waitMs('a', tokens, time.nowMs + waitMs - 2)).toBeGreaterThan(0)
      time.nowMs += waitMs
      expect(buckets.waitMs('a', tokens, time.nowMs)).toBe(0)
      buckets.take('a', tokens, time.nowMs)
    }
  }
})

test('however many keys there are, so many are remembered, and those used last', () => {
  const buckets = new TokenBuckets({ perSecond: 1, burst: 1, keysLimit: 100 })
  buckets.take('first', 1, 0)
  for (let n = 0; n < 10_000; n += 1) {
    buckets.take(`${n}`, 1, 0)
    if (n % 50 === 0) buckets.take('first', 1, 0)
  }
  expect(buckets.size).toBe(100)
  expect(buckets.waitMs('first', 1, 0)).toBeGreaterThan(0)
  expect(buckets.waitMs('9999', 1, 0)).toBeGreaterThan(0)
  expect(buckets.waitMs('0', 1, 0)).toBe(0)
})

test('a rate of 0 is no limit, and an exempt caller has none', () => {
  const time = testTime()
  const none = limitsOf({}, time)
  const one = createRateLimits({ requestsBurst: 1 }, { clock: time, exempt: (who) => who === 'me' })
  for (let n = 0; n < 1_000; n += 1) {
    expect(none.request('a')).toBeUndefined()
    expect(one.request('me')).toBeUndefined()
  }
  expect(one.request('a')).toBeUndefined()
  expect(one.request('a')).toMatchObject({ kind: 'requests' })
})

const inbox = (n: number) => `message-${`${n}`.padStart(43, 'A')}`
const id = (n: number) => `${n}`.padStart(43, 'A')
const envelope = (topic: string, bytes = 1_024) => ({ topic, message: new Uint8Array(bytes) })

test('a request that is refused for one inbox takes nothing from any other bucket', () => {
  const limits = limitsOf(
    {
      callerInboxEnvelopesPerSecond: 1,
      callerInboxEnvelopesBurst: 2,
      publishedEnvelopesPerSecond: 1,
      publishedEnvelopesBurst: 4,
    },
    testTime(),
  )
  const two = [envelope(inbox(1)), envelope(inbox(1))]
  expect(limits.publish('a', two)).toBeUndefined()
  expect(limits.publish('a', [envelope(inbox(2)), envelope(inbox(1))])).toEqual({
    kind: 'caller_inbox',
    retryAfterMs: 1_000,
    envelopeIndex: 1,
  })
  expect(limits.publish('a', [envelope(inbox(2)), envelope(inbox(2))])).toBeUndefined()
  expect(limits.publish('a', [envelope(inbox(3))])).toMatchObject({ kind: 'published_envelopes' })
})

test('a crowd that floods an inbox is limited in all, and silences nobody who writes to it', () => {
  const time = testTime()
  const limits = createRateLimits({}, { clock: time })
  const flood = (caller: string) => {
    let count = 0
    while (count < 50_000 && limits.publish(caller, [envelope(inbox(1), 16)]) === undefined)
      count += 1
    return count
  }
  const { callerInboxEnvelopesBurst, inboxEnvelopesBurst, inboxShareBurst } = rateDefaults
  expect(flood('abuser')).toBe(callerInboxEnvelopesBurst)
  let sum = callerInboxEnvelopesBurst
  for (let n = 0; n < 20; n += 1) sum += flood(`abuser ${n}`)
  expect(sum).toBe(inboxEnvelopesBurst + 21 * inboxShareBurst)
  // A friend still gets an evening's conversation through, and one message in five seconds after it.
  expect(flood('friend')).toBe(inboxShareBurst)
  expect(limits.publish('friend', [envelope(inbox(1))])).toMatchObject({ kind: 'inbox' })
  expect(limits.publish('friend', [envelope(inbox(2))])).toBeUndefined()
  time.nowMs += 5_000
  for (let n = 0; n < 20; n += 1) flood(`abuser ${n}`)
  expect(limits.publish('friend', [envelope(inbox(1))])).toBeUndefined()
  expect(limits.publish('friend', [envelope(inbox(1))])).toMatchObject({ kind: 'inbox' })
})

test('who has a /48 has the shares of sixteen in an inbox, not of 65,536', () => {
  const limits = createRateLimits({}, { clock: testTime() })
  let stored = 0
  for (let n = 0; n < 30_000; n += 1) {
    const caller = `2001:db8:1:${(n % 1_000).toString(16)}::/64`
    if (limits.publish(caller, [envelope(inbox(1), 16)]) === undefined) stored += 1
  }
  expect(stored).toBe(rateDefaults.inboxEnvelopesBurst + 16 * rateDefaults.inboxShareBurst)
})

test('an honest client that does a great deal at once is never limited', () => {
  const time = testTime()
  const limits = createRateLimits({}, { clock: time })
  const me = '192.0.2.1'
  const request = (next: Limited | undefined) => {
    expect(limits.request(me)).toBeUndefined()
    expect(next).toBeUndefined()
    // A local network at its fastest: one request after another.
    time.nowMs += 5
  }
  // Comes back after weeks: 100,000 envelopes on 1,000 topics, and a stream that is opened anew often.
  for (let page = 0; page < 200; page += 1) request(limits.query(me, 1_000, 1))
  for (let n = 0; n < 50; n += 1) {
    const place = limits.openStream(me, 1)
    expect(place.kind).toBe('open')
    if (place.kind === 'open' && n > 0) place.close()
  }
  // 400 accounts with ten installations: claims, again with other ids after a crash, and retries.
  const targets = Array.from({ length: 4_000 }, (_, n) => n)
  for (const claimAll of [1, 2]) {
    for (let from = 0; from < 4_000; from += 200) {
      const claimId = randomBytes(16)
      const ids = targets.slice(from, from + 200).map(id)
      for (let attempt = 0; attempt < 3; attempt += 1) {
        request(undefined)
        expect([claimAll, ...fallbacksOf(limits.claim(me, claimId, ids))]).toEqual([claimAll])
      }
    }
  }
  // Ten messages of 2 KiB that waited go to all of them, in requests of 500.
  for (let message = 0; message < 10; message += 1) {
    for (let from = 0; from < 4_000; from += 500) {
      const part = targets.slice(from, from + 500).map((n) => envelope(inbox(n), 2_048))
      request(limits.publish(me, part))
    }
  }
  // A thousand messages that were written offline go to one account with ten installations.
  for (let n = 0; n < 20; n += 1) {
    const part = Array.from({ length: 500 }, (_, at) => envelope(inbox(at % 10), 2_048))
    request(limits.publish(me, part))
  }
  // All that did not answer are asked for again each hour for three days.
  for (let hour = 0; hour < 3 * 24; hour += 1) {
    time.nowMs += hourMs
    for (let from = 0; from < 4_000; from += 200) {
      const ids = targets.slice(from, from + 200).map(id)
      expect(fallbacksOf(limits.claim(me, randomBytes(16), ids))).toEqual([])
    }
  }
})

test('one who asks as much as possible for a day neither fills a disk nor drains a stock', () => {
  const time = testTime()
  const limits = createRateLimits({}, { clock: time })
  const most = Array.from({ length: 25 }, (_, n) => envelope(inbox(n), 1024 * 1024))
  const end = time.nowMs + dayMs
  let stored = 0
  let keys = 0
  while (time.nowMs < end && keys < 100_000) {
    const limited = limits.publish('abuser', most)
    if (limited === undefined) stored += 25 * 1024 * 1024
    if (fallbacksOf(limits.claim('abuser', randomBytes(16), [id(1)])).length === 0) keys += 1
    if (limited !== undefined) time.nowMs += Math.min(60_000, limited.retryAfterMs)
  }
  expect(stored / 1024 ** 3).toBeLessThan(12)
  // Of a stock of up to 100 that is filled up as soon as its owner sees it below 25.
  expect(keys).toBeLessThan(40)
  expect(fallbacksOf(limits.claim('friend', randomBytes(16), [id(1)])).length).toBe(0)
})

test('a claim that is sent again counts once and is decided the same', () => {
  const time = testTime()
  const limits = limitsOf({ callerTargetClaimsPerHour: 1, callerTargetClaimsBurst: 2 }, time)
  const first = randomBytes(16)
  const third = randomBytes(16)
  for (let n = 0; n < 10; n += 1) expect(fallbacksOf(limits.claim('a', first, [id(1)]))).toEqual([])
  expect(fallbacksOf(limits.claim('a', randomBytes(16), [id(1), id(1)]))).toEqual([])
  expect(fallbacksOf(limits.claim('a', third, [id(1), id(2)]))).toEqual([id(1)])
  // There would be a token again; the store may have had no key to remember, so it stays refused.
  time.nowMs += 8 * 60_000
  expect(fallbacksOf(limits.claim('a', third, [id(1), id(2)]))).toEqual([id(1)])
  expect(fallbacksOf(limits.claim('a', first, [id(1)]))).toEqual([])
  time.nowMs += hourMs
  expect(fallbacksOf(limits.claim('a', third, [id(1), id(2)]))).toEqual([])
  expect(fallbacksOf(limits.claim('b', randomBytes(16), [id(1)]))).toEqual([])
})

test('what the store could not store is not counted', async () => {
  const time = testTime()
  const limits = limitsOf({ publishedBytesPerSecond: 1, publishedBytesBurst: 1_000 }, time)
  const store = openSqliteStore({ file: ':memory:' })
  const publish = store.publish.bind(store)
  let isAway = true
  store.publish = (...args) =>
    isAway ? Promise.reject(new StoreFailure('away')) : publish(...args)
  const node = serveInProcess(store, { limits })
  onTestFinished(() => node.close())
  const client = nodeClient(node.transport)
  const envelopes = [{ topic: 'message-x', message: new Uint8Array(600) }]
  const code = async () => (await refusalOf(client.publish({ envelopes }))).code
  for (let n = 0; n < 5; n += 1) expect(await code()).toBe('unavailable')
  isAway = false
  // Refused for itself, and counted from then on.
  expect(await code()).toBe('malformed')
  expect(await code()).toBe('rate_limited')
})

test('who names more installations in claims than it may is refused, also with one claim again and again', () => {
  const time = testTime()
  const limits = limitsOf({ claimedInstallationsPerSecond: 2, claimedInstallationsBurst: 4 }, time)
  const claimId = randomBytes(16)
  const claim = (who: string) => limits.claim(who, claimId, [id(1), id(2)])
  for (let n = 0; n < 2; n += 1) expect(fallbacksOf(claim('a'))).toEqual([])
  expect(claim('a')).toEqual({ kind: 'claimed_installations', retryAfterMs: 1_000 })
  expect(fallbacksOf(claim('b'))).toEqual([])
  time.nowMs += 1_000
  expect(fallbacksOf(claim('a'))).toEqual([])
})

test('what is signed counts by what its signatures cost, and proofs count in queries and streams', () => {
  const time = testTime()
  const publishing = limitsOf({ signedEnvelopesPerSecond: 1, signedEnvelopesBurst: 7 }, time)
  const one = (topic: string) => ({ topic, message: new Uint8Array(1) })
  const few = ['contact-x', 'revoked-x', 'prekey-x', 'message-x', 'nonsense'].map(one)
  expect(publishing.publish('a', few)).toBeUndefined()
  expect(publishing.publish('a', [one('prekey-x')])).toEqual({
    kind: 'signed_envelopes',
    retryAfterMs: 1_000,
  })
  expect(
    publishing.publish(
      'a',
      Array.from({ length: 100 }, () => one('message-x')),
    ),
  ).toBeUndefined()
  expect(publishing.publish('b', few)).toBeUndefined()

  const reading = limitsOf(
    { queriesPerSecond: 1, queriesBurst: 110, streamsPerSecond: 1, streamsBurst: 101 },
    time,
  )
  expect(reading.query('a', 1_000, 1_000)).toBeUndefined()
  expect(reading.query('a', 1, 1)).toMatchObject({ kind: 'queries' })
  expect(reading.openStream('a', 1_000).kind).toBe('open')
  expect(reading.openStream('a', 1).kind).toBe('streams')
})

test('past what a caller may claim, only fallback keys are given; the store counts what all may', () => {
  const time = testTime()
  const caller = limitsOf({ claimsPerSecond: 1, claimsBurst: 3 }, time)
  expect(fallbacksOf(caller.claim('a', randomBytes(16), [1, 2, 3, 4].map(id)))).toEqual([id(4)])
  expect(fallbacksOf(caller.claim('b', randomBytes(16), [id(4)]))).toEqual([])
  time.nowMs += 1_000
  expect(fallbacksOf(caller.claim('a', randomBytes(16), [id(4)]))).toEqual([])

  const target = limitsOf({ targetClaimsPerHour: 60, targetClaimsBurst: 2 }, time)
  // The store keeps count of it, for all processes.
  expect(target.claim('a', randomBytes(16), [id(1)])).toMatchObject({
    budget: { burst: 2, everyNs: minuteNs },
  })
})

test('subscriptions are limited at a time and a second, and one that ends makes room', () => {
  const time = testTime()
  const limits = limitsOf({ openStreams: 2, streamsPerSecond: 1, streamsBurst: 3 }, time)
  const one = limits.openStream('a', 1)
  const two = limits.openStream('a', 1)
  expect([one.kind, two.kind]).toEqual(['open', 'open'])
  // Nobody knows when one ends.
  expect(limits.openStream('a', 1)).toEqual({ kind: 'open_streams', retryAfterMs: 5_000 })
  expect(limits.openStream('b', 1).kind).toBe('open')
  if (one.kind === 'open') {
    one.close()
    one.close()
  }
  expect(limits.openStream('a', 1).kind).toBe('open')
  expect(limits.openStream('a', 1).kind).toBe('open_streams')
  if (two.kind === 'open') two.close()
  const early = limits.openStream('a', 1)
  expect(early).toEqual({ kind: 'streams', retryAfterMs: 1_000 })
  time.nowMs += 1_000
  expect(limits.openStream('a', 1).kind).toBe('open')
})

// From here on through a node and its sockets; who calls stands in a header.

let close = async (): Promise<void> => {}
afterEach(() => close())

interface Served {
  readonly node: InProcessNode
  readonly as: (caller: string) => NodeClient
}

async function serve(limits: RateLimits | undefined, chains?: Chains): Promise<Served> {
  const clock = testClock()
  const node = createInProcessNode({ clock, ...(limits && { limits }), ...(chains && { chains }) })
  const handler = connectNodeAdapter({
    routes: node.service.routes,
    contextValues: ({ headers }) =>
      createContextValues().set(callerKey, String(headers['x-test-caller'])),
  })
  const server = http.createServer(handler)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  close = async () => {
    await node.close()
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  }
  const as = (caller: string) =>
    nodeClient(
      createConnectTransport({
        baseUrl: `http://127.0.0.1:${port}`,
        httpVersion: '1.1',
        interceptors: [
          (next) => (request) => {
            request.header.set('x-test-caller', caller)
            return next(request)
          },
        ],
      }),
    )
  return { node, as }
}

const retryOf = async (call: Promise<unknown>): Promise<number> => {
  const refused = await refusalOf(call)
  expect(refused).toMatchObject({ code: 'rate_limited', status: Code.ResourceExhausted })
  return Number(refused.retryAfterMs)
}

test('past its requests a caller is refused with the time to wait, and only that caller', async () => {
  const time = testTime()
  const { as } = await serve(limitsOf({ requestsPerSecond: 2, requestsBurst: 3 }, time))
  const abuser = as('abuser')
  for (let n = 0; n < 3; n += 1) await abuser.getInfo({})
  const waitMs = await retryOf(abuser.getInfo({}))
  expect(waitMs).toBe(500)
  expect(await retryOf(abuser.query({}))).toBe(500)
  const stream = new TestStream(abuser, {})
  expect(await stream.ending()).toMatchObject({ code: 'rate_limited', retryAfterMs: 500n })
  await as('friend').getInfo({})
  time.nowMs += waitMs
  await abuser.getInfo({})
})

test('past its bytes, its envelopes or those of an inbox nothing of a request is stored', async () => {
  const time = testTime()
  const limits = limitsOf(
    {
      publishedBytesPerSecond: 1_000,
      publishedBytesBurst: 6_000,
      callerInboxEnvelopesPerSecond: 1,
      callerInboxEnvelopesBurst: 2,
    },
    time,
  )
  const { node, as } = await serve(limits)
  const bob = await register(nodeClient(node.transport), 'bob', node.clock())
  const carol = await register(nodeClient(node.transport), 'carol', node.clock())
  time.nowMs += hourMs
  const alice = as('alice')
  const stored = async (owner: TestInstallation) => {
    const proofs = [owner.proof(node.store.nodeId, node.clock() + 5n * minuteNs)]
    const topics = [{ topic: owner.inbox, afterSequence: 0n }]
    return (await alice.query({ topics, proofs })).envelopes.length
  }
  await alice.publish({ envelopes: [inboxEnvelope(bob, 'a'), inboxEnvelope(bob, 'b')] })
  const third = { envelopes: [inboxEnvelope(carol, 'c'), inboxEnvelope(bob, 'c')] }
  const refused = await refusalOf(alice.publish(third))
  expect(refused).toMatchObject({ code: 'rate_limited', envelopeIndex: 1, retryAfterMs: 1_000n })
  expect([await stored(bob), await stored(carol)]).toEqual([2, 0])
  time.nowMs += 1_000
  await alice.publish(third)
  expect([await stored(bob), await stored(carol)]).toEqual([3, 1])

  const large = { envelopes: [inboxEnvelope(carol, 'large', 6_000)] }
  const waitMs = await retryOf(alice.publish(large))
  expect(await stored(carol)).toBe(1)
  await as('friend').publish({ envelopes: [inboxEnvelope(carol, 'friend')] })
  time.nowMs += waitMs
  await alice.publish(large)
  expect(await stored(carol)).toBe(3)
  // What is refused for its form is so before anything is counted.
  expect(await refusalOf(alice.publish({}))).toMatchObject({ code: 'malformed' })
})

test('past its queries a caller waits, and a query of many topics counts for several', async () => {
  const time = testTime()
  const { as } = await serve(limitsOf({ queriesPerSecond: 10, queriesBurst: 12 }, time))
  const topicsOf = (count: number) =>
    Array.from({ length: count }, (_, n) => ({
      topic: `contact-0x${n.toString(16).padStart(40, '0')}`,
      afterSequence: 0n,
    }))
  const alice = as('alice')
  await alice.query({ topics: topicsOf(1_000) })
  await alice.query({ topics: topicsOf(101) })
  const waitMs = await retryOf(alice.query({ topics: topicsOf(1) }))
  expect(waitMs).toBe(100)
  await as('friend').query({ topics: topicsOf(1) })
  time.nowMs += waitMs
  await alice.query({ topics: topicsOf(100) })
})

test('a caller has so many subscriptions at a time; one that it leaves makes room for another', async () => {
  const { node, as } = await serve(limitsOf({ openStreams: 2 }, testTime()))
  const alice = as('alice')
  const streams = [new TestStream(alice, {}), new TestStream(alice, {})]
  for (const stream of streams) await stream.nextOf('caughtUp')
  const third = new TestStream(alice, {})
  expect(await third.ending()).toMatchObject({ code: 'rate_limited', retryAfterMs: 5_000n })
  const friend = new TestStream(as('friend'), {})
  await friend.nextOf('caughtUp')
  streams[0]?.close()
  await until(() => node.service.subscribers === 2)
  const fourth = new TestStream(alice, {})
  await fourth.nextOf('caughtUp')
  for (const stream of [...streams, friend, fourth]) stream.close()
})

test('past the limit of claims the stock stays as it is, the fallback is served, a retry gets its key', async () => {
  const time = testTime()
  const limits = limitsOf({ callerTargetClaimsPerHour: 1, callerTargetClaimsBurst: 1 }, time)
  const { node, as } = await serve(limits)
  const direct = nodeClient(node.transport)
  const bob = await register(direct, 'bob', node.clock())
  const carol = await register(direct, 'carol', node.clock())
  const createdNs = node.clock()
  for (const who of [bob, carol]) {
    await direct.publish({ envelopes: [who.upload({ createdNs, oneTime: 5, fallback: true })] })
  }
  const claim = async (caller: string, claimId: Uint8Array, of: readonly TestInstallation[]) => {
    const ids = of.map((one) => one.id)
    const { claimed } = await as(caller).claimPrekeys({ claimId, installationIds: ids })
    return claimed.map(({ prekey }) => prekey)
  }
  const oneTime = 1
  const fallback = 2
  const first = randomBytes(16)
  const [given] = await claim('alice', first, [bob])
  expect(given?.kind).toBe(oneTime)
  const second = randomBytes(16)
  const both = await claim('alice', second, [bob, carol])
  expect(both.map((prekey) => prekey?.kind)).toEqual([fallback, oneTime])
  expect((await node.store.stock(bob.id)).oneTimeLeft).toBe(4)
  // Sent again: the same keys, whatever the limits say by now.
  expect(await claim('alice', first, [bob])).toEqual([given])
  expect(await claim('alice', second, [bob, carol])).toEqual(both)
  // In another list the limits do not know it, and the store gives what it remembers all the same.
  expect(await claim('alice', first, [bob, carol])).toMatchObject([given, { kind: fallback }])
  expect((await node.store.stock(bob.id)).oneTimeLeft).toBe(4)
  expect(await claim('friend', randomBytes(16), [bob])).toMatchObject([{ kind: oneTime }])
})

test('past its questions to chains a caller waits, and nothing is asked or stored', async () => {
  let asked = 0
  const chains: Chains = {
    ids: [1n],
    verify: async () => {
      asked += 1
      return 'valid'
    },
    close() {},
  }
  const limits = limitsOf({ chainQuestionsPerSecond: 1, chainQuestionsBurst: 1 }, testTime())
  const { node, as } = await serve(limits, chains)
  const bundleOf = (name: string) =>
    new TestInstallation(testAccount(name), name).contractBundle(node.clock())
  const first = bundleOf('first')
  const second = bundleOf('second')
  await as('alice').publish({ envelopes: [first] })
  expect(asked).toBe(1)
  expect(await retryOf(as('alice').publish({ envelopes: [second] }))).toBe(1_000)
  expect(asked).toBe(1)
  const topics = [{ topic: second.topic, afterSequence: 0n }]
  expect((await as('alice').query({ topics })).envelopes).toHaveLength(0)
  await as('friend').publish({ envelopes: [second] })
  expect(asked).toBe(2)
})
