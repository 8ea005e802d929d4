/** One message as shown: its text, its time, and its state. */

import type { Message } from 'padlock-sdk'
import { element } from './element.ts'
import { sayCode } from './errors-in-words.ts'
import { type IconName, icon } from './icons.ts'
import { type MenuItem, makeMenuButton } from './menu.ts'
import { sayTime } from './time-words.ts'

interface Delivery {
  readonly icon: IconName
  readonly label: string
  /** What a person should know about a waiting message. */
  readonly note?: string
}

const sayDelivery = ({ state, reason }: Message, peerName: string): Delivery => {
  if (state === 'sent') return { icon: 'check', label: 'Sent' }
  if (state === 'received') return { icon: 'received', label: 'Received' }
  if (reason === 'no_installation') {
    const note = `${peerName} has not opened Padlock yet. Your message waits here and goes out by itself.`
    return { icon: 'clock', label: 'Waiting', note }
  }
  if (reason !== undefined) return { icon: 'warning', label: 'Not sent', note: sayCode(reason) }
  return { icon: 'clock', label: 'Pending' }
}

const sayText = (message: Message): string =>
  message.type === 'text'
    ? message.content
    : (message.fallback ?? 'A message of a kind that this page cannot show yet.')

/** The words with which a screen reader announces a message. */
export const sayAloud = (message: Message): string => {
  const text = sayText(message)
  return text.length > 300 ? `${text.slice(0, 300)}…` : text
}

/** The parts of a message that can change while it is shown. */
export const versionOf = ({ state, reason }: Message): string => `${state} ${reason ?? ''}`

export interface MessageItemOptions {
  readonly senderName: string
  readonly peerName: string
  readonly menu: () => readonly MenuItem[]
}

/** Finds the button of its menu; one per list can be reached with Tab (message-list.ts). */
export const menuButtonOf = (item: Element): HTMLElement | null =>
  item.querySelector<HTMLElement>('.message-menu')

export const makeMessageItem = (
  message: Message,
  { senderName, peerName, menu }: MessageItemOptions,
): HTMLLIElement => {
  const options = makeMenuButton(
    {
      class: 'message-menu',
      tabindex: '-1',
      'aria-label': `Options for the message of ${sayTime(message.sentAtMs)} by ${senderName}`,
    },
    menu,
  )
  const delivery = sayDelivery(message, peerName)
  const time = element(
    'time',
    { datetime: new Date(message.sentAtMs).toISOString() },
    sayTime(message.sentAtMs),
  )
  const item = element(
    'li',
    { class: message.isOwn ? 'message own' : 'message', 'data-state': message.state },
    element('span', { class: 'unseen' }, `${senderName}: `),
    // The writer's text, in its own direction; always a text node.
    element(
      'p',
      { class: message.type === 'text' ? 'text' : 'text unknown', dir: 'auto' },
      sayText(message),
    ),
    element(
      'p',
      { class: 'meta' },
      time,
      element('span', { class: 'delivery' }, icon(delivery.icon), delivery.label),
    ),
    options,
  )
  if (delivery.note) item.append(element('p', { class: 'note' }, delivery.note))
  return item
}
