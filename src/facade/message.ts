/** The message that an application holds: plain data, and what one can do with it. */

import { PadlockError } from '../errors.ts'
import type {
  ConversationData,
  EventData,
  MessageData,
  ClientEvent as PlainEvent,
  ConversationInfo as PlainInfo,
  WorkerApi,
} from '../worker/contract.ts'
import type { Remote } from '../worker/rpc.ts'

/** What one can do with a message. Not enumerable, so that a message can be copied and posted. */
export interface MessageActions {
  /**
   * Deletes the message from this device, whoever wrote it: its content is gone from the disk, and it
   * does not come back. Other devices keep it. One that is still pending is not sent.
   *
   * @example
   * await message.delete({ for: 'me' })
   * @throws PadlockError invalid_argument, closed, storage_*
   */
  delete(options: { readonly for: 'me' }): Promise<void>
}

/**
 * A message, discriminated by `type`.
 *
 * @example
 * for (const message of await chat.history()) {
 *   console.log(message.type === 'text' ? message.content : (message.fallback ?? 'something newer'))
 * }
 */
export type Message = MessageData & MessageActions

/** What is known of a conversation. */
export interface ConversationInfo extends ConversationData {
  /** The newest message, if a list of conversations was asked for. */
  readonly lastMessage?: Message
}

/**
 * An event of a client, discriminated by `kind`.
 *
 * @example
 * for await (const event of client.events({ signal })) {
 *   if (event.kind === 'installation-added') console.log('a new device of', event.installation.address)
 * }
 */
export type ClientEvent =
  | EventData
  /** A stored message changed its state. */
  | { readonly kind: 'message-state'; readonly message: Message }
  | { readonly kind: 'conversation'; readonly conversation: ConversationInfo }

export const makeMessage = (worker: Remote<WorkerApi>, message: MessageData): Message => {
  const actions: MessageActions = {
    delete: async (options) => {
      if (options?.for !== 'me') {
        throw new PadlockError('invalid_argument', { message: "Say delete({ for: 'me' })." })
      }
      const { conversationId, id } = message
      await worker.delete({ conversationId, messageIds: [id] })
    },
  }
  // Enumerable, a function would make `structuredClone` and `postMessage` fail.
  return Object.defineProperty({ ...message }, 'delete', {
    value: actions.delete,
  }) as Message
}

export const makeInfo = (
  worker: Remote<WorkerApi>,
  { lastMessage, ...info }: PlainInfo,
): ConversationInfo =>
  lastMessage ? { ...info, lastMessage: makeMessage(worker, lastMessage) } : info

export const makeEvent = (worker: Remote<WorkerApi>, event: PlainEvent): ClientEvent => {
  if (event.kind === 'message-state') {
    return { kind: event.kind, message: makeMessage(worker, event.message) }
  }
  if (event.kind === 'conversation') {
    return { kind: event.kind, conversation: makeInfo(worker, event.conversation) }
  }
  return event
}
