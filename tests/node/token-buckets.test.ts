/** Token buckets: what comes at once, what comes back, and how many are remembered. */
import { expect, test } from 'vitest'
import { TokenBuckets } from '../../node/src/limits/token-buckets.ts'
import { dayMs, testTime } from './turned-limits.ts'

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
