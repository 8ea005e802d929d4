/** How long to wait before the next attempt: doubling with jitter, at most a minute. */

import { PadlockError } from '../../errors.ts'
import type { Platform } from '../../platform/platform.ts'

const firstMs = 500
const longestMs = 60_000

export class Backoff {
  readonly #platform: Pick<Platform, 'randomBytes'>
  #tries = 0

  constructor(platform: Pick<Platform, 'randomBytes'>) {
    this.#platform = platform
  }

  reset(): void {
    this.#tries = 0
  }

  /** @param atLeastMs the wait that the node asked for; capped at five minutes */
  next(atLeastMs = 0): number {
    const full = Math.min(firstMs * 2 ** this.#tries, longestMs)
    this.#tries = Math.min(this.#tries + 1, 10)
    const [byte = 0] = this.#platform.randomBytes(1)
    // Between half and all of it, so that clients that failed together do not retry together.
    const jittered = full * (0.5 + byte / 512)
    return Math.max(jittered, Math.min(atLeastMs, 300_000))
  }
}

/** The wait that the node asked for; 0 if it did not. */
export const retryAfterMs = (error: unknown): number =>
  error instanceof PadlockError ? Number(error.details?.retryAfterMs ?? 0) : 0
