/** A message on its way: what composing makes, sealing fills, and the outbox sends. */

import type { OutboxRecord, OutboxRow } from '../../store/tables.ts'
import type { FanoutRow } from './fanout.ts'

export interface OutboxEntry {
  readonly number: number
  readonly record: Omit<OutboxRecord, '$typeName' | '$unknown'>
}

/** Whether it is a message of a conversation; else installations say it to each other. */
export const isMessage = ({ record }: OutboxEntry): boolean => record.messageId !== ''

export const toOutboxRow = ({ topic, message, address }: FanoutRow): OutboxRow => ({
  $typeName: 'padlock.store.v1.OutboxRow',
  topic,
  message,
  address,
})
