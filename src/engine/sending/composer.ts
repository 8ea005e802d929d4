/**
 * Composes a message: stores it as pending, with its place in the outbox, in one transaction. From
 * then on it has an id, shows in the conversation and is never lost.
 */

import { encodeContent } from '../../content/registry.ts'
import { PadlockError } from '../../errors.ts'
import { type ConversationId, deriveMessageId } from '../../protocol/ids.ts'
import { contentLimitBytes } from '../../protocol/limits.ts'
import { add, tables } from '../../store/tables.ts'
import type { Conversations } from '../messages/conversations.ts'
import { describeMessage, toMessageRecord } from '../messages/message-records.ts'
import type { Message } from '../model.ts'
import { commit, joinChanges, recordUpdate } from '../runtime/change.ts'
import type { Context } from '../runtime/context.ts'
import type { OutboxEntry } from './outbox-entry.ts'
import type { OutboxQueue } from './outbox-queue.ts'

export class Composer {
  readonly #context: Context
  readonly #conversations: Conversations
  readonly #queue: OutboxQueue
  #lastComposedNs = 0n

  constructor(context: Context, conversations: Conversations, queue: OutboxQueue) {
    this.#context = context
    this.#conversations = conversations
    this.#queue = queue
  }

  async load(): Promise<void> {
    const times = await this.#context.store.get(tables.times, 'times')
    if (!times) throw new PadlockError('storage_damaged')
    this.#lastComposedNs = times.value.lastComposedNs
  }

  /** @throws PadlockError message_too_large, invalid_argument, storage_* */
  async compose(conversationId: ConversationId, content: string): Promise<Message> {
    const { store, account, time } = this.#context
    const contentBytes = encodeContent(content)
    if (contentBytes.length > contentLimitBytes) throw new PadlockError('message_too_large')
    await this.#conversations.load(conversationId)
    const composedNs = time.composedNs(this.#lastComposedNs)
    this.#lastComposedNs = composedNs
    const id = deriveMessageId({
      convoId: conversationId,
      senderAddress: account.address,
      senderInstallationId: account.installationId,
      composedNs,
      contentBytes,
    })
    const record = toMessageRecord({
      id,
      conversationId,
      sender: account.address,
      senderInstallation: account.installationId,
      composedNs,
      nodeNs: 0n,
      content: contentBytes,
      state: 'pending',
    })
    const arrival = this.#conversations.nextArrival()
    const entry: OutboxEntry = {
      number: this.#queue.nextNumber(),
      record: { messageId: id, conversationId, composedNs, rows: [], sealed: false, sealedMs: 0n },
    }
    const change = joinChanges(
      recordUpdate(tables.times, 'times', (times) => ({
        ...times,
        lastComposedNs: this.#lastComposedNs,
      })),
      this.#conversations.activityChange(conversationId, time.shownMs(), true),
      {
        writes: [add(tables.messages, id, record, arrival)],
        committed: () => this.#conversations.arrived(arrival),
      },
      this.#queue.entriesChange([entry]),
    )
    await commit(store, change)
    return describeMessage({ value: record, number: arrival }, account.address)
  }
}
