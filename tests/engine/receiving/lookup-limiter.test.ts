/** Look-ups of unknown senders: docs/protocol.md section 8, In, step 3. */

import { expect, test } from 'vitest'
import { LookupLimiter } from '../../../src/engine/receiving/sender-lookup.ts'
import type { Address } from '../../../src/protocol/ids.ts'
import { addressOf } from '../../support/checked.ts'
import { aPlatform } from '../../support/platform.ts'

const address = (n: number): Address =>
  addressOf({ address: `0x${n.toString(16).padStart(40, '0')}` })

test('fifty addresses a minute are looked up, however many are asked for', () => {
  const { clock, platform } = aPlatform()
  const lookups = new LookupLimiter(platform)
  const many = Array.from({ length: 70 }, (_, n) => address(n))
  expect(lookups.take(many.slice(0, 30))).toEqual(many.slice(0, 30))
  expect(lookups.take(many.slice(30))).toEqual(many.slice(30, 50))
  expect(lookups.take(many.slice(50))).toEqual([])
  clock.monotonicMs += 59_999
  expect(lookups.take(many.slice(50))).toEqual([])
  clock.monotonicMs += 1
  expect(lookups.take(many.slice(50))).toEqual(many.slice(50))
})

test('section 8: look-ups are counted over any minute, not from one minute to the next', () => {
  const { clock, platform } = aPlatform()
  const lookups = new LookupLimiter(platform)
  const many = Array.from({ length: 200 }, (_, n) => address(n))
  lookups.take(many.slice(0, 10))
  clock.monotonicMs += 59_000
  lookups.take(many.slice(10, 50))
  clock.monotonicMs += 1_000
  expect(lookups.left).toBe(10)
  expect(lookups.take(many.slice(50, 150))).toHaveLength(10)
})

test('section 8: accounts with a conversation are looked up before all others, then one by one in turn', () => {
  const { clock, platform } = aPlatform()
  const lookups = new LookupLimiter(platform)
  const many = Array.from({ length: 70 }, (_, n) => address(n))
  const friends = new Set([address(68), address(69)])
  expect(lookups.take(many, friends).slice(0, 3)).toEqual([address(68), address(69), address(0)])
  clock.monotonicMs += 60_000
  // Twenty-two had no turn yet.
  expect(lookups.take(many, friends).slice(0, 22)).toEqual([
    address(68),
    address(69),
    ...many.slice(48, 68),
  ])
})

test('the wall clock gives no look-ups', () => {
  const { clock, platform } = aPlatform()
  const lookups = new LookupLimiter(platform)
  lookups.take(Array.from({ length: 50 }, (_, n) => address(n)))
  clock.nowMs += 86_400_000
  expect(lookups.take([address(99)])).toEqual([])
})
