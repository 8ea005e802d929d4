/** One open conversation: its messages and the field for the next one, kept up to date. */

import { type Conversation, type Message, PadlockError } from 'padlock-sdk'
import { makeComposer } from './composer.ts'
import { element } from './element.ts'
import { sayError } from './errors-in-words.ts'
import { icon } from './icons.ts'
import { sayAloud } from './message-item.ts'
import { MessageList } from './message-list.ts'
import type { Session } from './session.ts'
import { Transcript } from './transcript.ts'

export interface ConversationViewOptions {
  /** Unique on the page. */
  readonly id: string
  readonly session: Session
  readonly conversation: Conversation
  /** The person whose view this is, and the one they write to. */
  readonly ownName: string
  readonly peerName: string
  readonly emptyText: string
  readonly announce: (sentence: string) => void
}

export interface ConversationView {
  readonly root: HTMLElement
  focus(): void
  /** Shows a message above the field, or none. */
  hint(sentence: string | undefined): void
  close(): void
}

export const openConversationView = (options: ConversationViewOptions): ConversationView => {
  const { id, session, conversation, ownName, peerName, announce } = options
  const transcript = new Transcript(conversation)
  const nameOf = ({ isOwn }: Message): string => (isOwn ? ownName : peerName)
  const hint = element('div', { class: 'notices', role: 'status' })
  const failure = element('div', { class: 'notices', role: 'alert' })

  const showHint = (sentence: string | undefined): void => {
    hint.replaceChildren(
      ...(sentence === undefined
        ? []
        : [element('div', { class: 'notice calm' }, icon('clock'), element('p', {}, sentence))]),
    )
  }

  const update = async (read: () => Promise<void>): Promise<void> => {
    try {
      await read()
    } catch (error) {
      // Closed while reading: the view is going away, and the reason is shown elsewhere.
      if (error instanceof PadlockError && error.code === 'closed') return
      failure.replaceChildren(
        element('div', { class: 'notice' }, icon('warning'), element('p', {}, sayError(error))),
      )
      return
    }
    failure.replaceChildren()
    // A waiting message says so itself.
    hint.hidden = transcript.messages.some(({ reason }) => reason === 'no_installation')
    if (list.isFollowing) transcript.trim()
    list.show(transcript.messages, transcript.hasOlder)
  }

  let isLoadingOlder = false
  const loadOlder = async (): Promise<void> => {
    if (isLoadingOlder) return
    isLoadingOlder = true
    await update(() => transcript.loadOlder())
    isLoadingOlder = false
  }

  const list = new MessageList({
    label: `Messages between ${ownName} and ${peerName}`,
    peerName,
    nameOf,
    emptyText: options.emptyText,
    onNearTop: () => void loadOlder(),
  })
  const composer = makeComposer({
    id: `${id}-message`,
    label: `Message to ${peerName}`,
    send: async (text) => {
      await conversation.send(text)
      list.follow()
    },
  })

  /** A removed device can still read, but not write. */
  const showComposer = (): void => {
    const { phase } = session
    composer.root.hidden = phase.kind === 'open' && phase.client.status.state === 'revoked'
  }

  const isHere = (message: Message): boolean => message.conversationId === conversation.id
  const stop = session.listen({
    onMessage: (message) => {
      if (!isHere(message)) return
      if (!message.isOwn) announce(`${peerName} to ${ownName}: ${sayAloud(message)}`)
      void update(() => transcript.refresh())
    },
    onEvent: (event) => {
      if (event.kind === 'message-state' && isHere(event.message)) {
        void update(() => transcript.refresh())
      }
      if (event.kind === 'status') showComposer()
    },
  })
  showComposer()
  void update(() => transcript.refresh())

  return {
    root: element('div', { class: 'conversation' }, list.root, failure, hint, composer.root),
    focus: composer.focus,
    hint: showHint,
    close: () => {
      stop()
      list.close()
    },
  }
}
