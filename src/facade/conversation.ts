/** The conversation that an application holds. */

import { raceAbort } from '../async.ts'
import { PadlockError } from '../errors.ts'
import type { ConversationInfo as PlainInfo, WorkerApi } from '../worker/contract.ts'
import type { Remote } from '../worker/rpc.ts'
import { type ConversationInfo, type Message, makeInfo, makeMessage } from './message.ts'
import { type StreamOptions, streamMessages } from './stream.ts'

export interface SendOptions {
  /** `stored` (default): the message is safe here. `sent`: the node has it. */
  readonly until?: 'stored' | 'sent'
  /** Ends the wait, not the message. */
  readonly signal?: AbortSignal
}

export interface HistoryOptions {
  /** A message's `cursor`: only messages before it. By default, from the newest. */
  readonly before?: string | undefined
  /** At most 500; 50 by default. */
  readonly limit?: number
}

/** A conversation with one other account, or the note to oneself. */
export interface Conversation extends ConversationInfo {
  /**
   * Sends a text. It is stored and shown at once, online or not, and goes out when it can.
   *
   * @example
   * const message = await conversation.send('gm')
   * await conversation.send('are you there?', { until: 'sent', signal: AbortSignal.timeout(5000) })
   * @throws PadlockError message_too_large, aborted, closed, storage_*
   */
  send(content: string, options?: SendOptions): Promise<Message>
  /**
   * Stored messages, newest first. A page holds at most 4 MiB of text, or one message, so it may be
   * shorter than `limit`; only an empty one is the end.
   *
   * @example
   * const newest = await conversation.history({ limit: 20 })
   * const older = await conversation.history({ before: newest.at(-1)?.cursor, limit: 20 })
   * @throws PadlockError invalid_argument, closed, storage_*
   */
  history(options?: HistoryOptions): Promise<readonly Message[]>
  /**
   * Every message of this conversation, including this account's own, as it arrives.
   *
   * @example
   * for await (const message of conversation.messages({ signal })) show(message)
   */
  messages(options?: StreamOptions): AsyncIterable<Message>
  /**
   * Deletes the conversation with all its messages from this device, and frees the disk. They do not
   * come back; a new message makes the conversation anew. What was said of the other account stays: to
   * be rid of somebody, call `client.setConsent(peer, 'denied')` first.
   *
   * @example
   * await conversation.delete()
   * @throws PadlockError closed, storage_*
   */
  delete(): Promise<void>
}

export const makeConversation = (
  worker: Remote<WorkerApi>,
  info: PlainInfo,
  onSent: () => void,
): Conversation => ({
  ...makeInfo(worker, info),
  send: async (content, { until = 'stored', signal } = {}) => {
    if (typeof content !== 'string') {
      throw new PadlockError('invalid_argument', { message: 'Send a string.' })
    }
    // The message is stored even if the caller stops waiting: the signal ends only the wait.
    const stored = worker.send({ conversationId: info.id, content })
    let message = await unlessAborted(stored, signal)
    onSent()
    while (until === 'sent' && message.state === 'pending') {
      message = await worker.whenSent({ messageId: message.id }, { signal })
    }
    return makeMessage(worker, message)
  },
  history: async ({ before, limit = 50 } = {}) => {
    const page = await worker.history({ conversationId: info.id, before, limit })
    return page.map((message) => makeMessage(worker, message))
  },
  messages: (options = {}) => streamMessages(worker, info.id, options),
  delete: () => worker.delete({ conversationId: info.id, messageIds: undefined }),
})

/** The promise, or `aborted` as soon as the signal says so. */
export const unlessAborted = <T>(
  promise: Promise<T>,
  signal: AbortSignal | undefined,
): Promise<T> => {
  return raceAbort(promise, signal, () => new PadlockError('aborted'))
}
