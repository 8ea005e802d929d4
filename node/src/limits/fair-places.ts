/**
 * Places that strangers may hold as long as they like. Who finds none gets the oldest one of whoever holds
 * most, if that is more than the newcomer has. So a few who take all they may shut out nobody.
 */
import { networkOf } from './networks.ts'

export class FairPlaces<T> {
  readonly #limit: number
  readonly #evict: (item: T) => void
  /** By holder, the oldest first. */
  readonly #held = new Map<string, Set<T>>()
  /** Holders by how many places they have. */
  readonly #byCount = new Map<number, Set<string>>()
  #most = 0
  #size = 0

  /** @param evict ends what holds a place, which was given away. */
  constructor(limit: number, evict: (item: T) => void) {
    this.#limit = limit
    this.#evict = evict
  }

  /** How many are taken. */
  get size(): number {
    return this.#size
  }

  /** @returns false if there is no place, and nobody holds more than this caller. */
  take(caller: string, item: T): boolean {
    const holder = holderOf(caller)
    const own = this.#held.get(holder)?.size ?? 0
    if (this.#size >= this.#limit && !this.#makeRoom(own)) return false
    this.#held.set(holder, (this.#held.get(holder) ?? new Set()).add(item))
    this.#move(holder, own, own + 1)
    this.#size += 1
    return true
  }

  /** Gives a place back; may be called again. */
  release(caller: string, item: T): void {
    const holder = holderOf(caller)
    const held = this.#held.get(holder)
    if (held?.delete(item) !== true) return
    if (held.size === 0) this.#held.delete(holder)
    this.#move(holder, held.size + 1, held.size)
    this.#size -= 1
  }

  #makeRoom(own: number): boolean {
    if (this.#most <= own + 1) return false
    const [holder] = this.#byCount.get(this.#most) ?? []
    const [oldest] = (holder !== undefined && this.#held.get(holder)) || []
    if (holder === undefined || oldest === undefined) return false
    this.release(holder, oldest)
    this.#evict(oldest)
    return true
  }

  #move(holder: string, from: number, to: number): void {
    const before = this.#byCount.get(from)
    before?.delete(holder)
    if (before?.size === 0) this.#byCount.delete(from)
    if (to > 0) this.#byCount.set(to, (this.#byCount.get(to) ?? new Set()).add(holder))
    this.#most = Math.max(this.#most, to)
    while (this.#most > 0 && !this.#byCount.has(this.#most)) this.#most -= 1
  }
}

/** All callers of an IPv6 /48 hold together. */
const holderOf = (caller: string): string => networkOf(caller) ?? caller
