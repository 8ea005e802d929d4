/** Look-ups of unknown senders: docs/protocol.md section 8, In, step 3. */

import { expect, test } from 'vitest'
import { LookupLimiter } from '../../../src/engine/receiving/sender-lookup.ts'
import type { Address } from '../../../src/protocol/ids.ts'
import { addressOf } from '../../support/checked.ts'
import { aPlatform } from '../../support/platform.ts'

const address = (n: number): Address =>
  addressOf({ address: `0x${n.toString(16).padStart(40, '0')}` })

const taken = (lookups: LookupLimiter): number => {
  let count = 0
  while (lookups.take()) count += 1
  return count
}

test('section 8: ten queries go at once, then one every three seconds, and never more than ten at once', () => {
  const { clock, platform } = aPlatform()
  const lookups = new LookupLimiter(platform)
  expect(lookups.restMs).toBe(0)
  expect(taken(lookups)).toBe(10)
  expect(lookups.restMs).toBe(3_000)
  clock.monotonicMs += 2_000
  expect(taken(lookups)).toBe(0)
  expect(lookups.restMs).toBe(1_000)
  clock.monotonicMs += 1_000
  expect(lookups.restMs).toBe(0)
  expect(taken(lookups)).toBe(1)
  clock.monotonicMs += 60_000
  expect(taken(lookups)).toBe(10)
})

test('section 8: a query names 500 accounts, in turn', () => {
  const { platform } = aPlatform()
  const lookups = new LookupLimiter(platform)
  const many = Array.from({ length: 700 }, (_, n) => address(n))
  expect(lookups.choose(many)).toEqual(many.slice(0, 500))
  // Two hundred had no turn yet.
  expect(lookups.choose(many).slice(0, 200)).toEqual(many.slice(500))
})

test('the wall clock gives no look-ups', () => {
  const { clock, platform } = aPlatform()
  const lookups = new LookupLimiter(platform)
  taken(lookups)
  clock.nowMs += 86_400_000
  expect(lookups.take()).toBe(false)
})
