/**
 * The records of conversations, and of the messages that come into them. The store is authoritative;
 * only a small cache is kept here.
 */

import { PadlockError } from '../../errors.ts'
import type { Address, ConversationId } from '../../protocol/ids.ts'
import type { Fields, Rows, Write } from '../../store/store.ts'
import {
  add,
  type ConversationRecord,
  type MessageRecord,
  put,
  remove,
  tables,
} from '../../store/tables.ts'
import type { Admission } from '../consent/admission.ts'
import { type Consents, stored } from '../consent/consents.ts'
import type { Consent, ConversationInfo } from '../model.ts'
import { type Change, commit, joinChanges } from '../runtime/change.ts'
import type { Context } from '../runtime/context.ts'
import { nsToMs } from '../runtime/node-time.ts'
import { audienceOf, directConversation } from './audience.ts'
import { describeConversation } from './conversation-list.ts'
import { type MessageTime, newestMsOf, recordAfter, recordCorrected } from './conversation-times.ts'
import { type NewMessage, toMessageRecord } from './message-records.ts'
import type { MessageStream } from './message-stream.ts'

const maxCached = 1_000

/** A message of this time, in a conversation with an account of which the person said this. */
export interface Activity {
  readonly messageMs: number
  readonly consent: Consent
  /** How many messages more. */
  readonly messages: number
}

export class Conversations {
  readonly #context: Context
  readonly #consents: Consents
  readonly #stream: Pick<MessageStream, 'arrived'>
  readonly #known = new Map<ConversationId, Fields<ConversationRecord>>()

  constructor(context: Context, consents: Consents, stream: Pick<MessageStream, 'arrived'>) {
    this.#context = context
    this.#consents = consents
    this.#stream = stream
  }

  /** The record of a conversation; undefined if there is none yet. */
  async load(id: ConversationId): Promise<Fields<ConversationRecord> | undefined> {
    const known = this.#known.get(id)
    if (known) return known
    const row = await this.#context.store.get(tables.conversations, id)
    // It may have been stored meanwhile.
    if (row && !this.#known.has(id)) this.#remember(id, row.value)
    return this.#known.get(id)
  }

  /** The conversation with an account, made at the first call. */
  async open(peer: Address): Promise<ConversationInfo> {
    const id = directConversation(this.#context.account.address, peer)
    const known = await this.load(id)
    if (known) return this.describe(known)
    // Its consent must not change meanwhile.
    const { ratchetLock, store } = this.#context
    return ratchetLock.runExclusive(() =>
      this.#consents.exclusively(async () => {
        const consent = await this.#consents.of(peer)
        if (!(await this.load(id))) {
          await commit(store, this.activityChange(id, { messageMs: 0, consent, messages: 0 }))
        }
        const made = await this.load(id)
        if (!made) throw new PadlockError('internal')
        return this.describe(made)
      }),
    )
  }

  async describe(record: Fields<ConversationRecord>): Promise<ConversationInfo> {
    return describeConversation(record, await this.#consents.state(record.peer as Address))
  }

  /**
   * Records what happened in a conversation, which must have been loaded; it is created if there is
   * none.
   */
  activityChange(id: ConversationId, { messageMs, consent, messages }: Activity): Change {
    const known = this.#known.get(id)
    const after = recordAfter(this.#context, id, known, messageMs)
    const record = {
      ...after,
      consent: stored[consent],
      messages: Math.max(0, after.messages + messages),
    }
    return {
      writes: [put(tables.conversations, id, record)],
      committed: () => this.#onStored(record),
    }
  }

  /** Lists it by what the person says of its account from now on. */
  async consentChange(id: ConversationId, consent: Consent): Promise<Change> {
    const known = await this.load(id)
    // Denied accounts are listed even if nothing was ever said.
    if (!known && consent === 'denied') {
      return this.activityChange(id, { messageMs: 0, consent, messages: 0 })
    }
    if (!known) return { writes: [] }
    const record = { ...known, consent: stored[consent] }
    return {
      writes: [put(tables.conversations, id, record)],
      committed: () => this.#remember(id, record),
    }
  }

  /**
   * Messages were deleted. The conversation must be loaded.
   *
   * @param isGone whether the conversation was too
   * @param newest the newest message that is left
   */
  shrinkChange(
    id: ConversationId,
    messages: number,
    isGone: boolean,
    newest: Pick<MessageRecord, 'nodeNs' | 'composedNs'> | undefined,
  ): Change {
    const known = this.#known.get(id)
    if (!known) return { writes: [] }
    const record = {
      ...known,
      messages: Math.max(0, known.messages - messages),
      lastMessageMs: newest ? BigInt(nsToMs(newest.nodeNs || newest.composedNs)) : 0n,
    }
    return {
      writes: [isGone ? remove(tables.conversations, id) : put(tables.conversations, id, record)],
      committed: () => {
        if (isGone) this.#known.delete(id)
        else this.#remember(id, record)
      },
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
        updates: [
          { read: { table: tables.conversations, key: id }, to: [tables.conversations], writes },
        ],
        committed: () => record && this.#remember(id, record),
      }
    })
    return joinChanges(...changes)
  }

  /**
   * Adds received messages, except duplicates; their conversations must have been loaded. After the
   * commit, `added` returns how many were new.
   */
  additionChange(
    messages: readonly NewMessage[],
    admission: Admission,
  ): Change & { added(): number } {
    const { store } = this.#context
    const { conversations, messages: stored, accounts, requestTotals } = tables
    const written = [conversations, stored, accounts, requestTotals]
    let more: Change = { writes: [] }
    let numbers: readonly number[] = []
    const addition = (rows: Rows): readonly Write[] => {
      const fresh = messages.filter(({ id }) => !rows.exists(tables.messages, id))
      // In the synchronous stretch of the transaction, as `nextArrival` requires.
      numbers = fresh.map(() => store.nextNumber(tables.messages))
      more = joinChanges(...this.#activityOf(fresh, admission), admission.sumsChange(fresh))
      const adds = fresh.map((message, at) =>
        add(tables.messages, message.id, toMessageRecord(message), numbers[at]),
      )
      return [...more.writes, ...adds]
    }
    return {
      writes: [],
      updates: messages.length > 0 ? [{ to: written, writes: addition }] : [],
      committed: () => {
        more.committed?.()
        const newest = numbers.at(-1)
        if (newest !== undefined) this.#stream.arrived(newest)
      },
      added: () => numbers.length,
    }
  }

  #activityOf(messages: readonly NewMessage[], admission: Admission): readonly Change[] {
    const own = this.#context.account.address
    const counts = new Map<ConversationId, number>()
    for (const { conversationId: id } of messages) counts.set(id, (counts.get(id) ?? 0) + 1)
    return Array.from(newestMsOf(messages), ([id, messageMs]) => {
      const consent = admission.consent(audienceOf(id, own).others[0] ?? own)
      return this.activityChange(id, { messageMs, consent, messages: counts.get(id) ?? 0 })
    })
  }

  #onStored(record: Fields<ConversationRecord>): void {
    const id = record.conversationId as ConversationId
    const isNew = !this.#known.has(id)
    this.#remember(id, record)
    if (!isNew) return
    const conversation = describeConversation(record, { consent: record.consent, leftOut: 0 })
    this.#context.emit({ kind: 'conversation', conversation })
  }

  #remember(id: ConversationId, record: Fields<ConversationRecord>): void {
    this.#known.delete(id)
    const [oldest] = this.#known.keys()
    if (oldest !== undefined && this.#known.size >= maxCached) this.#known.delete(oldest)
    this.#known.set(id, record)
  }
}
