/** Two clocks, and what each may decide: docs/protocol.md section 1, Clocks. */

import { expect, test } from 'vitest'
import { NodeTime, nsToMs } from '../../../src/engine/runtime/node-time.ts'
import type { Platform } from '../../../src/platform/platform.ts'

const msToNs = 1_000_000n
const minuteNs = 60_000n * msToNs
const dayNs = 1_440n * minuteNs
const startMs = 1_800_000_000_000
const startNs = BigInt(startMs) * msToNs

/** The own clock stands at `startMs`; the node’s is what it said last. */
const aTime = (nodeAheadNs?: bigint) => {
  const clock = { nowMs: startMs, monotonicMs: 7_000 }
  const platform: Platform = {
    nowMs: () => clock.nowMs,
    monotonicMs: () => clock.monotonicMs,
    randomBytes: (length) => new Uint8Array(length),
    wait: async () => undefined,
    takeLock: async () => undefined,
    onOnline: () => () => undefined,
  }
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

test('a time that the node gave counts up to a day ahead of the own clock', () => {
  const { time } = aTime(0n)
  expect(time.notAhead(startNs - dayNs)).toBe(startNs - dayNs)
  expect(time.notAhead(startNs + dayNs)).toBe(startNs + dayNs)
  expect(time.notAhead(startNs + dayNs + 1n)).toBe(startNs + dayNs)
  expect(time.notAhead(2n ** 64n - 1n)).toBe(startNs + dayNs)
})

test('a created_ns that the node reports is believed ten minutes past node time, and a day past the own clock', () => {
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

test('whatever a node says, what is counted from it fits 64 bits', () => {
  const { time } = aTime()
  time.onNodeTime(2n ** 64n - 1n)
  expect(time.nodeNs()).toBe(2n ** 63n)
  time.onNodeTime(2n ** 63n - 1n)
  expect(time.nodeNs()).toBe(2n ** 63n - 1n)
})

test('created_ns is above the last even if that is ahead of both clocks', () => {
  const { time } = aTime(0n)
  expect(time.createdNs(startNs - 1n)).toBe(startNs)
  expect(time.createdNs(startNs)).toBe(startNs + 1n)
  expect(time.createdNs(startNs + dayNs)).toBe(startNs + dayNs + 1n)
  expect(aTime().time.createdNs(0n)).toBe(startNs)
})

test('nanoseconds become whole milliseconds that have passed', () => {
  expect(nsToMs(1_999_999n)).toBe(1)
  expect(nsToMs(startNs)).toBe(startMs)
})
