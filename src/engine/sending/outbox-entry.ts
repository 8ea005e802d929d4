/** A message in the outbox: composing creates it, sealing fills it, the outbox publishes it. */

import type { ConversationId } from '../../protocol/ids.ts'
import type { Fields } from '../../store/store.ts'
import type { OutboxRecord, OutboxRow } from '../../store/tables.ts'
import type { FanoutRow } from './fanout.ts'

export interface OutboxEntry {
  /** Its place in the order of composition. */
  readonly number: number
  readonly record: Fields<OutboxRecord>
}

/** Whether it is a message of a conversation, not a payload between installations. */
export const isMessage = ({ record }: OutboxEntry): boolean => record.messageId !== ''

export const conversationOf = ({ record }: OutboxEntry): ConversationId =>
  record.conversationId as ConversationId

/** The entry with the envelopes that publish it. */
export const sealedEntry = (
  { number, record }: OutboxEntry,
  rows: readonly FanoutRow[],
  sealedMs: number,
): OutboxEntry => ({
  number,
  record: {
    ...record,
    rows: rows.map(toOutboxRow),
    sealed: true,
    sealedMs: BigInt(sealedMs),
  },
})

/** The entry as it was composed, to be encrypted anew under the same message id. */
export const unsealedEntry = ({ number, record }: OutboxEntry): OutboxEntry => ({
  number,
  record: { ...record, rows: [], sealed: false, sealedMs: 0n },
})

const toOutboxRow = ({ topic, message, address }: FanoutRow): OutboxRow => ({
  $typeName: 'padlock.store.v1.OutboxRow',
  topic,
  message,
  address,
  nodeNs: 0n,
})
