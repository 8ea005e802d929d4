/** A clock that a test turns, and waits that end with it. */

import type { Platform } from '../../src/platform/platform.ts'

export interface TurnedClock {
  readonly platform: Partial<Platform>
  nowMs(): number
  /** Nanoseconds: what a node takes for its clock. */
  nowNs(): bigint
  turn(ms: number): void
}

/** Waits of half a minute or more end when the clock is turned that far; shorter ones by themselves. */
export const turnedWaits = (nowMs: () => number) => {
  const waiting = new Set<{ readonly dueMs: number; readonly end: () => void }>()
  const wait = (ms: number, signal?: AbortSignal) =>
    new Promise<void>((resolve) => {
      if (signal?.aborted) return resolve()
      const finish = () => {
        clearTimeout(timer)
        waiting.delete(one)
        signal?.removeEventListener('abort', finish)
        resolve()
      }
      const timer = ms < 30_000 ? setTimeout(finish, ms) : undefined
      const one = { dueMs: nowMs() + ms, end: finish }
      waiting.add(one)
      signal?.addEventListener('abort', finish, { once: true })
    })
  /** Ends those that are over now. */
  const endDue = () => {
    for (const { dueMs, end } of [...waiting]) if (dueMs <= nowMs()) end()
  }
  return { wait, endDue }
}

export const aTurnedClock = (): TurnedClock => {
  let aheadMs = 0
  const nowMs = () => Date.now() + aheadMs
  const { wait, endDue } = turnedWaits(nowMs)
  return {
    platform: { nowMs, wait, monotonicMs: () => performance.now() + aheadMs },
    nowMs,
    nowNs: () => BigInt(nowMs()) * 1_000_000n,
    turn: (ms) => {
      aheadMs += ms
      endDue()
    },
  }
}
