/**
 * Clocks (docs/protocol.md section 1). Node time is the time that the node last reported plus the
 * monotonic time since; times that others check are taken from it if our own clock runs ahead.
 */

import type { Platform } from '../../platform/platform.ts'
import { createdAheadLimitNs, dayNs, minuteMs } from '../../protocol/limits.ts'

const nsPerMs = 1_000_000n
/** The year 2262: sums with a time must fit 64 bits, whatever a node reports. */
const latestNs = 2n ** 63n
/** How far node time goes back when the node tells it anew: answers take longer at one time than another. */
const jitterMs = minuteMs
/** How far ahead of our own clock a time is believed, as the clock may be wrong. */
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

  /** Our own clock in nanoseconds. */
  clockNs(): bigint {
    return BigInt(Math.trunc(this.#platform.nowMs())) * nsPerMs
  }

  /** Node time, or undefined before the node reported it. */
  nodeNs(): bigint | undefined {
    if (this.#nodeNs === undefined) return undefined
    return this.#nodeNs + BigInt(Math.trunc(this.#platform.monotonicMs() - this.#heardMs)) * nsPerMs
  }

  /**
   * The earlier of both clocks: an age is over only when our own clock and node time agree (section
   * 1), so that a clock or a node that jumps ahead ends nothing. 0 before the node reported its
   * time.
   */
  passedNs(): bigint {
    const clock = this.clockNs()
    const node = this.nodeNs() ?? 0n
    return clock < node ? clock : node
  }

  /** Like `passedNs`, in milliseconds. */
  passedMs(): number {
    return nsToMs(this.passedNs())
  }

  /** Now, for what people see: node time once the node has told it, as our own clock may be wrong. */
  shownMs(): number {
    return nsToMs(this.nodeNs() ?? this.clockNs())
  }

  /** Whether a time is further ahead of node time than this; false before the node told it. */
  isAhead(ms: number, byMs: number): boolean {
    const node = this.nodeNs()
    return node !== undefined && ms > nsToMs(node) + byMs
  }

  /** The start of an age: the later of both clocks, so that it never seems older than it is. */
  stampMs(): number {
    const node = this.nodeNs()
    const clock = this.#platform.nowMs()
    return node === undefined ? clock : Math.max(clock, nsToMs(node))
  }

  /**
   * Whether a clock that was ahead gave the start of an age: it must be dated again, or the age ends
   * only when that time has come. False before the node told its time, as our own clock may be behind.
   */
  isStartAhead(startMs: number): boolean {
    return this.#nodeNs !== undefined && startMs > this.stampMs() + jitterMs
  }

  /** A time from the node, capped near our own clock: for records that are removed by age. */
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
   * Whether a `created_ns` that the node reports can be true. Honest nodes accept none from the
   * future (section 5); if ours continued after such a time, they would all refuse it until then.
   */
  mayBeCreated(createdNs: bigint): boolean {
    const clock = this.clockNs()
    const node = this.nodeNs() ?? clock
    return createdNs <= node + createdAheadLimitNs && createdNs <= clock + clockErrorNs
  }

  /** For `composed_ns`: our own clock, but later than `last`. */
  composedNs(last: bigint): bigint {
    const clock = this.clockNs()
    return clock > last ? clock : last + 1n
  }
}

export const nsToMs = (ns: bigint): number => Number(ns / nsPerMs)
