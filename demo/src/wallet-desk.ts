/** One person with their own wallet: conversations on the left, the open one on the right. */

import type { Client, Conversation } from 'padlock-sdk'
import { makeAvatar, makeCopyAddress, shortAddress } from './address-words.ts'
import { openBlockedDialog } from './blocked-dialog.ts'
import { isRequest } from './conversation-actions.ts'
import { sayPeer } from './conversation-entry.ts'
import { makeConversationList } from './conversation-list.ts'
import { type ConversationView, openConversationView } from './conversation-view.ts'
import { makeDeviceNotices } from './device-notices.ts'
import { openDevicesDialog } from './devices-dialog.ts'
import { button, element } from './element.ts'
import { icon } from './icons.ts'
import type { Session } from './session.ts'
import { makeStartConversation } from './start-conversation.ts'
import { makeStatusLine, type StatusLine } from './status-line.ts'

export interface WalletDesk {
  readonly root: HTMLElement
  /** The wallet changed to this account; the desk stays with its own. */
  onAccount(address: string): void
  close(): void
}

export interface WalletDeskOptions {
  readonly client: Client
  readonly session: Session
  readonly announce: (sentence: string) => void
  readonly onDisconnect: () => void
  readonly onStartOver: () => void
}

const lookAgainMs = 5_000

/** It was accepted neither by a button nor by being written to. */
const isAnswerDue = (conversation: Conversation): boolean =>
  conversation.consent === 'denied' || isRequest(conversation)

export const makeWalletDesk = ({
  client,
  session,
  announce,
  onDisconnect,
  onStartOver,
}: WalletDeskOptions): WalletDesk => {
  const status = makeStatusLine(session)
  const account = element('div', { class: 'notices', role: 'status' })
  const chat = element('section', { class: 'chat', 'aria-label': 'Conversation' })
  const nothing = element(
    'p',
    { class: 'placeholder' },
    'Choose a conversation, or write to an address.',
  )
  let open:
    | {
        readonly conversation: Conversation
        readonly view: ConversationView
        readonly status: StatusLine
      }
    | undefined
  const openDevices = (peer = client.address): void => {
    const own = { address: client.address, heading: 'Your devices' }
    const theirs = { address: peer, heading: `Devices of ${shortAddress(peer)}` }
    openDevicesDialog({ session, accounts: peer === client.address ? [own] : [theirs, own] })
  }
  const makeDevicesButton = (label: string, peer?: string): HTMLElement =>
    button(
      { class: 'icon-button', 'aria-label': label, title: 'Devices' },
      () => openDevices(peer),
      icon('devices'),
    )
  const devices = makeDeviceNotices({ session, nameOf: shortAddress, openDevices })
  /** The open conversation is with someone without a device. */
  let isWaitedFor = false

  const closeOpen = (): void => {
    open?.view.close()
    open?.status.close()
    open = undefined
    isWaitedFor = false
  }
  const leave = (): void => {
    closeOpen()
    list.select(undefined)
    list.focus()
    chat.replaceChildren(nothing)
    root.dataset.inView = 'list'
  }

  const showHint = async (): Promise<void> => {
    if (!open) return
    const { conversation, view } = open
    // Whoever only asks or is blocked is not written to, so nobody is looked up for it.
    if (conversation.peer === client.address || isAnswerDue(conversation)) return
    try {
      const can = await client.canMessage(conversation.peer)
      if (open?.view !== view) return
      isWaitedFor = !can
      view.hint(
        can
          ? undefined
          : `${shortAddress(conversation.peer)} has not opened Padlock yet. What you write waits here and goes out by itself.`,
      )
    } catch {
      // Offline, or closed meanwhile: whether they can be reached is unknown, and the status says
      // why.
      view.hint(undefined)
    }
  }

  const choose = (conversation: Conversation): void => {
    closeOpen()
    // If the list is out of view, the chat shows the connection.
    const chatStatus = makeStatusLine(session)
    for (const part of [chatStatus.chip, chatStatus.notices]) part.classList.add('only-narrow')
    const peerName = sayPeer(conversation, client.address)
    const isNote = conversation.peer === client.address
    const view = openConversationView({
      id: 'chat',
      client,
      session,
      conversation,
      ownName: 'You',
      peerName,
      emptyText: isNote
        ? 'Only your own devices can read what you write here.'
        : `No messages yet. What you write is encrypted here, and only ${peerName} can read it.`,
      announce,
    })
    open = { conversation, view, status: chatStatus }
    list.select(conversation.id)
    chat.replaceChildren(
      element(
        'header',
        { class: 'pane-header' },
        button(
          { class: 'icon-button back', 'aria-label': 'All conversations' },
          leave,
          icon('back'),
        ),
        makeAvatar(conversation.peer),
        element(
          'div',
          { class: 'who' },
          element('h2', {}, peerName),
          makeCopyAddress(conversation.peer, isNote ? 'yourself' : peerName, 'Copy address'),
        ),
        chatStatus.chip,
        makeDevicesButton(isNote ? 'Your devices' : `Devices of ${peerName}`, conversation.peer),
        view.menu,
      ),
      chatStatus.notices,
      view.root,
    )
    root.dataset.inView = 'chat'
    view.focus()
    void showHint()
  }

  // An account's first device is not an event, so this checks again. While the subscription covers
  // the conversation, that makes no request.
  const looking = setInterval(() => {
    if (isWaitedFor) void showHint()
  }, lookAgainMs)
  const stop = session.listen({
    onMessage: ({ conversationId }) => {
      if (isWaitedFor && conversationId === open?.conversation.id) void showHint()
    },
    onEvent: (event) => {
      const isLive = event.kind === 'status' && event.status.state === 'live'
      const isSent = event.kind === 'message-state' && isWaitedFor
      if (isLive || isSent || event.kind === 'installation-added') void showHint()
      const isGone = event.kind === 'deleted' && !event.messageIds
      if (isGone && event.conversationId === open?.conversation.id) leave()
    },
  })

  const list = makeConversationList(client, session, choose)
  const side = element(
    'div',
    { class: 'side' },
    element(
      'header',
      { class: 'pane-header' },
      makeAvatar(client.address),
      element(
        'div',
        { class: 'who' },
        element('h2', {}, 'You'),
        makeCopyAddress(client.address, 'your account'),
      ),
      status.chip,
      makeDevicesButton('Your devices'),
    ),
    status.notices,
    account,
    makeStartConversation(client, choose),
    list.root,
    element(
      'div',
      { class: 'side-end' },
      button({ class: 'quiet' }, () => openBlockedDialog(client, session), 'Blocked'),
      button({ class: 'quiet' }, onStartOver, 'Start over'),
      button({ class: 'quiet' }, onDisconnect, 'Disconnect'),
    ),
  )
  const root = element('div', { class: 'desk', 'data-in-view': 'list' }, devices.root, side, chat)
  chat.append(nothing)

  const onAccount = (address: string): void => {
    const isOwn = address.toLowerCase() === client.address.toLowerCase()
    const sentence = `Your wallet now uses ${shortAddress(address)}. These conversations stay with ${shortAddress(client.address)}; to use the other account, disconnect and connect again.`
    account.replaceChildren(
      ...(isOwn
        ? []
        : [element('div', { class: 'notice' }, icon('warning'), element('p', {}, sentence))]),
    )
  }

  return {
    root,
    onAccount,
    close: () => {
      clearInterval(looking)
      stop()
      closeOpen()
      list.close()
      status.close()
      devices.close()
    },
  }
}
