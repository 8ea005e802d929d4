/** What a person can do about a conversation and its messages, each with the question that goes before. */

import type { Client, Conversation, Message } from 'padlock-sdk'
import { ask, type Question } from './dialogs.ts'

export interface ConversationActions {
  accept(): Promise<void>
  /** Each resolves to whether the person agreed. @throws PadlockError closed, storage_* */
  block(): Promise<boolean>
  unblock(): Promise<void>
  delete(): Promise<boolean>
  deleteMessage(message: Message): Promise<boolean>
}

export interface ActionsOptions {
  readonly client: Client
  readonly conversation: Conversation
  readonly peerName: string
  readonly isNote: boolean
  /** It is a request now. */
  readonly isRequest: () => boolean
}

/** Whether there is anything to answer: an empty conversation is one that the person opened. */
export const isRequest = ({ consent, messageCount, leftOutCount }: Conversation): boolean =>
  consent === 'unknown' && messageCount + leftOutCount > 0

const sayBlock = (name: string): Question => ({
  title: `Block ${name}?`,
  text: 'Nothing that they send is kept from now on, and they are not told. What is here already stays until you delete it. You can unblock them at any time; what they send meanwhile does not come.',
  yes: 'Block',
})

const sayDelete = (name: string, isNote: boolean, isRequest: boolean): Question => {
  if (isNote) {
    return {
      title: 'Delete your notes?',
      text: 'All of them are deleted from this browser, and do not come back here. Your other devices keep theirs.',
      yes: 'Delete notes',
    }
  }
  if (isRequest) {
    return {
      title: `Delete the request of ${name}?`,
      text: 'Its messages are deleted from this browser only, and do not come back here. They are not told, and can write to you again: block them if you do not want that.',
      yes: 'Delete request',
    }
  }
  return {
    title: `Delete the conversation with ${name}?`,
    text: `All its messages are deleted from this browser only, and do not come back here. ${name} and your other devices keep theirs. What still waits to be sent is not sent. They can write to you again.`,
    yes: 'Delete conversation',
  }
}

const sayDeleteMessage = ({ isOwn, state }: Message, name: string, isNote: boolean): Question => {
  const others = isNote ? 'Your other devices' : `${name} and your other devices`
  const text =
    isOwn && state === 'pending'
      ? 'It is deleted from this browser. It has not been sent, and will not be.'
      : `It is deleted from this browser only, and does not come back here. ${others} keep it.`
  return { title: 'Delete this message?', text, yes: 'Delete message' }
}

export const makeConversationActions = (options: ActionsOptions): ConversationActions => {
  const { client, conversation, peerName, isNote } = options
  const { peer } = conversation
  const afterAsking = async (question: Question, act: () => Promise<void>): Promise<boolean> => {
    const agreed = await ask(question)
    if (agreed) await act()
    return agreed
  }
  return {
    accept: () => client.setConsent(peer, 'allowed'),
    block: () => afterAsking(sayBlock(peerName), () => client.setConsent(peer, 'denied')),
    // Whoever unblocks somebody wants to hear from them.
    unblock: () => client.setConsent(peer, 'allowed'),
    delete: () =>
      afterAsking(sayDelete(peerName, isNote, options.isRequest()), () => conversation.delete()),
    deleteMessage: (message) =>
      afterAsking(sayDeleteMessage(message, peerName, isNote), () => message.delete({ for: 'me' })),
  }
}
