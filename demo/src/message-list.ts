/**
 * The messages of one conversation, newest at the bottom. Follows new messages while the newest is
 * in view, and otherwise stays where the reader is and counts them; scrolling up loads older pages.
 */

import type { Message } from 'padlock-sdk'
import { arrange, button, element } from './element.ts'
import { icon } from './icons.ts'
import type { MenuItem } from './menu.ts'
import { makeMessageItem, menuButtonOf, versionOf } from './message-item.ts'
import { dayOf, sayDay } from './time-words.ts'

/** Still counts as the bottom: less than a line of text is out of view. */
const bottomSlackPx = 48
/** Loads older messages before the reader reaches the first one. */
const topMarginPx = 240
/** Messages from one person within this time are grouped. */
const groupMs = 5 * 60_000

export interface MessageListOptions {
  readonly label: string
  readonly peerName: string
  readonly nameOf: (message: Message) => string
  readonly menuOf: (message: Message) => readonly MenuItem[]
  /** Shown while there is no message. */
  readonly emptyText: string
  /** The reader is near the first message. */
  readonly onNearTop: () => void
}

interface Shown {
  readonly item: HTMLElement
  readonly version: string
}

export class MessageList {
  readonly root: HTMLElement
  readonly #options: MessageListOptions
  readonly #scroller: HTMLElement
  readonly #list = element('ol', { class: 'messages' })
  readonly #beginning = element('p', { class: 'beginning' })
  readonly #jump: HTMLButtonElement
  readonly #jumpText = element('span')
  readonly #resized: ResizeObserver
  #items = new Map<string, Shown>()
  #days = new Map<string, HTMLElement>()
  #isFollowing = true
  #unread = 0
  #hasOlder = false

