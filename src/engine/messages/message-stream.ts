/**
 * Messages in the order of arrival: the numbers that they get, and the streams that follow them. The
 * store is authoritative: a stream is a cursor into it, and a slow reader needs no queue.
 */

import { deferred, onAbort } from '../../async.ts'
import type { ConversationId } from '../../protocol/ids.ts'
import { tables } from '../../store/tables.ts'
import type { Consents } from '../consent/consents.ts'
import type { Consent, Message } from '../model.ts'
import type { Context } from '../runtime/context.ts'
import { readCursor } from '../runtime/cursor-text.ts'
import { describePage } from './message-pages.ts'

const maxRows = 100

/** Which messages a stream has. */
export interface StreamFilter {
  readonly conversationId?: ConversationId | undefined
  /** Only those of accounts of which the person said this; if absent, all but of denied ones. */
  readonly consent?: Consent | undefined
}

export class MessageStream {
  readonly #context: Context
  readonly #consents: Consents
  /** Wakes the readers that wait for a message. */
  readonly #waiting = new Set<() => void>()
  #lastArrival: number

  constructor(context: Context, consents: Consents) {
    this.#context = context
    this.#consents = consents
    // Numbers ascend, so the next one minus one is the last that can have been used.
    this.#lastArrival = context.store.nextNumber(tables.messages) - 1
  }

  /** Messages up to this number were committed: wakes the streams. */
  arrived(number: number): void {
    this.#lastArrival = Math.max(this.#lastArrival, number)
    for (const wake of [...this.#waiting]) wake()
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
    { conversationId, consent }: StreamFilter,
    waitMs: number,
    signal: AbortSignal,
  ): Promise<{ readonly messages: readonly Message[]; readonly cursor: string }> {
    let position = readCursor(after)
    const { store, platform } = this.#context
    const patience = new AbortController()
    const stopListening = onAbort(signal, () => patience.abort())
    const timer = platform.wait(waitMs, patience.signal).then(() => patience.abort())
    // One conversation is read because it was asked for, whatever was said of its account.
    const isWanted = (one: Consent) =>
      consent === undefined ? conversationId !== undefined || one !== 'denied' : one === consent
    try {
      for (;;) {
        const news = deferred()
        // Registered before reading, so that nothing slips in between.
        this.#waiting.add(news.resolve)
        const stopWaiting = onAbort(patience.signal, news.resolve)
        try {
          const page = await store.scan(tables.messages, {
            after: position,
            limit: maxRows,
            ...(conversationId === undefined ? {} : { group: conversationId }),
          })
          const isEnd = page.lastNumber <= position
          position = page.lastNumber
          const rows = page.rows.filter(({ value }) => !value.deleted)
          const described = await describePage(this.#context, this.#consents, rows, isWanted)
          const { messages, rest } = described
          if (messages.length === 0 && !isEnd) continue
          if (messages.length > 0 || patience.signal.aborted) {
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
}
