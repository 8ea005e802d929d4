/**
 * Holds the outbox's entries in order of composition, and which of them rest until something
 * changes. Publishing is left to the outbox.
 */

import type { Platform } from '../../platform/platform.ts'
import type { Address } from '../../protocol/ids.ts'
import { hourMs } from '../../protocol/limits.ts'
import type { Store } from '../../store/store.ts'
import { put, remove, tables } from '../../store/tables.ts'
import { isParticipant } from '../messages/audience.ts'
import type { Change } from '../runtime/change.ts'
import { scanAll } from '../runtime/scan-all.ts'
import { conversationOf, type OutboxEntry } from './outbox-entry.ts'

/** A resting entry is tried again this often, whatever happens (section 8). */
const longestRestMs = hourMs

export class OutboxQueue {
  readonly #store: Store
  readonly #platform: Platform
  /** Called when an entry was added or changed, or may resume. */
  readonly #onReady: () => void
  readonly #entries = new Map<number, OutboxEntry>()
  /** Entries without a reachable recipient, and since when they rest; the longest first. */
  readonly #restingSinceMs = new Map<number, number>()

  constructor(store: Store, platform: Platform, onReady: () => void) {
    this.#store = store
    this.#platform = platform
    this.#onReady = onReady
  }

  async load(): Promise<void> {
    for await (const { value, number } of scanAll(this.#store, tables.outbox)) {
      this.#entries.set(number, { number, record: value })
    }
  }

  nextNumber(): number {
    return this.#store.nextNumber(tables.outbox)
  }

  all(): readonly OutboxEntry[] {
    return [...this.#entries.values()]
  }

  /** The entries that do not rest. */
  ready(): readonly OutboxEntry[] {
    return this.all().filter(({ number }) => !this.#restingSinceMs.has(number))
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
        if (entries.length > 0) this.#onReady()
      },
    }
  }

  removalChange(entries: readonly OutboxEntry[]): Change {
    return {
      writes: entries.map(({ number }) => remove(tables.outbox, number)),
      committed: () => {
        for (const { number } of entries) {
          this.#entries.delete(number)
          this.#restingSinceMs.delete(number)
        }
      },
    }
  }

  /** No recipient is reachable: tried again when something changes, or after an hour. */
  rest({ number }: OutboxEntry): void {
    this.#restingSinceMs.set(number, this.#platform.monotonicMs())
  }

  /** Something changed that entries for this account may be waiting for. */
  resume(address: Address): void {
    const isResting = ({ number }: OutboxEntry) => this.#restingSinceMs.has(number)
    for (const entry of this.all().filter(isResting)) {
      if (!isParticipant(conversationOf(entry), address)) continue
      this.#restingSinceMs.delete(entry.number)
      this.#onReady()
    }
  }

  /** Something changed that any entry may be waiting for. */
  resumeAll(): void {
    this.#restingSinceMs.clear()
  }

  /** Resumes entries that rested for an hour. @returns milliseconds until the next one is due */
  resumeRested(): number {
    const nowMs = this.#platform.monotonicMs()
    for (const [number, sinceMs] of this.#restingSinceMs) {
      if (sinceMs <= nowMs - longestRestMs) this.#restingSinceMs.delete(number)
    }
    const [sinceMs = nowMs] = this.#restingSinceMs.values()
    return sinceMs + longestRestMs - nowMs
  }
}
