/** Two clocks, and what each may decide: docs/protocol.md section 1, Clocks. */

import { expect, test } from 'vitest'
import { NodeTime, nsToMs } from '../../../src/engine/runtime/node-time.ts'
import { aPlatform } from '../../support/platform.ts'

const msToNs = 1_000_000n
const minuteNs = 60_000n * msToNs
const dayNs = 1_440n * minuteNs
const startMs = 1_800_000_000_000
const startNs = BigInt(startMs) * msToNs

/** Our own clock stands at `startMs`; the node’s is what it said last. */
const aTime = (nodeAheadNs?: bigint) => {
  const { clock, platform } = aPlatform()
  const time = new NodeTime(platform)
  if (nodeAheadNs !== undefined) time.onNodeTime(startNs + nodeAheadNs)
  return { clock, time }
}

test('an age has passed when both clocks say so, and none before the node was heard', () => {
  expect(aTime().time.passedNs()).toBe(0n)
  expect(aTime().time.passedMs()).toBe(0)
  expect(aTime(minuteNs).time.passedNs()).toBe(startNs)
  expect(aTime(-minuteNs).time.passedNs()).toBe(startNs - minuteNs)
  expect(aTime(-minuteNs).time.passedMs()).toBe(startMs - 60_000)
  const { clock, time } = aTime(0n)
  clock.nowMs += 86_400_000
  expect(time.passedNs()).toBe(startNs)
  clock.monotonicMs += 1_000
  expect(time.passedNs()).toBe(startNs + 1_000n * msToNs)
})

test('an age begins at the later of both clocks', () => {
  expect(aTime().time.stampMs()).toBe(startMs)
  expect(aTime(minuteNs).time.stampMs()).toBe(startMs + 60_000)
  expect(aTime(-minuteNs).time.stampMs()).toBe(startMs)
})

test('an age began in the future if both clocks say so, and the node was heard', () => {
  const yearMs = 365 * 86_400_000
  expect(aTime().time.isStartAhead(startMs + yearMs)).toBe(false)
  expect(aTime(0n).time.isStartAhead(startMs + yearMs)).toBe(true)
  // One clock that is behind proves nothing.
  expect(aTime(BigInt(2 * yearMs) * msToNs).time.isStartAhead(startMs + yearMs)).toBe(false)
  expect(aTime(BigInt(-2 * yearMs) * msToNs).time.isStartAhead(startMs)).toBe(false)
  // A node's word about the time takes longer at one time than at another.
  expect(aTime(0n).time.isStartAhead(startMs + 60_000)).toBe(false)
  expect(aTime(0n).time.isStartAhead(startMs + 60_001)).toBe(true)
})

test('what people see is node time, and our own clock before it was heard', () => {
  expect(aTime().time.shownMs()).toBe(startMs)
  expect(aTime(minuteNs).time.shownMs()).toBe(startMs + 60_000)
  expect(aTime(-minuteNs).time.shownMs()).toBe(startMs - 60_000)
  expect(aTime().time.isAhead(startMs + 5, 4)).toBe(false)
  expect(aTime(0n).time.isAhead(startMs + 5, 4)).toBe(true)
  expect(aTime(0n).time.isAhead(startMs + 4, 4)).toBe(false)
})

test('a time that the node gave counts up to a day ahead of our own clock', () => {
  const { time } = aTime(0n)
  expect(time.notAhead(startNs - dayNs)).toBe(startNs - dayNs)
  expect(time.notAhead(startNs + dayNs)).toBe(startNs + dayNs)
  expect(time.notAhead(startNs + dayNs + 1n)).toBe(startNs + dayNs)
  expect(time.notAhead(2n ** 64n - 1n)).toBe(startNs + dayNs)
})

test('a created_ns that the node reports is believed ten minutes past node time, and a day past our own clock', () => {
  const ahead = aTime(0n).time
  expect(ahead.mayBeCreated(startNs + 10n * minuteNs)).toBe(true)
  expect(ahead.mayBeCreated(startNs + 10n * minuteNs + 1n)).toBe(false)
  // A node that is far ahead itself is not followed there.
  const far = aTime(10n * dayNs).time
  expect(far.mayBeCreated(startNs + dayNs)).toBe(true)
  expect(far.mayBeCreated(startNs + dayNs + 1n)).toBe(false)
  const behind = aTime(-dayNs).time
  expect(behind.mayBeCreated(startNs)).toBe(false)
  const unheard = aTime().time
  expect(unheard.mayBeCreated(startNs + 10n * minuteNs)).toBe(true)
  expect(unheard.mayBeCreated(startNs + 10n * minuteNs + 1n)).toBe(false)
})

test('times counted from node time fit 64 bits, whatever a node says', () => {
  const { time } = aTime()
  time.onNodeTime(2n ** 64n - 1n)
  expect(time.nodeNs()).toBe(2n ** 63n)
  time.onNodeTime(2n ** 63n - 1n)
  expect(time.nodeNs()).toBe(2n ** 63n - 1n)
})

test('nanoseconds become whole milliseconds that have passed', () => {
  expect(nsToMs(1_999_999n)).toBe(1)
  expect(nsToMs(startNs)).toBe(startMs)
})

test('node time is unknown at first, then the node’s word plus the time since', () => {
  const { clock, platform } = aPlatform()
  const time = new NodeTime(platform)
  expect(time.nodeNs()).toBeUndefined()
  time.onNodeTime(1_000n)
  expect(time.nodeNs()).toBe(1_000n)
  clock.monotonicMs += 250.9
  clock.nowMs -= 3_600_000
  expect(time.nodeNs()).toBe(1_000n + 250n * msToNs)
  time.onNodeTime(5_000n)
  expect(time.nodeNs()).toBe(5_000n)
})

test('created_ns is later than the last, and else the earlier of the two clocks', () => {
  const { clock, platform } = aPlatform()
  const time = new NodeTime(platform)
  const own = BigInt(clock.nowMs) * msToNs
  expect(time.createdNs(0n)).toBe(own)
  time.onNodeTime(own + 60_000n * msToNs)
  expect(time.createdNs(0n)).toBe(own)
  time.onNodeTime(own - 60_000n * msToNs)
  expect(time.createdNs(0n)).toBe(own - 60_000n * msToNs)
  // Above the last even if that is ahead of both clocks.
  expect(time.createdNs(own)).toBe(own + 1n)
  expect(time.createdNs(own + 5n)).toBe(own + 6n)
})

test('composed_ns is our own clock and ascends, also when the clock jumps back', () => {
  const { clock, platform } = aPlatform()
  const time = new NodeTime(platform)
  time.onNodeTime(1n)
  let last = 0n
  for (const step of [0, 0, 5, -86_400_000, 1, 0]) {
    clock.nowMs += step
    const next = time.composedNs(last)
    expect(next).toBeGreaterThan(last)
    last = next
  }
  expect(last).toBe(BigInt(1_800_000_000_005) * msToNs + 3n)
})
