/**
 * A set of 8-byte prefixes of digests, in 16 to 32 bytes of memory each: a client remembers
 * millions. A digest whose prefix is all zeros is never found.
 */

export const prefixBytes = 8

const firstSlots = 1_024

export class PrefixSet {
  /** Two words for each slot; an empty one has zeros. */
  #words = new Uint32Array(2 * firstSlots)
  #size = 0
  /** Unknown to whoever makes digests, so that nobody can crowd one part of the table. */
  readonly #salt = crypto.getRandomValues(new Uint32Array(1))[0] ?? 0

  has(digest: Uint8Array): boolean {
    const [high, low] = wordsAt(digest, 0)
    const slot = this.#slotOf(high, low)
    return (high | low) !== 0 && this.#words[slot] === high && this.#words[slot + 1] === low
  }

  /** Adds prefixes that lie one after the other. */
  addAll(prefixes: Uint8Array): void {
    for (let at = 0; at + prefixBytes <= prefixes.length; at += prefixBytes) {
      const [high, low] = wordsAt(prefixes, at)
      if ((high | low) === 0) continue
      this.#add(high, low)
      if (this.#size * 4 > this.#words.length) this.#grow()
    }
  }

  #add(high: number, low: number): void {
    const slot = this.#slotOf(high, low)
    if (this.#words[slot] === high && this.#words[slot + 1] === low) return
    this.#words[slot] = high
    this.#words[slot + 1] = low
    this.#size += 1
  }

  /** Where a prefix is, or where it would go. */
  #slotOf(high: number, low: number): number {
    const words = this.#words
    const mask = words.length / 2 - 1
    let at = Math.imul(low ^ this.#salt, 0x9e37_79b1) >>> 0
    for (at = (at ^ (at >>> 15)) & mask; ; at = (at + 1) & mask) {
      const [there, then] = [words[2 * at] ?? 0, words[2 * at + 1] ?? 0]
      if ((there | then) === 0 || (there === high && then === low)) return 2 * at
    }
  }

  #grow(): void {
    const before = this.#words
    this.#words = new Uint32Array(2 * before.length)
    this.#size = 0
    for (let at = 0; at < before.length; at += 2) {
      const [high, low] = [before[at] ?? 0, before[at + 1] ?? 0]
      if ((high | low) !== 0) this.#add(high, low)
    }
  }
}

const wordsAt = (bytes: Uint8Array, at: number): readonly [high: number, low: number] => {
  const view = new DataView(bytes.buffer, bytes.byteOffset + at, prefixBytes)
  return [view.getUint32(0), view.getUint32(4)]
}
