/** How long to wait before trying again. */

import { expect, test } from 'vitest'
import { Backoff } from '../../../src/engine/runtime/backoff.ts'
import { aPlatform } from '../../support/platform.ts'

test('back-off doubles from half a second and never passes a minute', () => {
  const { clock, platform } = aPlatform()
  for (const byte of [0, 255]) {
    clock.byte = byte
    const backoff = new Backoff(platform)
    const share = 0.5 + byte / 512
    const waits = Array.from({ length: 12 }, () => backoff.next())
    const full = [500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000, 60_000]
    expect(waits.slice(0, 10)).toEqual(full.map((ms) => ms * share))
    expect(Math.max(...waits)).toBeLessThanOrEqual(60_000)
    backoff.reset()
    expect(backoff.next()).toBe(500 * share)
  }
})

test('a node may ask for a longer wait, up to five minutes', () => {
  const backoff = new Backoff(aPlatform().platform)
  expect(backoff.next(20_000)).toBe(20_000)
  expect(backoff.next(Number.MAX_SAFE_INTEGER)).toBe(300_000)
  expect(backoff.next(0)).toBe(1_000)
})
