/** A message on its way: what composing makes, sealing fills, and the outbox sends. */

import type { OutboxRecord } from '../store/tables.ts'

export interface OutboxEntry {
  readonly number: number
  readonly record: Omit<OutboxRecord, '$typeName' | '$unknown'>
}
