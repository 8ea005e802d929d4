/**
 * Conversations and their messages in the store: listing, paging, the order of arrival, and the
 * record of a new message. The store is authoritative; only a small cache is kept here.
 */

import { deferred, onAbort } from '../../async.ts'
import { PadlockError } from '../../errors.ts'
import {
  type Address,
  type ConversationId,
  formatAddress,
  parseCanonicalAddress,
} from '../../protocol/ids.ts'
import type { Fields, Row, Rows, Write } from '../../store/store.ts'
import {
  add,
  allConversations,
  type ConversationRecord,
  conversationOrder,
  type MessageRecord,
  put,
  tables,
} from '../../store/tables.ts'
import type { ConversationInfo, ConversationPlace, Message } from '../model.ts'
import { type Change, commit, joinChanges } from '../runtime/change.ts'
import type { Context } from '../runtime/context.ts'
import { invalidCursor, readCursor } from '../runtime/cursor-text.ts'
import { audienceOf, directConversation } from './audience.ts'
import { type MessageTime, newestMsOf, recordAfter, recordCorrected } from './conversation-times.ts'
import { describePage, readHistory } from './message-pages.ts'
import { type NewMessage, toMessageRecord } from './message-records.ts'

const maxCached = 1_000
const maxPage = 500

export class Conversations {
  readonly #context: Context
  readonly #known = new Map<ConversationId, Fields<ConversationRecord>>()
  /** Wakes the readers that wait for a message. */
  readonly #waiting = new Set<() => void>()
  #lastArrival: number

  constructor(context: Context) {
    this.#context = context
    // Numbers ascend, so the next one minus one is the last that can have been used.
    this.#lastArrival = context.store.nextNumber(tables.messages) - 1
  }

  /** The record of a conversation; undefined if there is none yet. */
  async load(id: ConversationId): Promise<Fields<ConversationRecord> | undefined> {
    const known = this.#known.get(id)
    if (known) return known
    const row = await this.#context.store.get(tables.conversations, id)
    if (row) this.#remember(id, row.value)
    return row?.value
  }

  /** Which of these accounts have been written to, by any device of ours; our own is one of them. */
  async writtenTo(addresses: Iterable<Address>): Promise<ReadonlySet<Address>> {
    const own = this.#context.account.address
    const written = new Set<Address>()
    for (const address of addresses) {
      const record = await this.load(directConversation(own, address))
      if (address === own || record?.written) written.add(address)
    }
    return written
  }

  /** The conversation with an account, made at the first call. */
  async open(peer: Address): Promise<ConversationInfo> {
    const id = directConversation(this.#context.account.address, peer)
    const known = await this.load(id)
    if (known) return this.describe(known)
    await commit(this.#context.store, this.activityChange(id, 0))
    const made = await this.load(id)
    if (!made) throw new PadlockError('internal')
    return this.describe(made)
  }

  /** Conversations, those with the newest messages first; after a place, from there on. */
  async list(limit: number, before?: ConversationPlace): Promise<readonly ConversationInfo[]> {
    const rows = await this.#context.store.list(tables.conversations, {
      group: allConversations,
      limit,
      newestFirst: true,
      ...(before && { past: pastOf(before) }),
    })
    return rows.map(({ value }) => this.describe(value))
  }

  /** The other accounts of the newest conversations. */
  async peers(limit: number): Promise<ReadonlySet<Address>> {
    const own = this.#context.account.address
    const ids = await this.ids(limit)
    return new Set(ids.flatMap((id) => audienceOf(id, own).others))
  }

