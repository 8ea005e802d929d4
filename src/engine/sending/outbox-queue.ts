/**
 * Holds the outbox's entries in order of composition, and which of them rest until something
 * changes. Publishing is left to the outbox.
 */

import type { Platform } from '../../platform/platform.ts'
import type { Address } from '../../protocol/ids.ts'
import { hourMs, internalQueueBytes } from '../../protocol/limits.ts'
import type { Store } from '../../store/store.ts'
import { put, remove, tables } from '../../store/tables.ts'
import { isParticipant } from '../messages/audience.ts'
import type { Change } from '../runtime/change.ts'
import { scanAll } from '../runtime/scan-all.ts'
import { conversationOf, isMessage, type OutboxEntry } from './outbox-entry.ts'

/** A resting entry is tried again this often, whatever happens (section 8). */
const longestRestMs = hourMs

/** Receives what changes in the queue. */
export interface OutboxQueueListener {
  /** An entry was added or changed, or may resume. */
  onReady(): void
  /** The queue was crowded, and is so no longer. */
  onRoom(): void
}

export class OutboxQueue {
  readonly #store: Store
  readonly #platform: Platform
  readonly #listener: OutboxQueueListener
  readonly #entries = new Map<number, OutboxEntry>()
  /** Entries that cannot be sent now, and until when they rest. */
  readonly #restingUntilMs = new Map<number, number>()
  /** Of those that rest, the ones that keep later ones of their conversation waiting. */
  readonly #held = new Set<number>()

  constructor(store: Store, platform: Platform, listener: OutboxQueueListener) {
    this.#store = store
    this.#platform = platform
    this.#listener = listener
  }

  async load(): Promise<void> {
    for await (const { value, number } of scanAll(this.#store, tables.outbox)) {
      this.#entries.set(number, { number, record: value })
    }
  }

  /**
   * Whether what installations send each other fills its share: until some of it is gone, no more is
   * sealed, as all of it goes before the next message of the person.
   */
  get isCrowded(): boolean {
    let bytes = 0
    for (const entry of this.#entries.values()) {
      if (isMessage(entry)) continue
      for (const { message } of entry.record.rows) bytes += message.length
    }
    return bytes > internalQueueBytes
  }

  nextNumber(): number {
    return this.#store.nextNumber(tables.outbox)
  }

  all(): readonly OutboxEntry[] {
    return [...this.#entries.values()]
  }

  /** The entries that do not rest, and have no held one of their conversation before them. */
  ready(): readonly OutboxEntry[] {
    const held = new Set<string>()
    return this.all().filter((entry) => {
      const isResting = this.#restingUntilMs.has(entry.number)
      const isHeld = isResting && this.#held.has(entry.number)
      if (isHeld && isMessage(entry)) held.add(conversationOf(entry))
      return !isResting && !(isMessage(entry) && held.has(conversationOf(entry)))
    })
  }

  /** Whether an entry is still in the queue. */
  holds({ number }: OutboxEntry): boolean {
    return this.#entries.has(number)
  }

  /** Whether a message is still to be sent. */
  has(messageId: string): boolean {
    return this.all().some(({ record }) => record.messageId === messageId)
  }

  /** Adds entries, or replaces those with the same numbers. */
  entriesChange(entries: readonly OutboxEntry[]): Change {
    return {
      writes: entries.map(({ number, record }) => put(tables.outbox, number, record)),
      committed: () => {
        for (const entry of entries) this.#entries.set(entry.number, entry)
        if (entries.length > 0) this.#listener.onReady()
      },
    }
  }

  removalChange(entries: readonly OutboxEntry[]): Change {
    return {
      writes: entries.map(({ number }) => remove(tables.outbox, number)),
      committed: () => {
        const wasCrowded = this.isCrowded
        for (const { number } of entries) {
          this.#entries.delete(number)
          this.#restingUntilMs.delete(number)
          this.#held.delete(number)
        }
        if (wasCrowded && !this.isCrowded) this.#listener.onRoom()
      },
    }
  }

  /** It cannot be sent now: tried again when something changes, or after this time. */
  rest({ number }: OutboxEntry, ms = longestRestMs): void {
    this.#held.delete(number)
    this.#restingUntilMs.set(number, this.#platform.monotonicMs() + Math.min(ms, longestRestMs))
  }

  /** The same, with all later ones of its conversation behind it: they go in order. */
  hold(entry: OutboxEntry, ms: number): void {
    this.rest(entry, ms)
    this.#held.add(entry.number)
  }

  /** Something changed that entries for this account may be waiting for. */
  resume(address: Address): void {
    const isResting = ({ number }: OutboxEntry) => this.#restingUntilMs.has(number)
    for (const entry of this.all().filter(isResting)) {
      if (!isParticipant(conversationOf(entry), address)) continue
      this.#restingUntilMs.delete(entry.number)
      this.#listener.onReady()
    }
  }

  /** Something changed that any entry may be waiting for. */
  resumeAll(): void {
    this.#restingUntilMs.clear()
  }

  /** Resumes entries that have rested. @returns milliseconds until the next one is due */
  resumeRested(): number {
    const nowMs = this.#platform.monotonicMs()
    let nextMs = longestRestMs
    for (const [number, untilMs] of this.#restingUntilMs) {
      if (untilMs <= nowMs) this.#restingUntilMs.delete(number)
      else nextMs = Math.min(nextMs, untilMs - nowMs)
    }
    return nextMs
  }
}
