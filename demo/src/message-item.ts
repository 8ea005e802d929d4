/** One message as it is shown: its text, its time, and how far it came. */

import type { Message } from 'padlock-sdk'
import { element } from './element.ts'
import { sayCode } from './errors-in-words.ts'
import { type IconName, icon } from './icons.ts'
import { sayTime } from './time-words.ts'

interface Delivery {
  readonly icon: IconName
  readonly label: string
  /** What a person should know about a message that waits. */
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

/** The words of an arriving message for a screen reader. */
export const sayAloud = (message: Message): string => {
  const text = sayText(message)
  return text.length > 300 ? `${text.slice(0, 300)}…` : text
}

/** What of a message can change while it is shown. */
export const versionOf = ({ state, reason }: Message): string => `${state} ${reason ?? ''}`

export const makeMessageItem = (
  message: Message,
  senderName: string,
  peerName: string,
): HTMLLIElement => {
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
    // The writer's text, in the writer's direction; only ever a text node.
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
  )
  if (delivery.note) item.append(element('p', { class: 'note' }, delivery.note))
  return item
}
