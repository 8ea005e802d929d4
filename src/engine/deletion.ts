/**
 * Deletes messages and conversations from this device. Content is gone from disk in the transaction
 * that says so; ids and arrival numbers stay, so that what comes again stays away, cursors stay valid
 * and no number is used twice.
 */

import { PadlockError } from '../errors.ts'
import type { Address, ConversationId } from '../protocol/ids.ts'
import type { Fields, Row, Write } from '../store/store.ts'
import {
  type ConversationRecord,
  type MessageRecord,
  put,
  remove,
  StoredConsent,
  tables,
} from '../store/tables.ts'
import type { Consents } from './consent/consents.ts'
import { audienceOf } from './messages/audience.ts'
import type { Conversations } from './messages/conversations.ts'
import { newestAfter } from './messages/message-pages.ts'
import { type Change, commit, joinChanges } from './runtime/change.ts'
import type { Context } from './runtime/context.ts'
import type { OutboxQueue } from './sending/outbox-queue.ts'

/** Messages that one transaction deletes. */
const atOnce = 200

type MessageRow = Row<Fields<MessageRecord>>

export interface DeletionParts {
  readonly consents: Consents
  readonly conversations: Conversations
  readonly queue: OutboxQueue
}

export class Deletion {
  readonly #context: Context
  readonly #parts: DeletionParts

  constructor(context: Context, parts: DeletionParts) {
    this.#context = context
    this.#parts = parts
  }

  /**
   * Messages that still wait are not sent. Those deleted before are passed over.
   *
   * @throws PadlockError invalid_argument if one is in no conversation or in another; storage_*
   */
  async deleteMessages(id: ConversationId, messageIds: readonly string[]): Promise<void> {
    const all = [...new Set(messageIds)]
    for (let at = 0; at < all.length; at += atOnce) {
      const ids = all.slice(at, at + atOnce)
      await this.#exclusively(async () => {
        const rows = await Promise.all(ids.map((one) => this.#read(id, one)))
        await this.#deleteRows(
          id,
          rows.flatMap((row) => (row.value.deleted ? [] : [row])),
          false,
        )
      })
    }
    this.#context.emit({ kind: 'deleted', conversationId: id, messageIds })
  }

  /**
   * All messages, those that come meanwhile too, and the conversation. If it is interrupted, some are
   * left and listed: call it again.
   */
  async deleteConversation(id: ConversationId): Promise<void> {
    const { store } = this.#context
    for (let isDone = false; !isDone; ) {
      await this.#exclusively(async () => {
        // A page may be short; only an empty one is the end.
        const rows = await store.list(tables.messages, { group: id, limit: atOnce })
        isDone = rows.length === 0
        await this.#deleteRows(id, rows, isDone)
      })
    }
    this.#context.emit({ kind: 'deleted', conversationId: id })
  }

  #exclusively<T>(run: () => Promise<T>): Promise<T> {
    const { ratchetLock } = this.#context
    return ratchetLock.runExclusive(() => this.#parts.consents.exclusively(run))
  }

  async #read(id: ConversationId, messageId: string): Promise<MessageRow> {
    const row = await this.#context.store.get(tables.messages, messageId)
    if (row?.value.conversationId === id) return row
    throw new PadlockError('invalid_argument', { message: 'There is no such message.' })
  }

  async #deleteRows(
    id: ConversationId,
    rows: readonly MessageRow[],
    isAll: boolean,
  ): Promise<void> {
    const { store } = this.#context
    const { conversations, queue } = this.#parts
    if (rows.length === 0 && !isAll) return
    const deleted = new Set(rows.map(({ value }) => value.messageId))
    const waiting = queue.all().filter(({ record }) => deleted.has(record.messageId))
    const known = await conversations.load(id)
    const newest = isAll ? undefined : await newestAfter(store, id, deleted)
    const bookkeeping = joinChanges(
      queue.removalChange(waiting),
      // That of a denied account stays listed as such, so that it can be found again.
      known &&
        conversations.shrinkChange(id, rows.length, isAll && !isDenied(known), newest?.value),
      await this.#sumsChange(id, rows, isAll),
    )
    try {
      await commit(store, joinChanges({ writes: rows.map(tombstone) }, bookkeeping))
    } catch (error) {
      if (!(error instanceof PadlockError) || error.code !== 'storage_full') throw error
      // Where nothing fits any more: first make room, then remember. If that is interrupted, a copy
      // that some device still sends would be taken for new.
      await commit(store, {
        writes: rows.map(({ value }) => remove(tables.messages, value.messageId)),
      })
      await commit(store, joinChanges({ writes: rows.map(tombstone) }, bookkeeping))
    }
  }

  /** What is stored of accounts that were not accepted. */
  async #sumsChange(
    id: ConversationId,
    rows: readonly MessageRow[],
    isAll: boolean,
  ): Promise<Change> {
    const { account } = this.#context
    const [peer] = audienceOf(id, account.address).others
    if (peer === undefined) return { writes: [] }
    const ofPeer = rows.filter(({ value }) => (value.sender as Address) === peer)
    const bytes = ofPeer.reduce((sum, { value }) => sum + value.content.length, 0)
    return this.#parts.consents.removalChange(peer, { messages: ofPeer.length, bytes }, isAll)
  }
}

const isDenied = ({ consent }: Fields<ConversationRecord>): boolean =>
  consent === StoredConsent.DENIED

const tombstone = ({ value, number }: MessageRow): Write => {
  const { messageId, conversationId, composedNs, nodeNs } = value
  const record = { messageId, conversationId, composedNs, nodeNs, deleted: true }
  return put(tables.messages, messageId, record, number)
}
