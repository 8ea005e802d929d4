/** How many bytes of each address are parked, and whose are the most. */

import type { Address } from '../../protocol/ids.ts'

export class ParkedBytes {
  readonly #of = new Map<Address, number>()
  /**
   * The addresses by their bytes, as strangers choose how many addresses there are. Different
   * numbers are few: together they would exceed what may be parked.
   */
  readonly #by = new Map<number, Set<Address>>()
  #total = 0

  get total(): number {
    return this.#total
  }

  of(address: Address): number {
    return this.#of.get(address) ?? 0
  }

  add(address: Address, bytes: number): void {
    const before = this.of(address)
    const after = before + bytes
    this.#total += bytes
    const others = this.#by.get(before)
    others?.delete(address)
    if (others?.size === 0) this.#by.delete(before)
    this.#of.delete(address)
    if (after <= 0) return
    this.#of.set(address, after)
    const same = this.#by.get(after)
    if (same) same.add(address)
    else this.#by.set(after, new Set([address]))
  }

  /** Undefined if nothing is parked. */
  largest(): Address | undefined {
    let most = 0
    for (const bytes of this.#by.keys()) most = Math.max(most, bytes)
    const [address] = this.#by.get(most) ?? []
    return address
  }
}
