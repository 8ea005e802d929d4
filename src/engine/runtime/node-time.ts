/**
 * Clocks (docs/protocol.md section 1). Node time is the node's last word plus the monotonic time
 * since; times that others check are taken from it where the own clock runs ahead.
 */

import type { Platform } from '../../platform/platform.ts'
import { createdAheadLimitNs, dayNs } from '../../protocol/limits.ts'

const nsPerMs = 1_000_000n
/** The year 2262: what is counted from a time must fit its 64 bits, whatever a node says. */
const latestNs = 2n ** 63n
/** How wrong the own clock may be before a `created_ns` ahead of it is not believed. */
const clockErrorNs = dayNs

export class NodeTime {
  readonly #platform: Platform
  #nodeNs: bigint | undefined
  #heardMs = 0

  constructor(platform: Platform) {
    this.#platform = platform
  }

  onNodeTime(nodeNs: bigint): void {
    this.#nodeNs = nodeNs < latestNs ? nodeNs : latestNs
    this.#heardMs = this.#platform.monotonicMs()
  }

  /** The own clock in nanoseconds. */
  clockNs(): bigint {
    return BigInt(this.#platform.nowMs()) * nsPerMs
  }

  /** Node time, or undefined before the node was heard. */
  nodeNs(): bigint | undefined {
    if (this.#nodeNs === undefined) return undefined
    return this.#nodeNs + BigInt(Math.trunc(this.#platform.monotonicMs() - this.#heardMs)) * nsPerMs
  }

  /**
   * What both clocks say has passed: an age is over only when the own clock and node time both say so
   * (section 1), so that a clock or a node that jumps ahead ends nothing. 0 before the node was heard.
   */
  passedNs(): bigint {
    const clock = this.clockNs()
    const node = this.nodeNs() ?? 0n
    return clock < node ? clock : node
  }

  /** As `passedNs`, in milliseconds. */
  passedMs(): number {
    return nsToMs(this.passedNs())
  }

  /** Where an age begins: at the later of both clocks, so that it never seems greater than it is. */
  stampMs(): number {
    const node = this.nodeNs()
    const clock = this.#platform.nowMs()
    return node === undefined ? clock : Math.max(clock, nsToMs(node))
  }

  /** A time that the node gave, but not ahead of the own clock: for what goes when it is old enough. */
  notAhead(nodeNs: bigint): bigint {
    const latest = this.clockNs() + clockErrorNs
    return nodeNs < latest ? nodeNs : latest
  }

  /** For `created_ns`: later than `last`, and not ahead of the node. */
  createdNs(last: bigint): bigint {
    const clock = this.clockNs()
    const node = this.nodeNs() ?? clock
    const now = clock < node ? clock : node
    return now > last ? now : last + 1n
  }

  /**
   * Whether a `created_ns` that the node reports can be true. It takes none from the future (section 5);
   * who went on from one would be refused by every honest node until then.
   */
  mayBeCreated(createdNs: bigint): boolean {
    const clock = this.clockNs()
    const node = this.nodeNs() ?? clock
    return createdNs <= node + createdAheadLimitNs && createdNs <= clock + clockErrorNs
  }

  /** For `composed_ns`: the own clock, later than `last`. */
  composedNs(last: bigint): bigint {
    const clock = this.clockNs()
    return clock > last ? clock : last + 1n
  }
}

export const nsToMs = (ns: bigint): number => Number(ns / nsPerMs)
