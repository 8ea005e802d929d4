/** Chance from a seed, in streams that do not disturb each other: more of one changes no other. */

export class Random {
  #state: number

  /** @param stream what these choices are about */
  constructor(seed: number, stream: string) {
    let state = seed >>> 0
    for (const letter of stream) state = mix(state + letter.charCodeAt(0) * 0x9e3779b1)
    this.#state = state
  }

  /** In [0, 1). */
  fraction(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    return mix(this.#state) / 2 ** 32
  }

  /** An integer in [0, below). */
  below(below: number): number {
    return Math.floor(this.fraction() * below)
  }

  /** An integer from `low` to `high`, both included. */
  between(low: number, high: number): number {
    return low + this.below(high - low + 1)
  }

  chance(probability: number): boolean {
    return this.fraction() < probability
  }

  /** Exponential: how long until something that happens every `mean` on average. */
  wait(mean: number): number {
    return -mean * Math.log(1 - this.fraction())
  }

  pick<T>(items: readonly T[]): T {
    const item = items[this.below(items.length)]
    if (item === undefined) throw new Error('nothing to pick from')
    return item
  }

  fill(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; at += 1) bytes[at] = this.below(256)
  }

  bytes(length: number): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(length)
    this.fill(bytes)
    return bytes
  }
}

/** mulberry32's finaliser: for choices in tests, not for secrets. */
const mix = (value: number): number => {
  let mixed = Math.imul(value ^ (value >>> 15), value | 1)
  mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
  return (mixed ^ (mixed >>> 14)) >>> 0
}
