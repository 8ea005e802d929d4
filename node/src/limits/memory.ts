/**
 * How the memory that a process may take is divided among what strangers cause. What is counted is what was
 * sent or asked for; copies of it on its way, and what the collector has not given back, are about as much again.
 */

const mebibyte = 1024 * 1024

/** The program, its threads, and the cache of the database. */
const ownBytes = 320 * mebibyte

/** Two requests of the largest size. */
const leastBodyBytes = 80 * mebibyte

export const leastMemoryBytes = 512 * mebibyte
export const defaultMemoryBytes = 1024 * mebibyte

export interface MemoryShares {
  /** Bodies of requests, until they are answered. */
  readonly bodyBytes: number
  /** Envelopes on their way to readers, with their copies. */
  readonly answerBytes: number
  /** Live envelopes that wait for subscribers. */
  readonly liveBytes: number
  /** Calls under way, subscriptions too. */
  readonly callsBytes: number
}

export function shareMemory(bytes: number): MemoryShares {
  const rest = Math.max(bytes, leastMemoryBytes) - ownBytes
  return {
    bodyBytes: Math.max(rest / 8, leastBodyBytes),
    answerBytes: rest / 8,
    liveBytes: rest / 8,
    callsBytes: rest / 4,
  }
}
