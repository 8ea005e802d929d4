/**
 * Pages of messages, bounded in bytes and not only in messages: whoever writes long messages, or
 * short ones that inflate, must not make a page that no device can hold. A page may be shorter than
 * asked for; it has at least one message if there is one.
 */

import type { ConversationId } from '../../protocol/ids.ts'
import { pageContentLimitBytes } from '../../protocol/limits.ts'
import type { Fields, Row, Store } from '../../store/store.ts'
import { type MessageRecord, messageOrder, tables } from '../../store/tables.ts'
import type { Consents } from '../consent/consents.ts'
import type { Consent, Message } from '../model.ts'
import type { Context } from '../runtime/context.ts'
import { consentOfConversation } from './audience.ts'
import { compareMessages, describeMessage } from './message-records.ts'

type Place = ReturnType<typeof messageOrder>
type Rows = readonly Row<MessageRecord>[]

/**
 * Decodes messages one after the other until their texts exceed the limit.
 * @param isWanted whether to have messages of conversations of which the person said this
 * @returns with the messages what was left for the next page
 */
export const describePage = async (
  { account }: Pick<Context, 'account'>,
  consents: Consents,
  rows: Rows,
  isWanted: (consent: Consent) => boolean = () => true,
): Promise<{ readonly messages: readonly Message[]; readonly rest: Rows }> => {
  const own = account.address
  const messages: Message[] = []
  let left = pageContentLimitBytes
  let isInflatedInVain = false
  for (const [at, row] of rows.entries()) {
    const consent = await consentOfConversation(consents, row.value.conversationId, own)
    if (!isWanted(consent)) continue
    const message = await describeMessage(row, own, consent)
    const isVain = message.type === 'unknown' && message.reason !== undefined
    const length = (message.content ?? message.fallback ?? '').length
    // What was inflated in vain counts too: one of them for a page.
    if (messages.length > 0 && (length > left || (isVain && isInflatedInVain))) {
      return { messages, rest: rows.slice(at) }
    }
    left -= length
    isInflatedInVain ||= isVain
    messages.push(message)
  }
  return { messages, rest: [] }
}

/**
 * The newest messages before a message, or of all, in the order of docs/protocol.md section 8:
 * messages at the same place are ordered by their ids, which the store's index does not have.
 */
export const readHistory = async (
  store: Store,
  group: ConversationId,
  before: Fields<MessageRecord> | undefined,
  limit: number,
): Promise<Rows> => {
  const page = new Page(limit)
  if (before) {
    await page.addPlace(store, group, placeOf(before), before.messageId)
    if (page.isFull) return page.rows
  }
  const older = await store.list(tables.messages, {
    group,
    limit: limit - page.rows.length,
    newestFirst: true,
    ...(before ? { before: placeOf(before) } : {}),
  })
  const last = older.at(-1)
  if (!last) return page.rows
  page.add(older.filter(({ value }) => !isSamePlace(value, last.value)))
  // The list may have ended within the last place.
  if (!page.isFull) await page.addPlace(store, group, placeOf(last.value), undefined)
  return page.rows
}

/** Rows in order, newest first, as many as fit. */
class Page {
  readonly #limit: number
  #rows: Rows = []
  isFull = false

  constructor(limit: number) {
    this.#limit = limit
  }

  get rows(): Rows {
    return this.#rows
  }

  add(rows: Rows): void {
    const sorted = [...this.#rows, ...rows].sort((a, b) => compareMessages(b.value, a.value))
    let left = pageContentLimitBytes
    const end = sorted.findIndex(({ value }, at) => {
      left -= value.content.length
      return at >= this.#limit || (at > 0 && left < 0)
    })
    this.#rows = end < 0 ? sorted : sorted.slice(0, end)
    this.isFull = end >= 0
  }

  /** The messages at one place, however many they are: only those of the page stay in memory. */
  async addPlace(
    store: Store,
    group: ConversationId,
    at: Place,
    beforeId: string | undefined,
  ): Promise<void> {
    for (let past: { place: Place; key: string } | undefined; ; ) {
      const rows = await store.list(tables.messages, {
        group,
        at,
        limit: this.#limit,
        newestFirst: true,
        ...(past ? { past } : {}),
      })
      const last = rows.at(-1)
      if (!last) return
      this.add(rows.filter(({ value }) => beforeId === undefined || value.messageId < beforeId))
      past = { place: at, key: last.value.messageId }
    }
  }
}

const placeOf = ({ nodeNs, composedNs }: Fields<MessageRecord>): Place =>
  messageOrder(nodeNs, composedNs)

const isSamePlace = (a: Fields<MessageRecord>, b: Fields<MessageRecord>): boolean =>
  a.nodeNs === b.nodeNs && a.composedNs === b.composedNs

/** The newest message of a conversation that is not among these. */
export const newestAfter = async (
  store: Store,
  group: ConversationId,
  without: ReadonlySet<string>,
): Promise<Row<MessageRecord> | undefined> => {
  const limit = without.size + 1
  for (let past: { place: Place; key: string } | undefined; ; ) {
    const found = await store.list(tables.messages, {
      group,
      limit,
      newestFirst: true,
      ...(past ? { past } : {}),
    })
    const newest = found.find(({ value }) => !without.has(value.messageId))
    const last = found.at(-1)
    if (newest || !last) return newest
    past = { place: placeOf(last.value), key: last.value.messageId }
  }
}

/** The newest message of a conversation. */
export const readNewest = async (
  store: Store,
  group: ConversationId,
): Promise<Row<MessageRecord> | undefined> => {
  const [first, second] = await store.list(tables.messages, { group, limit: 2, newestFirst: true })
  if (!first || !second || !isSamePlace(first.value, second.value)) return first
  // At one place the ids decide, which the index does not have.
  return (await readHistory(store, group, undefined, 1))[0]
}
