/** Announces arrivals to screen readers, without moving the focus. */

import { element } from './element.ts'

/** Older ones have been read by then. */
const kept = 5

export interface Announcer {
  readonly root: HTMLElement
  say(sentence: string): void
}

export const makeAnnouncer = (): Announcer => {
  const root = element('div', {
    class: 'unseen',
    role: 'log',
    'aria-live': 'polite',
    'aria-relevant': 'additions',
    'aria-label': 'New messages',
  })
  const say = (sentence: string): void => {
    root.append(element('p', {}, sentence))
    while (root.children.length > kept) root.firstElementChild?.remove()
  }
  return { root, say }
}
