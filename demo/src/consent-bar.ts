/**
 * Between the messages and the field: for a request, accept, block or delete it; for a blocked
 * account, unblock it.
 */

import type { Conversation } from 'padlock-sdk'
import { isRequest } from './conversation-actions.ts'
import { button, element } from './element.ts'
import { icon } from './icons.ts'

export interface ConsentBarOptions {
  readonly peerName: string
  readonly onAccept: () => void
  readonly onBlock: () => void
  readonly onUnblock: () => void
  readonly onDelete: () => void
}

export interface ConsentBar {
  readonly root: HTMLElement
  show(conversation: Conversation): void
}

const sayLeftOut = (count: number): string => {
  if (count === 0) return ''
  return count === 1
    ? ' 1 more message was left out; accept to ask for it, which takes about a minute.'
    : ` ${count} more messages were left out; accept to ask for them, which takes about a minute.`
}

export const makeConsentBar = ({
  peerName,
  onAccept,
  onBlock,
  onUnblock,
  onDelete,
}: ConsentBarOptions): ConsentBar => {
  const sentence = element('p', { role: 'status' })
  const request = element(
    'div',
    { class: 'actions' },
    button({ class: 'quiet' }, onDelete, 'Delete'),
    button({ class: 'quiet' }, onBlock, 'Block'),
    button({ class: 'primary' }, onAccept, 'Accept'),
  )
  const blocked = element(
    'div',
    { class: 'actions' },
    button({ class: 'quiet' }, onUnblock, 'Unblock'),
  )
  const root = element(
    'section',
    { class: 'consent-bar', 'aria-label': `What you decide about ${peerName}`, hidden: true },
    sentence,
    request,
    blocked,
  )
  const show = (conversation: Conversation): void => {
    const isBlocked = conversation.consent === 'denied'
    const isAsked = isRequest(conversation)
    root.hidden = !isBlocked && !isAsked
    request.hidden = !isAsked
    blocked.hidden = !isBlocked
    const words = isBlocked
      ? `You blocked ${peerName}. Nothing that they send is kept.`
      : isAsked
        ? `You have not accepted ${peerName} yet. They do not learn that you read this until you accept or answer.${sayLeftOut(conversation.leftOutCount)}`
        : ''
    // Replaced only when it changed, or a screen reader would repeat it.
    if (sentence.textContent === words) return
    sentence.replaceChildren(...(words === '' ? [] : [icon(isBlocked ? 'block' : 'person'), words]))
  }
  return { root, show }
}
