/** Rate limits by themselves: what is counted to whom, and what a refusal takes. */
import { randomBytes } from 'node:crypto'
import { expect, onTestFinished, test } from 'vitest'
import {
  createRateLimits,
  type Limited,
  type RateLimits,
} from '../../node/src/limits/rate-limits.ts'
import { rateDefaults } from '../../node/src/limits/rates.ts'
import { openSqliteStore } from '../../node/src/store/sqlite/sqlite.ts'
import { StoreFailure } from '../../node/src/store/store.ts'
import { serveInProcess } from '../../node/src/testing.ts'
import { minuteNs, nodeClient, refusalOf } from './support.ts'
import { dayMs, hourMs, limitsOf, testTime } from './turned-limits.ts'

/** The installations of a claim that give only their fallback key; fails if it is refused. */
function fallbacksOf(claim: ReturnType<RateLimits['claim']>): readonly string[] {
  if (claim.kind !== 'claim') throw new Error(`refused for ${claim.kind}`)
  return [...claim.fallbackOnly]
}

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
