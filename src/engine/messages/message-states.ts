/** The states of our own messages after they are stored: why they wait, and that they are sent. */

import { onAbort } from '../../async.ts'
import { PadlockError, type PadlockErrorCode } from '../../errors.ts'
import type { Row, Write } from '../../store/store.ts'
import { type MessageRecord, MessageState, put, tables } from '../../store/tables.ts'
import type { Consents } from '../consent/consents.ts'
import type { Message } from '../model.ts'
import { type Change, commitWith } from '../runtime/change.ts'
import type { Context } from '../runtime/context.ts'
import { consentOfConversation } from './audience.ts'
import { describeMessage } from './message-records.ts'

/** A message that the node has, and the node time at which it received it. */
export interface SentMessage {
  readonly messageId: string
  readonly nodeNs: bigint
}

export class MessageStates {
  readonly #context: Context
  readonly #consents: Consents
  readonly #listeners = new Set<(message: Message) => void>()

  constructor(context: Context, consents: Consents) {
    this.#context = context
    this.#consents = consents
  }

  /** Marks messages sent, together with `more`. */
  async markSent(sent: readonly SentMessage[], more: Change): Promise<void> {
    const changed = await commitWith(
      this.#context.store,
      more,
      sent.map(({ messageId }) => ({ table: tables.messages, key: messageId })),
      (found) => {
        const writes: Write[] = []
        const rows: Row<MessageRecord>[] = []
        for (const { messageId, nodeNs } of sent) {
          const row = found.get(tables.messages, messageId)
          if (!row || row.value.deleted) continue
          const value = { ...row.value, nodeNs, state: MessageState.SENT, reason: '' }
          writes.push(put(tables.messages, messageId, value, row.number))
          rows.push({ value, number: row.number })
        }
        return { writes, result: rows }
      },
    )
    for (const row of changed) await this.#emitState(row)
  }

  /** Stores why messages stay pending, together with `more`. */
  async setReason(
    messageIds: readonly string[],
    reason: PadlockErrorCode,
    more: Change = { writes: [] },
  ): Promise<void> {
    const changed = await commitWith(
      this.#context.store,
      more,
      messageIds.map((key) => ({ table: tables.messages, key })),
      (found) => {
        const rows = messageIds.flatMap((key): readonly Row<MessageRecord>[] => {
          const row = found.get(tables.messages, key)
          if (!row || row.value.deleted || row.value.reason === reason) return []
          return [{ value: { ...row.value, reason }, number: row.number }]
        })
        return {
          writes: rows.map(({ value, number }) =>
            put(tables.messages, value.messageId, value, number),
          ),
          result: rows,
        }
      },
    )
    for (const row of changed) await this.#emitState(row)
  }

  /**
   * The message once it is no longer pending, or as it is after `waitMs`.
   *
   * @param isOnItsWay whether anything still tries to send it.
   * @throws PadlockError with the message's reason when it was given up
   */
  async whenSent(
    messageId: string,
    isOnItsWay: () => boolean,
    waitMs: number,
    signal: AbortSignal,
  ): Promise<Message> {
    const patience = new AbortController()
    const stop = () => patience.abort()
    const stopListening = onAbort(signal, stop)
    // Registered before reading, so that the news cannot slip in between.
    const listener = (message: Message) => {
      if (message.id === messageId) stop()
    }
    this.#listeners.add(listener)
    const read = async (): Promise<Message> => {
      const message = await this.#read(messageId)
      // Given up: nothing will change by itself.
      const isGivenUp = message.state === 'pending' && !signal.aborted && !isOnItsWay()
      if (isGivenUp) throw new PadlockError(message.reason ?? 'internal')
      return message
    }
    try {
      const message = await read()
      if (message.state !== 'pending' || signal.aborted) return message
      await this.#context.platform.wait(waitMs, patience.signal)
      return await read()
    } finally {
      this.#listeners.delete(listener)
      stopListening()
      stop()
    }
  }

  async #read(messageId: string): Promise<Message> {
    const row = await this.#context.store.get(tables.messages, messageId)
    if (!row || row.value.deleted) {
      throw new PadlockError('invalid_argument', { message: 'There is no such message.' })
    }
    return this.#describe(row)
  }

  async #describe(row: Row<MessageRecord>): Promise<Message> {
    const own = this.#context.account.address
    const consent = await consentOfConversation(this.#consents, row.value.conversationId, own)
    return describeMessage(row, own, consent)
  }

  async #emitState(row: Row<MessageRecord>): Promise<void> {
    const message = await this.#describe(row)
    for (const listener of [...this.#listeners]) listener(message)
    this.#context.emit({ kind: 'message-state', message })
  }
}
