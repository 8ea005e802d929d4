/**
 * Everyone the person writes with, newest messages first; and apart from them the requests of people
 * whom they have not accepted.
 */

import { type Client, type Conversation, type Message, PadlockError } from 'padlock-sdk'
import { isRequest } from './conversation-actions.ts'
import { type ConversationEntry, makeConversationEntry } from './conversation-entry.ts'
import { arrange, element } from './element.ts'
import { sayError } from './errors-in-words.ts'
import type { Session } from './session.ts'

/** As many as one call gives. */
const pageSize = 1_000

export interface ConversationList {
  readonly root: HTMLElement
  /** Marks the open one; its messages count as read. */
  select(id: string | undefined): void
  focus(): void
  close(): void
}

const timeOf = ({ lastMessageAtMs, createdAtMs }: Conversation): number =>
  lastMessageAtMs ?? createdAtMs

export const makeConversationList = (
  client: Client,
  session: Session,
  onChoose: (conversation: Conversation) => void,
): ConversationList => {
  const entries = new Map<string, ConversationEntry>()
  const unread = new Map<string, number>()
  let selected: string | undefined
  const list = element('ul', { class: 'conversations' })
  const empty = element(
    'p',
    { class: 'help' },
    'No conversations yet. Enter an address above, or wait until someone writes to you.',
  )
  const failure = element('p', { class: 'field-error', role: 'alert' })
  const requestList = element('ul', { class: 'request-list' })
  const requestCount = element('span', { class: 'request-count' })
  const requests = element(
    'details',
    { class: 'requests', open: true, hidden: true },
    element('summary', {}, element('h3', {}, 'Requests ', requestCount)),
    element(
      'p',
      { class: 'help request-help' },
      'From people whom you have not accepted. They do not learn that you read them.',
    ),
    requestList,
  )

  const mark = (id: string): void => entries.get(id)?.mark(unread.get(id) ?? 0, id === selected)
  const show = (conversation: Conversation): HTMLElement => {
    const { id } = conversation
    const entry = entries.get(id) ?? makeConversationEntry(conversation, client.address, onChoose)
    entries.set(id, entry)
    entry.show(conversation)
    mark(id)
    return entry.item
  }

  const read = async (): Promise<void> => {
    // Apart, so that any number of strangers pushes nobody out of the list.
    const [accepted, unknown] = await Promise.all([
      client.conversations({ consent: 'allowed', limit: pageSize }),
      client.conversations({ consent: 'unknown', limit: pageSize }),
    ])
    const asking = unknown.filter(isRequest)
    const started = unknown.filter((conversation) => !isRequest(conversation))
    const known = [...accepted, ...started].sort((one, other) => timeOf(other) - timeOf(one))
    arrange(list, known.map(show))
    arrange(requestList, asking.map(show))
    empty.hidden = known.length > 0
    requests.hidden = asking.length === 0
    requestCount.textContent = asking.length < pageSize ? String(asking.length) : `${pageSize}+`
  }

  let reading: Promise<void> = Promise.resolve()
  let isWaiting = false
  /** Reads once more after the current read; calls in between share it. */
  const refresh = (): void => {
    if (isWaiting) return
    isWaiting = true
    reading = reading
      .then(() => {
        isWaiting = false
        return read()
      })
      .then(
        () => {
          failure.textContent = ''
        },
        (error: unknown) => {
          if (error instanceof PadlockError && error.code === 'closed') return
          failure.textContent = sayError(error)
        },
      )
  }

  const onMessage = (message: Message): void => {
    if (!message.isOwn && message.conversationId !== selected) {
      unread.set(message.conversationId, (unread.get(message.conversationId) ?? 0) + 1)
    }
    refresh()
  }
  const stop = session.listen({
    onMessage,
    onEvent: (event) => {
      if (event.kind === 'deleted' && !event.messageIds) unread.delete(event.conversationId)
      if (event.kind === 'conversation' || event.kind === 'consent' || event.kind === 'deleted') {
        refresh()
      }
    },
  })
  refresh()

  const select = (id: string | undefined): void => {
    const before = selected
    selected = id
    if (id !== undefined) unread.delete(id)
    if (before !== undefined) mark(before)
    if (id !== undefined) mark(id)
  }
  const nav = element(
    'nav',
    { 'aria-label': 'Conversations', tabindex: '-1' },
    empty,
    list,
    failure,
  )
  const root = element('div', { class: 'lists' }, nav, requests)
  return { root, select, focus: () => nav.focus(), close: stop }
}
