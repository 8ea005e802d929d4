/**
 * A new message of one's own: stored as pending, with its place in the outbox, in one transaction.
 * From then on it has an id, shows in the conversation and is never lost.
 */

import { encodeContent } from '../../content/registry.ts'
import { PadlockError } from '../../errors.ts'
import { type ConversationId, deriveMessageId } from '../../protocol/ids.ts'
import { contentLimitBytes } from '../../protocol/limits.ts'
import { add, put, tables } from '../../store/tables.ts'
import { type Conversations, peerOf, toMessageRecord } from '../messages/conversations.ts'
import type { Message } from '../model.ts'
import type { Context } from '../runtime/context.ts'
import { nsToMs } from '../runtime/node-time.ts'
import type { OutboxEntry } from './outbox-entry.ts'

export class Composer {
  readonly #context: Context
  readonly #conversations: Conversations
  #lastComposedNs = 0n

  constructor(context: Context, conversations: Conversations) {
    this.#context = context
    this.#conversations = conversations
  }

  async load(): Promise<void> {
    const times = await this.#context.store.get(tables.times, 'times')
    if (!times) throw new PadlockError('storage_damaged')
    this.#lastComposedNs = times.value.lastComposedNs
  }

  /** @throws PadlockError message_too_large, invalid_argument, storage_* */
  async compose(
    conversationId: ConversationId,
    content: string,
  ): Promise<{ readonly message: Message; readonly entry: OutboxEntry }> {
    const { store, account, time } = this.#context
    const peer = peerOf(conversationId, account.address)
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
      number: store.nextNumber(tables.outbox),
      record: { messageId: id, conversationId, composedNs, rows: [], sealed: false, sealedMs: 0n },
    }
    const touched = this.#conversations.touch(conversationId, peer, nsToMs(composedNs))
    await store.transaction([{ table: tables.times, key: 'times' }], (rows) => {
      const times = rows.get(tables.times, 'times')
      if (!times) throw new PadlockError('storage_damaged')
      return {
        writes: [
          add(tables.messages, id, record, arrival),
          put(tables.outbox, entry.number, entry.record),
          put(tables.times, 'times', { ...times.value, lastComposedNs: this.#lastComposedNs }),
          touched.write,
        ],
        result: undefined,
      }
    })
    this.#conversations.committed(touched.record)
    this.#conversations.arrived(arrival)
    const message = await this.#conversations.describeMessage({
      value: { $typeName: 'padlock.store.v1.MessageRecord', ...record },
      number: arrival,
    })
    return { message, entry }
  }
}
