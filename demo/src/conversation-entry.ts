/** One line of a list of conversations: who, when, and how its newest message begins. */

import type { Conversation } from 'padlock-sdk'
import { makeAvatar, shortAddress } from './address-words.ts'
import { button, element } from './element.ts'
import { sayAloud } from './message-item.ts'
import { sayRecent } from './time-words.ts'

export interface ConversationEntry {
  readonly item: HTMLElement
  show(conversation: Conversation): void
  /** How many of its messages were not seen yet, and whether it is the open one. */
  mark(unread: number, isSelected: boolean): void
}

/** The name of a person without a name here. */
export const sayPeer = ({ peer }: Conversation, own: string): string =>
  peer === own ? 'Note to yourself' : shortAddress(peer)

const sayNewest = ({ lastMessage }: Conversation): string =>
  lastMessage ? `${lastMessage.isOwn ? 'You: ' : ''}${sayAloud(lastMessage)}` : ''

export const makeConversationEntry = (
  conversation: Conversation,
  own: string,
  onChoose: (conversation: Conversation) => void,
): ConversationEntry => {
  let current = conversation
  const preview = element('span', { class: 'preview' })
  const time = element('span', { class: 'when' })
  const count = element('span', { class: 'count' })
  const choose = button(
    { class: 'conversation-choice' },
    () => onChoose(current),
    makeAvatar(conversation.peer),
    element(
      'span',
      { class: 'summary' },
      element('span', { class: 'name' }, sayPeer(conversation, own)),
      time,
      preview,
      count,
    ),
  )
  return {
    item: element('li', {}, choose),
    show: (read) => {
      current = read
      const at = read.lastMessageAtMs
      time.textContent = at === undefined ? '' : sayRecent(at, Date.now())
      preview.textContent = sayNewest(read)
    },
    mark: (unread, isSelected) => {
      count.textContent = unread > 0 ? `${unread} new` : ''
      if (isSelected) choose.setAttribute('aria-current', 'true')
      else choose.removeAttribute('aria-current')
    },
  }
}
