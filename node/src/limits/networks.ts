/**
 * The networks of callers. An IPv6 caller is a /64, and whoever has a /48, as many customers do, has
 * 65,536 of those. So what a caller may, its /48 may some times over, and no more.
 */
import ipaddr from 'ipaddr.js'

/** The /48 of a caller that is a /64 of IPv6; nothing for others. */
export function networkOf(caller: string): string | undefined {
  if (!caller.endsWith('/64')) return undefined
  const [a = 0, b = 0, c = 0] = ipaddr.IPv6.parse(caller.slice(0, -'/64'.length)).parts
  return `${new ipaddr.IPv6([a, b, c, 0, 0, 0, 0, 0]).toString()}/48`
}

/** Counts something by caller and by its network. */
export class CallerCounts {
  readonly #byName = new Map<string, number>()
  readonly #limit: number
  readonly #limitOfNetwork: number

  /** @param times how much more than one caller its network may. */
  constructor(limit: number, times: number) {
    this.#limit = limit
    this.#limitOfNetwork = limit * times
  }

  of(caller: string): number {
    return this.#byName.get(caller) ?? 0
  }

  /** Of a caller and its network. */
  around(caller: string): number {
    return this.of(networkOf(caller) ?? caller)
  }

  /** Whether so much more would be too much. */
  isOver(caller: string, more: number): boolean {
    if (this.of(caller) + more > this.#limit) return true
    const network = networkOf(caller)
    return network !== undefined && this.of(network) + more > this.#limitOfNetwork
  }

  /** Counts so much more, or less. */
  add(caller: string, change: number): void {
    this.#addTo(caller, change)
    const network = networkOf(caller)
    if (network !== undefined) this.#addTo(network, change)
  }

  #addTo(name: string, change: number): void {
    const count = this.of(name) + change
    if (count === 0) this.#byName.delete(name)
    else this.#byName.set(name, count)
  }
}