  constructor(options: MessageListOptions) {
    this.#options = options
    this.#scroller = element(
      'div',
      { class: 'scroller', tabindex: '0', role: 'region', 'aria-label': options.label },
      this.#beginning,
      this.#list,
    )
    this.#jump = button({ class: 'jump', hidden: true }, () => this.#jumpDown(), this.#jumpText)
    this.#jump.append(icon('down'))
    this.root = element('div', { class: 'message-list' }, this.#scroller, this.#jump)
    this.#scroller.addEventListener('scroll', () => this.#scrolled(), { passive: true })
    this.#list.addEventListener('keydown', (event) => this.#step(event))
    // An opening keyboard or a growing composer must not hide the newest message.
    this.#resized = new ResizeObserver(() => {
      if (this.#isFollowing) this.#toBottom()
    })
    this.#resized.observe(this.#scroller)
  }

  get isFollowing(): boolean {
    return this.#isFollowing
  }

  close(): void {
    this.#resized.disconnect()
  }

  /** Always scrolls to the person's own message. */
  follow(): void {
    this.#isFollowing = true
    this.#toBottom()
  }

  /** For when what had the focus is about to go away. */
  focus(): void {
    this.#scroller.focus({ preventScroll: true })
  }

  show(messages: readonly Message[], hasOlder: boolean): void {
    const heightBefore = this.#scroller.scrollHeight
    const topBefore = this.#scroller.scrollTop
    const oldFirst = this.#list.querySelector('.message')
    const before = this.#items
    const isFirstTime = before.size === 0
    arrange(this.#list, this.#render(messages))
    this.#keepOneReachable()
    this.#hasOlder = hasOlder
    this.#scroller.classList.toggle('empty', messages.length === 0)
    this.#beginning.textContent =
      messages.length === 0
        ? this.#options.emptyText
        : hasOlder
          ? 'Loading older messages…'
          : 'This is the beginning of the conversation.'

    if (this.#isFollowing) {
      this.#toBottom()
      return
    }
    if (oldFirst && this.#list.querySelector('.message') !== oldFirst) {
      // Older messages were added above: keep what is being read in place.
      this.#scroller.scrollTop = topBefore + this.#scroller.scrollHeight - heightBefore
    }
    const lastKnown = messages.findLastIndex(({ id }) => before.has(id))
    const news = isFirstTime ? [] : messages.slice(lastKnown + 1).filter(({ isOwn }) => !isOwn)
    this.#setUnread(this.#unread + news.length)
  }

  #render(messages: readonly Message[]): HTMLElement[] {
    const items = new Map<string, Shown>()
    const days = new Map<string, HTMLElement>()
    const wanted: HTMLElement[] = []
    const now = Date.now()
    let last: Message | undefined
    for (const message of messages) {
      const day = dayOf(message.sentAtMs)
      // Clocks of two writers may disagree around midnight: a day is named once, where it first appears.
      const isNewDay = !last || (dayOf(last.sentAtMs) !== day && !days.has(day))
      if (isNewDay) {
        const separator = this.#days.get(day) ?? element('li', { class: 'day' }, element('span'))
        const words = sayDay(message.sentAtMs, now)
        const label = separator.firstElementChild
        if (label && label.textContent !== words) label.textContent = words
        days.set(day, separator)
        wanted.push(separator)
      }
      const shown = this.#itemOf(message)
      const isGrouped =
        !isNewDay && last?.sender === message.sender && message.sentAtMs - last.sentAtMs < groupMs
      shown.item.classList.toggle('grouped', isGrouped)
      items.set(message.id, shown)
      wanted.push(shown.item)
      last = message
    }
    this.#items = items
    this.#days = days
    return wanted
  }

  #itemOf(message: Message): Shown {
    const known = this.#items.get(message.id)
    const version = versionOf(message)
    if (known?.version === version) return known
    const { nameOf, peerName, menuOf } = this.#options
    const item = makeMessageItem(message, {
      senderName: nameOf(message),
      peerName,
      menu: () => menuOf(message),
    })
    // Only messages that arrive while the person looks are animated; a page of history is not.
    if (!known && this.#items.size > 0 && this.#isFollowing) item.classList.add('new')
    return { item, version }
  }

  /** Tab goes to one message's menu, the arrow keys from there to the others. */
  #keepOneReachable(chosen?: HTMLElement): void {
    const { activeElement } = document
    const focused =
      activeElement instanceof HTMLElement && this.#list.contains(activeElement) && activeElement
    const last = this.#list.lastElementChild
    const wanted = chosen || focused || (last && menuButtonOf(last))
    for (const reachable of this.#list.querySelectorAll<HTMLElement>('.message-menu')) {
      reachable.tabIndex = reachable === wanted ? 0 : -1
    }
  }

  #step(event: KeyboardEvent): void {
    const by = event.key === 'ArrowUp' ? -1 : event.key === 'ArrowDown' ? 1 : 0
    const all = [...this.#list.querySelectorAll<HTMLElement>('.message-menu')]
    const now = event.target instanceof HTMLElement ? all.indexOf(event.target) : -1
    const next = all[now + by]
    if (by === 0 || now < 0 || !next) return
    event.preventDefault()
    this.#keepOneReachable(next)
    next.focus()
  }

  #scrolled(): void {
    const { scrollTop, scrollHeight, clientHeight } = this.#scroller
    this.#isFollowing = scrollHeight - scrollTop - clientHeight < bottomSlackPx
    if (this.#isFollowing) this.#setUnread(0)
    if (scrollTop < topMarginPx && this.#hasOlder) this.#options.onNearTop()
  }

  #toBottom(): void {
    this.#scroller.scrollTop = this.#scroller.scrollHeight
    this.#setUnread(0)
    // A page that does not fill the view cannot be scrolled, so load more at once.
    if (
      this.#hasOlder &&
      this.#scroller.scrollHeight <= this.#scroller.clientHeight + topMarginPx
    ) {
      this.#options.onNearTop()
    }
  }

  #jumpDown(): void {
    this.follow()
    this.#scroller.focus()
  }

  #setUnread(count: number): void {
    this.#unread = count
    this.#jump.hidden = this.#isFollowing
    this.#jumpText.textContent =
      count === 0 ? 'Newest' : count === 1 ? '1 new message' : `${count} new messages`
    this.#jump.classList.toggle('has-unread', count > 0)
  }
}
