/** One open conversation: its messages and the field for the next one, kept up to date. */

import { type Client, type Conversation, type Message, PadlockError } from 'padlock-sdk'
import { makeComposer } from './composer.ts'
import { makeConsentBar } from './consent-bar.ts'
import { isRequest, makeConversationActions } from './conversation-actions.ts'
import { element } from './element.ts'
import { sayError } from './errors-in-words.ts'
import { icon } from './icons.ts'
import { type MenuItem, makeMenuButton } from './menu.ts'
import { sayAloud } from './message-item.ts'
import { MessageList } from './message-list.ts'
import type { Session } from './session.ts'
import { Transcript } from './transcript.ts'

export interface ConversationViewOptions {
  /** Unique on the page. */
  readonly id: string
  readonly client: Client
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
  /** For a header: the button of a menu about the whole conversation. */
  readonly menu: HTMLElement
  focus(): void
  /** Shows a message above the field, or none. */
  hint(sentence: string | undefined): void
  close(): void
}

export const openConversationView = (options: ConversationViewOptions): ConversationView => {
  const { id, client, session, conversation, ownName, peerName, announce } = options
  const isNote = conversation.peer === client.address
  const transcript = new Transcript(conversation)
  /** The conversation as it was read last. */
  let current = conversation
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

  const update = async (read: () => Promise<unknown>): Promise<void> => {
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
    showConsent()
  }
  let isGoing = false
  /** Not while it is deleted: reading it would make it anew. */
  const readConversation = async (): Promise<void> => {
    if (isGoing) return
    current = await client.conversation(conversation.peer)
  }
  const refresh = (): Promise<void> =>
    update(() => Promise.all([transcript.refresh(), readConversation()]))

  let isLoadingOlder = false
  const loadOlder = async (): Promise<void> => {
    if (isLoadingOlder) return
    isLoadingOlder = true
    await update(() => transcript.loadOlder())
    isLoadingOlder = false
  }

  const actions = makeConversationActions({
    client,
    conversation,
    peerName,
    isNote,
    isRequest: () => isRequest(current),
  })
  /** Afterwards the pressed button may be gone: the focus goes on. */
  const answer = (act: () => Promise<unknown>) => (): void => {
    void update(async () => {
      if ((await act()) === false) return
      await readConversation()
      showConsent()
      focus()
    })
  }
  const deletion = (): void => {
    void update(async () => {
      isGoing = true
      try {
        if (await actions.delete()) list.focus()
      } finally {
        isGoing = false
      }
    })
  }
  const deleteMessage = (message: Message): void => {
    void update(async () => {
      if (await actions.deleteMessage(message)) list.focus()
    })
  }
  const menuOf = (message: Message): readonly MenuItem[] => [
    {
      label: 'Delete message…',
      icon: 'trash',
      isGrave: true,
      choose: () => deleteMessage(message),
    },
  ]
  const menuItems = (): readonly MenuItem[] => [
    ...(isNote
      ? []
      : current.consent === 'denied'
        ? [
            {
              label: `Unblock ${peerName}`,
              icon: 'block',
              choose: answer(actions.unblock),
            } as const,
          ]
        : [{ label: `Block ${peerName}…`, icon: 'block', choose: answer(actions.block) } as const]),
    {
      label: isNote ? 'Delete notes…' : 'Delete conversation…',
      icon: 'trash',
      isGrave: true,
      choose: deletion,
    },
  ]
  const menu = makeMenuButton(
    {
      class: 'icon-button',
      title: 'Options',
      'aria-label': isNote ? 'Options for your notes' : `Options for ${peerName}`,
    },
    menuItems,
  )

  const list = new MessageList({
    label: `Messages between ${ownName} and ${peerName}`,
    peerName,
    nameOf,
    menuOf,
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
  const bar = makeConsentBar({
    peerName,
    onAccept: answer(actions.accept),
    onBlock: answer(actions.block),
    onUnblock: answer(actions.unblock),
    onDelete: deletion,
  })

  /** A removed device can still read, but not write; and writing to a blocked account accepts it. */
  const showConsent = (): void => {
    const { phase } = session
    const isRevoked = phase.kind === 'open' && phase.client.status.state === 'revoked'
    composer.root.hidden = isRevoked || current.consent === 'denied'
    bar.show(current)
  }
  const focus = (): void => {
    if (composer.root.hidden || isRequest(current)) list.focus()
    else composer.focus()
  }

  const isHere = (message: Message): boolean => message.conversationId === conversation.id
  const stop = session.listen({
    onMessage: (message) => {
      if (!isHere(message)) return
      if (!message.isOwn) announce(`${peerName} to ${ownName}: ${sayAloud(message)}`)
      void refresh()
    },
    onEvent: (event) => {
      if (event.kind === 'message-state' && isHere(event.message)) {
        void update(() => transcript.refresh())
      }
      if (event.kind === 'consent' && event.address === conversation.peer) void refresh()
      // How much of a request was left out comes with a warning.
      if (event.kind === 'status') void update(readConversation)
      if (event.kind === 'deleted' && event.conversationId === conversation.id) {
        const { messageIds } = event
        // Read again, a deleted conversation would be made anew.
        if (!messageIds) current = { ...current, messageCount: 0, leftOutCount: 0 }
        void update(() => transcript.forget(messageIds))
        if (messageIds) void update(readConversation)
      }
    },
  })
  showConsent()
  void refresh()

  return {
    root: element(
      'div',
      { class: 'conversation' },
      list.root,
      failure,
      hint,
      bar.root,
      composer.root,
    ),
    menu,
    focus,
    hint: showHint,
    close: () => {
      stop()
      list.close()
    },
  }
}
