/** Everyone the person writes with, newest messages first. */

import { type Client, type Conversation, type Message, PadlockError } from 'padlock-sdk'
import { makeAvatar, shortAddress } from './address-words.ts'
import { arrange, button, element } from './element.ts'
import { sayError } from './errors-in-words.ts'
import { sayAloud } from './message-item.ts'
import type { Session } from './session.ts'
import { sayRecent } from './time-words.ts'

/** Only this many show their last message; the others show only when it was. */
const maxPreviews = 50

export interface ConversationList {
  readonly root: HTMLElement
  /** Marks the open one; its messages count as read. */
  select(id: string | undefined): void
  close(): void
}

interface Entry {
  readonly item: HTMLElement
  readonly choose: HTMLButtonElement
  readonly preview: HTMLElement
  readonly time: HTMLElement
  readonly count: HTMLElement
}

/** The name of a person without a name here. */
export const sayPeer = ({ peer }: Conversation, own: string): string =>
  peer === own ? 'Note to yourself' : shortAddress(peer)

export const makeConversationList = (
  client: Client,
  session: Session,
  onChoose: (conversation: Conversation) => void,
): ConversationList => {
  const entries = new Map<string, Entry>()
  const unread = new Map<string, number>()
  const previewed = new Map<string, number>()
  let selected: string | undefined
  const list = element('ul', { class: 'conversations' })
  const empty = element(
    'p',
    { class: 'help' },
    'No conversations yet. Enter an address above, or wait until someone writes to you.',
  )
  const failure = element('p', { class: 'field-error', role: 'alert' })

  const showEntry = (id: string): void => {
    const entry = entries.get(id)
    if (!entry) return
    const many = unread.get(id) ?? 0
    entry.count.textContent = many > 0 ? `${many} new` : ''
    if (id === selected) entry.choose.setAttribute('aria-current', 'true')
    else entry.choose.removeAttribute('aria-current')
  }

  const entryOf = (conversation: Conversation): Entry => {
    const known = entries.get(conversation.id)
    if (known) return known
    const preview = element('span', { class: 'preview' })
    const time = element('span', { class: 'when' })
    const count = element('span', { class: 'count' })
    const choose = button(
      { class: 'conversation-choice' },
      () => onChoose(conversation),
      makeAvatar(conversation.peer),
      element(
        'span',
        { class: 'summary' },
        element('span', { class: 'name' }, sayPeer(conversation, client.address)),
        time,
        preview,
        count,
      ),
    )
    const entry = { item: element('li', {}, choose), choose, preview, time, count }
    entries.set(conversation.id, entry)
    return entry
  }

  const preview = async (conversation: Conversation): Promise<void> => {
    const { id, lastMessageAtMs } = conversation
    if (lastMessageAtMs === undefined || previewed.get(id) === lastMessageAtMs) return
    previewed.set(id, lastMessageAtMs)
    const [newest] = await conversation.history({ limit: 1 })
    if (newest) {
      entryOf(conversation).preview.textContent =
        `${newest.isOwn ? 'You: ' : ''}${sayAloud(newest)}`
    }
  }

  const read = async (): Promise<void> => {
    const all = await client.conversations()
    for (const conversation of all) {
      const { time } = entryOf(conversation)
      const at = conversation.lastMessageAtMs
      time.textContent = at === undefined ? '' : sayRecent(at, Date.now())
      showEntry(conversation.id)
    }
    arrange(
      list,
      all.map((conversation) => entryOf(conversation).item),
    )
    empty.hidden = all.length > 0
    await Promise.all(all.slice(0, maxPreviews).map(preview))
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
    onEvent: ({ kind }) => {
      if (kind === 'conversation') refresh()
    },
  })
  refresh()

  const select = (id: string | undefined): void => {
    const before = selected
    selected = id
    if (id !== undefined) unread.delete(id)
    if (before !== undefined) showEntry(before)
    if (id !== undefined) showEntry(id)
  }
  const root = element('nav', { 'aria-label': 'Conversations' }, empty, list, failure)
  return { root, select, close: stop }
}
