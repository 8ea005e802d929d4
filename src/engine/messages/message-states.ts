/** The states of our own messages after they are stored: why they wait, and that they are sent. */

import { onAbort } from '../../async.ts'
import { PadlockError, type PadlockErrorCode } from '../../errors.ts'
import type { Row, Write } from '../../store/store.ts'
import { type MessageRecord, MessageState, put, tables } from '../../store/tables.ts'
import type { Message } from '../model.ts'
import { type Change, commitWith } from '../runtime/change.ts'
import type { Context } from '../runtime/context.ts'
import { describeMessage } from './message-records.ts'

/** A message that the node has, and the node time at which it received it. */
export interface SentMessage {
  readonly messageId: string
  readonly nodeNs: bigint
}

export class MessageStates {
  readonly #context: Context
  readonly #listeners = new Set<(message: Message) => void>()

  constructor(context: Context) {
    this.#context = context
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
          if (!row) continue
          const value = { ...row.value, nodeNs, state: MessageState.SENT, reason: '' }
          writes.push(put(tables.messages, messageId, value, row.number))
          rows.push({ value, number: row.number })
        }
        return { writes, result: rows }
      },
    )
    for (const row of changed) await this.#emitState(row)
  }

  /** Stores why a message stays pending, together with `more`. */
  async setReason(
    messageId: string,
    reason: PadlockErrorCode,
    more: Change = { writes: [] },
  ): Promise<void> {
    const changed = await commitWith(
      this.#context.store,
      more,
      [{ table: tables.messages, key: messageId }],
      (rows) => {
        const row = rows.get(tables.messages, messageId)
        if (!row || row.value.reason === reason) return { writes: [], result: undefined }
        const value = { ...row.value, reason }
        return {
          writes: [put(tables.messages, messageId, value, row.number)],
          result: { value, number: row.number },
        }
      },
    )
    if (changed) await this.#emitState(changed)
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
    try {
      const message = await this.#read(messageId)
      if (message.state !== 'pending' || signal.aborted) return message
      // Given up: nothing will change by itself.
      if (!isOnItsWay()) throw new PadlockError(message.reason ?? 'internal')
      await this.#context.platform.wait(waitMs, patience.signal)
      return await this.#read(messageId)
    } finally {
      this.#listeners.delete(listener)
      stopListening()
      stop()
    }
  }

  async #read(messageId: string): Promise<Message> {
    const row = await this.#context.store.get(tables.messages, messageId)
    if (!row) throw new PadlockError('invalid_argument', { message: 'There is no such message.' })
    return describeMessage(row, this.#context.account.address)
  }

  async #emitState(row: Row<MessageRecord>): Promise<void> {
    const message = await describeMessage(row, this.#context.account.address)
    for (const listener of [...this.#listeners]) listener(message)
    this.#context.emit({ kind: 'message-state', message })
  }
}
