/**
 * Lists of conversations: page by page, each with its newest message. A page is bounded in bytes too,
 * as strangers may write long messages.
 */

import { PadlockError } from '../../errors.ts'
import {
  type Address,
  type ConversationId,
  formatAddress,
  parseCanonicalAddress,
} from '../../protocol/ids.ts'
import { pageContentLimitBytes } from '../../protocol/limits.ts'
import type { Fields, Row } from '../../store/store.ts'
import {
  type ConversationRecord,
  conversationGroups,
  conversationOrder,
  type MessageRecord,
  tables,
} from '../../store/tables.ts'
import { type AccountState, type Consents, consentOf, stored } from '../consent/consents.ts'
import type { Consent, ConversationInfo, ConversationPlace } from '../model.ts'
import type { Context } from '../runtime/context.ts'
import { audienceOf } from './audience.ts'
import { readNewest } from './message-pages.ts'
import { describeMessage } from './message-records.ts'

/** Conversations whose newest messages are read at a time. */
const readAtOnce = 16
/** What is listed if nobody asks for more. */
const usual: readonly Consent[] = ['allowed', 'unknown']

const groupsOf = (consents: readonly Consent[]): readonly string[] =>
  consents.map((consent) => conversationGroups[stored[consent]])

export class ConversationList {
  readonly #context: Pick<Context, 'store' | 'account'>
  readonly #consents: Consents

  constructor(context: Pick<Context, 'store' | 'account'>, consents: Consents) {
    this.#context = context
    this.#consents = consents
  }

  /** Conversations, those with the newest messages first; after a place, from there on. */
  async page(
    limit: number,
    before?: ConversationPlace,
    consent?: Consent,
  ): Promise<readonly ConversationInfo[]> {
    const rows = await this.#context.store.list(tables.conversations, {
      group: groupsOf(consent ? [consent] : usual),
      limit,
      newestFirst: true,
      ...(before && { past: pastOf(before) }),
    })
    const infos: ConversationInfo[] = []
    let left = pageContentLimitBytes
    for (let at = 0; at < rows.length; at += readAtOnce) {
      const some = rows.slice(at, at + readAtOnce)
      const newest = await Promise.all(some.map(({ value }) => this.#newestOf(value)))
      for (const [nth, { value }] of some.entries()) {
        const info = await this.#describe(value, newest[nth])
        const { content, fallback } = info.lastMessage ?? {}
        left -= (content ?? fallback ?? '').length
        if (infos.length > 0 && left < 0) return infos
        infos.push(info)
      }
    }
    return infos
  }

  /** The other accounts of the newest conversations with accounts of which the person said this. */
  async peers(consent: Consent, limit: number): Promise<ReadonlySet<Address>> {
    const own = this.#context.account.address
    const ids = await this.ids(limit, [consent])
    return new Set(ids.flatMap((id) => audienceOf(id, own).others))
  }

  /** The ids of the newest conversations; with a time, of those that have messages as new as that. */
  async ids(
    limit: number,
    consents: readonly Consent[],
    sinceMs?: number,
  ): Promise<readonly ConversationId[]> {
    const rows = await this.#context.store.list(tables.conversations, {
      group: groupsOf(consents),
      limit,
      newestFirst: true,
    })
    return rows.flatMap(({ value }) =>
      sinceMs === undefined || value.lastMessageMs >= sinceMs
        ? [value.conversationId as ConversationId]
        : [],
    )
  }

  async #newestOf({
    conversationId,
    messages,
  }: Fields<ConversationRecord>): Promise<Row<MessageRecord> | undefined> {
    if (messages === 0) return undefined
    return readNewest(this.#context.store, conversationId as ConversationId)
  }

  async #describe(
    record: Fields<ConversationRecord>,
    newest: Row<MessageRecord> | undefined,
  ): Promise<ConversationInfo> {
    const state = await this.#consents.state(record.peer as Address)
    const info = describeConversation(record, state)
    if (!newest) return info
    const own = this.#context.account.address
    return { ...info, lastMessage: await describeMessage(newest, own, info.consent) }
  }
}

export const describeConversation = (
  record: Fields<ConversationRecord>,
  state: Pick<AccountState, 'consent' | 'leftOut'>,
): ConversationInfo => {
  const peer = parseCanonicalAddress(record.peer)
  if (!peer.ok) throw new PadlockError('storage_damaged')
  return {
    id: record.conversationId,
    peer: formatAddress(peer.value),
    createdAtMs: Number(record.createdMs),
    lastMessageAtMs: record.lastMessageMs === 0n ? undefined : Number(record.lastMessageMs),
    consent: consentOf(state),
    messageCount: record.messages,
    leftOutCount: state.leftOut,
  }
}

const pastOf = ({ id, createdAtMs, lastMessageAtMs }: ConversationPlace) => ({
  place: conversationOrder(BigInt(lastMessageAtMs || createdAtMs)),
  key: id,
})
