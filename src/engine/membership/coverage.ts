/**
 * Which accounts the live subscription covers (docs/protocol.md section 8): what is known of those is
 * what the node has now; all others are queried when it matters.
 */

import type { Platform } from '../../platform/platform.ts'
import type { Address } from '../../protocol/ids.ts'

/** A subscription counts as live while its last frame is under this old (section 8). */
const coverageMs = 60_000
/** Accounts whose topics were read to their end, in memory. */
const maxRead = 2_000

export class Coverage {
  readonly #platform: Platform
  #followed: ReadonlySet<Address> = new Set()
  #isCaughtUp = false
  /** Whose topics were read to the end: what comes after that is news. */
  readonly #read = new Set<Address>()
  #lastFrameMs = 0

  constructor(platform: Platform) {
    this.#platform = platform
  }

  /** Whose topics the running subscription carries. */
  get followed(): ReadonlySet<Address> {
    return this.#followed
  }

  /** Another subscription carries these; it is not caught up yet. */
  follow(addresses: ReadonlySet<Address>): void {
    this.#followed = addresses
    this.#isCaughtUp = false
  }

  /** More topics are carried now, and caught up with. */
  extend(addresses: ReadonlySet<Address>): void {
    this.#followed = addresses
    this.onCaughtUp()
  }

  /** The subscription has brought everything that there was. */
  onCaughtUp(): void {
    this.#isCaughtUp = true
    for (const address of this.#followed) this.#read.add(address)
  }

  /** The subscription said something. */
  onFrame(): void {
    this.#lastFrameMs = this.#platform.monotonicMs()
  }

  /** These were queried to the end of their topics. */
  onQueried(addresses: readonly Address[]): void {
    if (this.#read.size > maxRead) this.#read.clear()
    for (const address of addresses) this.#read.add(address)
  }

  /**
   * Whether the subscription has told all there was of an account before it tells of an envelope that
   * the node received later: its frames are in order of node time, so this holds from its start.
   */
  isFollowed(address: Address): boolean {
    return this.#followed.has(address)
  }

  /** Whether what is known of an account is what the node has now: enough to send by. */
  isCovered(address: Address): boolean {
    return (
      this.#isCaughtUp &&
      this.#followed.has(address) &&
      this.#platform.monotonicMs() - this.#lastFrameMs < coverageMs
    )
  }

  wasRead(address: Address): boolean {
    return this.#read.has(address)
  }
}
