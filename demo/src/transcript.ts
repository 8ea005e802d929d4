/**
 * The visible part of a conversation, oldest first. The store knows the order of messages, which
 * may change when one is sent; so an event only triggers reading the newest page again.
 */

import type { Conversation, Message } from 'padlock-sdk'

const pageSize = 40
/** Beyond that, the oldest are dropped; scrolling up reads them again. */
const maxShown = 400

export class Transcript {
  readonly #conversation: Conversation
  #messages: readonly Message[] = []
  #hasOlder = true
  /** Reads one after another, so that an older page never mixes with a newer one. */
  #last: Promise<void> = Promise.resolve()
  #isRefreshing = false

  constructor(conversation: Conversation) {
    this.#conversation = conversation
  }

  get messages(): readonly Message[] {
    return this.#messages
  }

  /** Whether the store holds messages before the first one here. */
  get hasOlder(): boolean {
    return this.#hasOlder
  }

  /**
   * Reads the newest page; a call while another one waits joins it. @throws PadlockError closed,
   * storage_*
   */
  refresh(): Promise<void> {
    if (this.#isRefreshing) return this.#last
    this.#isRefreshing = true
    return this.#next(async () => {
      this.#isRefreshing = false
      const page = await this.#conversation.history({ limit: pageSize })
      const newest = new Set(page.map(({ id }) => id))
      const touches = this.#messages.some(({ id }) => newest.has(id))
      if (!touches) this.#hasOlder = page.length > 0
      const older = touches ? this.#messages.filter(({ id }) => !newest.has(id)) : []
      this.#messages = [...older, ...page.toReversed()]
    })
  }

  /** Reads the page before the first message. @throws PadlockError closed, storage_* */
  loadOlder(): Promise<void> {
    return this.#next(async () => {
      const [first] = this.#messages
      if (!first || !this.#hasOlder) return
      const page = await this.#conversation.history({ before: first.cursor, limit: pageSize })
      const known = new Set(this.#messages.map(({ id }) => id))
      const older = page.toReversed().filter(({ id }) => !known.has(id))
      this.#hasOlder = page.length > 0
      this.#messages = [...older, ...this.#messages]
    })
  }

  /**
   * Takes out messages that were deleted, or all, and reads the newest page again. @throws
   * PadlockError closed, storage_*
   */
  forget(ids: readonly string[] | undefined): Promise<void> {
    const gone = ids && new Set(ids)
    void this.#next(async () => {
      this.#messages = gone ? this.#messages.filter(({ id }) => !gone.has(id)) : []
    })
    return this.refresh()
  }

  /** Drops the oldest messages; call it when only the newest are in view. */
  trim(): void {
    if (this.#messages.length <= maxShown) return
    this.#messages = this.#messages.slice(-maxShown / 2)
    this.#hasOlder = true
  }

  #next(read: () => Promise<void>): Promise<void> {
    this.#last = this.#last.catch(() => undefined).then(read)
    return this.#last
  }
}
