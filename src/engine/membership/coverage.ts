/**
 * Tracks which accounts the live subscription covers (docs/protocol.md section 8): our state of
 * those is what the node has now; all others are queried when it matters.
 */

import type { Platform } from '../../platform/platform.ts'
import type { Address } from '../../protocol/ids.ts'

/** A subscription counts as live while its last frame is younger than this (section 8). */
const coverageMs = 60_000
/** Limit of the accounts remembered as read to the end of their topics. */
const maxRead = 2_000

export class Coverage {
  readonly #platform: Platform
  #followed: ReadonlySet<Address> = new Set()
  #isCaughtUp = false
  /** Accounts whose topics were read to the end: later envelopes are news. */
  readonly #read = new Set<Address>()
  #lastFrameMs = 0

  constructor(platform: Platform) {
    this.#platform = platform
  }

  /** Accounts whose topics the running subscription carries. */
  get followed(): ReadonlySet<Address> {
    return this.#followed
  }

  /** A new subscription carries these; it is not caught up yet. */
  follow(addresses: ReadonlySet<Address>): void {
    this.#followed = addresses
    this.#isCaughtUp = false
  }

  /** The subscription carries more topics now, and is caught up with them. */
  extend(addresses: ReadonlySet<Address>): void {
    this.#followed = addresses
    this.onCaughtUp()
  }

  /** The subscription has delivered its backlog. */
  onCaughtUp(): void {
    this.#isCaughtUp = true
    for (const address of this.#followed) this.#read.add(address)
  }

  /** The subscription delivered a frame. */
  onFrame(): void {
    this.#lastFrameMs = this.#platform.monotonicMs()
  }

  /** These accounts were queried to the end of their topics. */
  onQueried(addresses: readonly Address[]): void {
    if (this.#read.size > maxRead) this.#read.clear()
    for (const address of addresses) this.#read.add(address)
  }

  /**
   * Whether the subscription delivers everything about an account before any envelope that the node
   * received later: its frames are in order of node time, so this holds from its start.
   */
  isFollowed(address: Address): boolean {
    return this.#followed.has(address)
  }

  /** Whether our state of an account is what the node has now, and so good enough for sending. */
  isCovered(address: Address): boolean {
    return (
      this.#isCaughtUp &&
      this.#followed.has(address) &&
      this.#platform.monotonicMs() - this.#lastFrameMs < coverageMs
    )
  }

  /** What is known of an account was forgotten: read again, nothing of it is news. */
  forget(address: Address): void {
    this.#read.delete(address)
  }

  wasRead(address: Address): boolean {
    return this.#read.has(address)
  }
}
