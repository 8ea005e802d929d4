/**
 * Composes a message: stores it as pending, with its place in the outbox, in one transaction. From
 * then on it has an id, shows in the conversation and is never lost.
 */

import { encodeContent } from '../../content/registry.ts'
import { PadlockError } from '../../errors.ts'
import { type ConversationId, deriveMessageId } from '../../protocol/ids.ts'
import { contentLimitBytes } from '../../protocol/limits.ts'
import { add, tables } from '../../store/tables.ts'
import type { Consents } from '../consent/consents.ts'
import { audienceOf } from '../messages/audience.ts'
import type { Conversations } from '../messages/conversations.ts'
import { describeMessage, toMessageRecord } from '../messages/message-records.ts'
import type { MessageStream } from '../messages/message-stream.ts'
import type { Message } from '../model.ts'
import { type Change, commit, joinChanges, recordUpdate } from '../runtime/change.ts'
import type { Context } from '../runtime/context.ts'
import type { OutboxEntry } from './outbox-entry.ts'
import type { OutboxQueue } from './outbox-queue.ts'

export interface ComposerParts {
  readonly consents: Consents
  readonly conversations: Conversations
  readonly stream: MessageStream
  readonly queue: OutboxQueue
}

export class Composer {
  readonly #context: Context
  readonly #parts: ComposerParts
  #lastComposedNs = 0n

  constructor(context: Context, parts: ComposerParts) {
    this.#context = context
    this.#parts = parts
  }

  async load(): Promise<void> {
    const times = await this.#context.store.get(tables.times, 'times')
    if (!times) throw new PadlockError('storage_damaged')
    this.#lastComposedNs = times.value.lastComposedNs
  }

  /** @throws PadlockError message_too_large, invalid_argument, storage_* */
  async compose(conversationId: ConversationId, content: string): Promise<Message> {
    const contentBytes = encodeContent(content)
    if (contentBytes.length > contentLimitBytes) throw new PadlockError('message_too_large')
    const { others } = audienceOf(conversationId, this.#context.account.address)
    return this.#parts.consents.allowing(others, (flips) =>
      this.#store(conversationId, contentBytes, flips),
    )
  }

  async #store(
    conversationId: ConversationId,
    contentBytes: Uint8Array,
    flips: Change,
  ): Promise<Message> {
    const { store, account, time } = this.#context
    const { conversations, stream, queue } = this.#parts
    await conversations.load(conversationId)
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
    const arrival = stream.nextArrival()
    const entry: OutboxEntry = {
      number: queue.nextNumber(),
      record: { messageId: id, conversationId, composedNs, rows: [], sealed: false, sealedMs: 0n },
    }
    const change = joinChanges(
      recordUpdate(tables.times, 'times', (times) => ({
        ...times,
        lastComposedNs: this.#lastComposedNs,
      })),
      flips,
      conversations.activityChange(conversationId, {
        messageMs: time.shownMs(),
        consent: 'allowed',
        messages: 1,
      }),
      {
        writes: [add(tables.messages, id, record, arrival)],
        committed: () => stream.arrived(arrival),
      },
      queue.entriesChange([entry]),
    )
    await commit(store, change)
    return describeMessage({ value: record, number: arrival }, account.address, 'allowed')
  }
}
