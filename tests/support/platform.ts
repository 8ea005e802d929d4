/** A platform whose clocks and randomness the test sets; it waits for nothing. */
import type { Platform } from '../../src/platform/platform.ts'

export const aPlatform = () => {
  const clock = { nowMs: 1_800_000_000_000, monotonicMs: 5_000, byte: 0 }
  const platform: Platform = {
    nowMs: () => clock.nowMs,
    monotonicMs: () => clock.monotonicMs,
    randomBytes: (length) => new Uint8Array(length).fill(clock.byte),
    wait: async () => undefined,
    takeLock: async () => undefined,
    onReturn: () => () => undefined,
  }
  return { clock, platform }
}
