/**
 * Feeds the inbox in batches. While one is committed, the next ones are opened, so that the disk
 * and this thread are both busy. Commits stay in order.
 */

import { deferred } from '../../async.ts'
import type { NodeEnvelope } from '../../network/network.ts'
import { batchLimitBytes } from '../../protocol/limits.ts'
import type { Prepared } from './envelope-stages.ts'
import type { Inbox } from './inbox.ts'

/** Envelopes taken from the stream but not opened yet: beyond this the stream waits. */
const maxQueued = 2_000
/** Envelopes in one batch. */
const maxBatch = 200
/** What a batch is opened and decrypted for, in wasm and in the database, at a time. */
const maxBatchBytes = batchLimitBytes
const maxQueuedBytes = 4 * batchLimitBytes
/** Opened batches that wait for their commit. */
const maxPrepared = 2

export class Pump {
  readonly #inbox: Inbox
  readonly #onError: () => void
  readonly #queue: NodeEnvelope[] = []
  #queuedBytes = 0
  readonly #prepared: Prepared[] = []
  #isPreparing = false
  #isCommitting = false
  /** Resolved and replaced whenever a step finishes. */
  #progress = deferred()
  #error: unknown

  constructor(inbox: Inbox, onError: () => void) {
    this.#inbox = inbox
    this.#onError = onError
  }

  /** Why the pump stopped; undefined while it runs. */
  get error(): unknown {
    return this.#error
  }

  /** Resolves at once, or if too much is waiting, when half of it is gone. */
  async push(envelopes: readonly NodeEnvelope[]): Promise<void> {
    this.#queue.push(...envelopes)
    this.#queuedBytes += bytesOf(envelopes)
    this.#turn()
    if (!this.#isOver(1)) return
    while (this.#isOver(0.5) && this.#error === undefined) await this.#progress.promise
  }

  /** Whether more is queued than this share of the limits. */
  #isOver(share: number): boolean {
    return this.#queue.length > maxQueued * share || this.#queuedBytes > maxQueuedBytes * share
  }

  /** Resolves when everything is committed. @throws what the inbox threw */
  async drained(): Promise<void> {
    while (this.#isBusy()) await this.#progress.promise
    if (this.#error !== undefined) throw this.#error
  }

  #isBusy(): boolean {
    if (this.#isPreparing || this.#isCommitting) return true
    return this.#error === undefined && this.#queue.length + this.#prepared.length > 0
  }

  /** Starts preparing and committing where possible. */
  #turn(): void {
    if (this.#error === undefined) {
      if (!this.#isPreparing && this.#queue.length > 0 && this.#prepared.length < maxPrepared) {
        this.#isPreparing = true
        void this.#prepare(this.#takeBatch())
      }
      const next = this.#isCommitting ? undefined : this.#prepared.shift()
      if (next) {
        this.#isCommitting = true
        void this.#commit(next)
      }
    }
    this.#progress.resolve()
    this.#progress = deferred()
  }

  #takeBatch(): readonly NodeEnvelope[] {
    let bytes = 0
    const end = this.#queue.findIndex(({ message }, at) => {
      bytes += message.length
      return at >= maxBatch || (at > 0 && bytes > maxBatchBytes)
    })
    const batch = this.#queue.splice(0, end < 0 ? this.#queue.length : end)
    this.#queuedBytes -= bytesOf(batch)
    return batch
  }

  async #prepare(envelopes: readonly NodeEnvelope[]): Promise<void> {
    try {
      this.#prepared.push(await this.#inbox.prepare(envelopes))
    } catch (error) {
      this.#fail(error)
    }
    this.#isPreparing = false
    this.#turn()
  }

  async #commit(prepared: Prepared): Promise<void> {
    try {
      await this.#inbox.commit(prepared)
    } catch (error) {
      this.#fail(error)
    }
    this.#isCommitting = false
    this.#turn()
  }

  /** The cursor has not moved past the failed batch: the next subscription delivers it again. */
  #fail(error: unknown): void {
    if (this.#error !== undefined) return
    this.#error = error
    this.#onError()
  }
}

const bytesOf = (envelopes: readonly NodeEnvelope[]): number =>
  envelopes.reduce((sum, { message }) => sum + message.length, 0)