  /** The ids of the newest conversations. */
  async ids(limit: number): Promise<readonly ConversationId[]> {
    const rows = await this.#context.store.list(tables.conversations, {
      group: allConversations,
      limit,
      newestFirst: true,
    })
    return rows.map(({ value }) => value.conversationId as ConversationId)
  }

  /**
   * Records that a message of this time came in or goes out. The conversation must have been
   * loaded; it is created if there is none.
   *
   * @param isOwn whether this account wrote it
   */
  activityChange(id: ConversationId, messageMs: number, isOwn = false): Change {
    const known = this.#known.get(id)
    const after = recordAfter(this.#context, id, known, messageMs)
    const record = { ...after, written: isOwn || after.written }
    return {
      writes: [put(tables.conversations, id, record)],
      committed: () => this.#onStored(record),
    }
  }

  /** Records when the node got messages: until then only our own clock, which may be wrong, said so. */
  publishedChange(published: readonly MessageTime[]): Change {
    const changes = Array.from(newestMsOf(published), ([id, ms]): Change => {
      let record: Fields<ConversationRecord> | undefined
      const writes = (rows: Rows): readonly Write[] => {
        const row = rows.get(tables.conversations, id)
        record = row && recordCorrected(this.#context, id, row.value, ms)
        return record ? [put(tables.conversations, id, record)] : []
      }
      return {
        writes: [],
        updates: [{ read: { table: tables.conversations, key: id }, writes }],
        committed: () => record && this.#remember(id, record),
      }
    })
    return joinChanges(...changes)
  }

  /**
   * Adds received messages, except duplicates; their conversations must have been loaded. After the
   * commit, `added` returns how many were new.
   */
  additionChange(messages: readonly NewMessage[]): Change & { added(): number } {
    const { store } = this.#context
    let activity: readonly Change[] = []
    let numbers: readonly number[] = []
    const addition = (rows: Rows): readonly Write[] => {
      const fresh = messages.filter(({ id }) => !rows.exists(tables.messages, id))
      // In the synchronous stretch of the transaction, as `nextArrival` requires.
      numbers = fresh.map(() => store.nextNumber(tables.messages))
      activity = this.#activityOf(fresh)
      const adds = fresh.map((message, at) =>
        add(tables.messages, message.id, toMessageRecord(message), numbers[at]),
      )
      return [...activity.flatMap(({ writes }) => writes), ...adds]
    }
    return {
      writes: [],
      updates: messages.length > 0 ? [{ writes: addition }] : [],
      committed: () => {
        for (const change of activity) change.committed?.()
        const newest = numbers.at(-1)
        if (newest !== undefined) this.arrived(newest)
      },
      added: () => numbers.length,
    }
  }

  #activityOf(messages: readonly NewMessage[]): readonly Change[] {
    const own = this.#context.account.address
    const written = new Set(
      messages.filter(({ sender }) => sender === own).map((one) => one.conversationId),
    )
    return Array.from(newestMsOf(messages), ([id, ms]) =>
      this.activityChange(id, ms, written.has(id)),
    )
  }

  #onStored(record: Fields<ConversationRecord>): void {
    const id = record.conversationId as ConversationId
    const isNew = !this.#known.has(id)
    this.#remember(id, record)
    if (isNew) this.#context.emit({ kind: 'conversation', conversation: this.describe(record) })
  }

  /** Messages up to this number were committed: wakes the streams. */
  arrived(number: number): void {
    this.#lastArrival = Math.max(this.#lastArrival, number)
    for (const wake of [...this.#waiting]) wake()
  }

  /** One page, newest first, which `pageContentLimitBytes` may end early. */
  async history(
    id: ConversationId,
    before: string | undefined,
    limit: number,
  ): Promise<readonly Message[]> {
    const { store, account } = this.#context
    const last = before === undefined ? undefined : (await this.#at(readCursor(before))).value
    const rows = await readHistory(store, id, last, Math.min(limit, maxPage))
    return (await describePage(rows, account.address)).messages
  }

  async #at(number: number): Promise<Row<MessageRecord>> {
    const { rows } = await this.#context.store.scan(tables.messages, {
      after: number - 1,
      limit: 1,
    })
    const [row] = rows
    if (row?.number !== number) throw invalidCursor()
    return row
  }

  /** The cursor of the newest message: everything after it is yet to arrive. */
  lastCursor(): string {
    return String(this.#lastArrival)
  }

  /**
   * The running number of a new message. Call this in the same synchronous stretch as the
   * `transaction` that stores it: transactions run in the order of their creation, so that numbers
   * are committed in ascending order and no stream can skip one.
   */
  nextArrival(): number {
    return this.#context.store.nextNumber(tables.messages)
  }

  /** Messages that arrived after a cursor, oldest first; waits up to `waitMs` if there are none. */
  async next(
    after: string,
    conversationId: ConversationId | undefined,
    waitMs: number,
    signal: AbortSignal,
  ): Promise<{ readonly messages: readonly Message[]; readonly cursor: string }> {
    let position = readCursor(after)
    const { store, platform, account } = this.#context
    const patience = new AbortController()
    const stopListening = onAbort(signal, () => patience.abort())
    const timer = platform.wait(waitMs, patience.signal).then(() => patience.abort())
    try {
      for (;;) {
        const news = deferred()
        // Registered before reading, so that nothing slips in between.
        this.#waiting.add(news.resolve)
        const stopWaiting = onAbort(patience.signal, news.resolve)
        try {
          const page = await store.scan(tables.messages, {
            after: position,
            limit: 100,
            ...(conversationId === undefined ? {} : { group: conversationId }),
          })
          const isEnd = page.lastNumber <= position
          position = page.lastNumber
          if (!isEnd && page.rows.length === 0) continue
          if (page.rows.length > 0 || patience.signal.aborted) {
            const { messages, rest } = await describePage(page.rows, account.address)
            const [next] = rest
            return { messages, cursor: String(next ? next.number - 1 : position) }
          }
          await news.promise
        } finally {
          this.#waiting.delete(news.resolve)
          stopWaiting()
        }
      }
    } finally {
      stopListening()
      patience.abort()
      await timer
    }
  }

  describe(record: Fields<ConversationRecord>): ConversationInfo {
    const peer = parseCanonicalAddress(record.peer)
    if (!peer.ok) throw new PadlockError('storage_damaged')
    return {
      id: record.conversationId,
      peer: formatAddress(peer.value),
      createdAtMs: Number(record.createdMs),
      lastMessageAtMs: record.lastMessageMs === 0n ? undefined : Number(record.lastMessageMs),
    }
  }

  #remember(id: ConversationId, record: Fields<ConversationRecord>): void {
    this.#known.delete(id)
    const [oldest] = this.#known.keys()
    if (oldest !== undefined && this.#known.size >= maxCached) this.#known.delete(oldest)
    this.#known.set(id, record)
  }
}

const pastOf = ({ id, createdAtMs, lastMessageAtMs }: ConversationPlace) => ({
  place: conversationOrder(BigInt(lastMessageAtMs || createdAtMs)),
  key: id,
})
