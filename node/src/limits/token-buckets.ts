/**
 * Token buckets by key. A bucket is one number, the time at which it is full again. So a full bucket
 * equals one that was never used, and dropping it changes nothing.
 */

export interface BucketOptions {
  /** Tokens that come back. Above 0. */
  readonly perSecond: number
  /** Tokens in a full bucket. */
  readonly burst: number
  /** Maximum keys remembered; beyond it, of those not used for longest, what is nearly full is forgotten. */
  readonly keysLimit: number
}

// Times are fractions of milliseconds since a start; sums of them are this exact.
const toleranceMs = 1e-3
/** Among how many of the longest unused one is forgotten. */
const lookedAt = 64

export class TokenBuckets {
  readonly #msPerToken: number
  readonly #burst: number
  readonly #keysLimit: number
  // In the order of use.
  readonly #fullAtMs = new Map<string, number>()

  constructor({ perSecond, burst, keysLimit }: BucketOptions) {
    this.#msPerToken = 1_000 / perSecond
    this.#burst = Math.max(1, burst)
    this.#keysLimit = keysLimit
  }

  /** How many keys are remembered. */
  get size(): number {
    return this.#fullAtMs.size
  }

  /**
   * Whole milliseconds until so many tokens are there; 0 if they are. For more tokens than a bucket
   * holds, a full bucket is enough: a retry after this time always succeeds, if nobody else takes
   * them.
   */
  waitMs(key: string, tokens: number, nowMs: number): number {
    const missingMs = Math.max(0, (this.#fullAtMs.get(key) ?? 0) - nowMs)
    const capacityMs = this.#burst * this.#msPerToken
    const overMs = missingMs + Math.min(tokens, this.#burst) * this.#msPerToken - capacityMs
    return overMs <= toleranceMs ? 0 : Math.ceil(overMs)
  }

  /**
   * Takes tokens, also more than there are: then the next ones take longer. Fewer than none are given
   * back.
   */
  take(key: string, tokens: number, nowMs: number): void {
    const fullAtMs = Math.max(nowMs, this.#fullAtMs.get(key) ?? 0) + tokens * this.#msPerToken
    this.#fullAtMs.delete(key)
    this.#fullAtMs.set(key, fullAtMs)
    if (this.#fullAtMs.size > this.#keysLimit) this.#forgetOne()
  }

  /**
   * Of those that were not used for longest, the one that is full first: forgetting fills a bucket, and
   * who touches many others must not fill one that is empty.
   */
  #forgetOne(): void {
    let forgotten: string | undefined
    let soonestMs = Number.POSITIVE_INFINITY
    let looked = 0
    for (const [key, fullAtMs] of this.#fullAtMs) {
      if (fullAtMs < soonestMs) {
        soonestMs = fullAtMs
        forgotten = key
      }
      looked += 1
      if (looked === lookedAt) break
    }
    if (forgotten !== undefined) this.#fullAtMs.delete(forgotten)
  }
}
