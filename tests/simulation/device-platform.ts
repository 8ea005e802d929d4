/** The machine that a device is: virtual time, a clock that may be wrong, locks that may be taken away. */
import type { Platform } from '../../src/platform/platform.ts'
import type { Locks } from './locks.ts'
import type { Random } from './random.ts'
import { startMs } from './surroundings.ts'
import type { VirtualTime } from './virtual-time.ts'

export interface Machine {
  readonly time: VirtualTime
  readonly random: Random
  readonly clockAheadMs: () => number
  readonly locks: Locks
  /** Takes the one who wants to hear that the machine is online again; undefined when nobody does. */
  readonly onReturn: (listener: (() => void) | undefined) => void
}

export const devicePlatform = (machine: Machine): Platform => {
  const { time, random, locks } = machine
  return {
    nowMs: () => Math.floor(startMs + time.nowMs + machine.clockAheadMs()),
    monotonicMs: () => time.nowMs,
    randomBytes: (length) => random.bytes(length),
    wait: (ms, signal) =>
      new Promise((resolve) => {
        if (signal?.aborted) return resolve()
        const finish = () => {
          cancel()
          signal?.removeEventListener('abort', finish)
          resolve()
        }
        const cancel = time.after(ms, finish)
        signal?.addEventListener('abort', finish, { once: true })
      }),
    takeLock: (_name, waitMs) => locks.take(waitMs),
    onReturn: (listener) => {
      machine.onReturn(listener)
      return () => machine.onReturn(undefined)
    },
  }
}
