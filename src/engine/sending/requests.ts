/**
 * What goes into one request: whole messages as long as they fit, in their order; of a message that
 * is larger than a request should be, as many envelopes as fit. What the node has of it is kept.
 */

import { requestLimitEnvelopes } from '../../protocol/limits.ts'
import type { OutboxRow } from '../../store/tables.ts'
import type { OutboxEntry } from './outbox-entry.ts'

/** Envelopes of one entry that go in one request. */
export interface Part {
  readonly entry: OutboxEntry
  readonly rows: readonly OutboxRow[]
}

/** Only what the node has is dropped here; an envelope is never empty. */
const isPublished = ({ message }: OutboxRow): boolean => message.length === 0

export const bytesOf = (rows: readonly OutboxRow[]): number =>
  rows.reduce((sum, { message }) => sum + message.length, 0)

/** The next request of sealed entries. @param limitBytes one envelope goes whatever its size */
export const nextRequest = (
  entries: readonly OutboxEntry[],
  limitBytes: number,
): readonly Part[] => {
  const parts: Part[] = []
  let bytes = 0
  let count = 0
  for (const entry of entries) {
    const rows = entry.record.rows.filter((row) => !isPublished(row))
    bytes += bytesOf(rows)
    count += rows.length
    if (count <= requestLimitEnvelopes && bytes <= limitBytes) parts.push({ entry, rows })
    else {
      if (parts.length === 0) parts.push({ entry, rows: firstOf(rows, limitBytes) })
      break
    }
  }
  return parts
}

const firstOf = (rows: readonly OutboxRow[], limitBytes: number): readonly OutboxRow[] => {
  let bytes = 0
  const first = rows.slice(0, requestLimitEnvelopes).findIndex(({ message }) => {
    bytes += message.length
    return bytes > limitBytes
  })
  return rows.slice(0, first < 0 ? requestLimitEnvelopes : Math.max(1, first))
}

/** An entry after the node took a part of it; `nodeNs` has one time for each of the part's rows. */
export const afterPart = ({ entry, rows }: Part, nodeNs: readonly bigint[]): OutboxEntry => {
  const times = new Map(rows.map((row, at) => [row, nodeNs[at] ?? 0n]))
  const { number, record } = entry
  return {
    number,
    record: {
      ...record,
      rows: record.rows.map((row) => {
        const received = times.get(row)
        return received === undefined
          ? row
          : { ...row, message: new Uint8Array(), nodeNs: received }
      }),
    },
  }
}

/** Whether the node has all of it. */
export const isComplete = ({ record }: OutboxEntry): boolean => record.rows.every(isPublished)

/** When the node received it first; undefined if there was nobody to send it to. */
export const receivedNs = ({ record }: OutboxEntry): bigint | undefined => {
  const times = record.rows.filter(isPublished).map(({ nodeNs }) => nodeNs)
  return times.length === 0 ? undefined : times.reduce((least, ns) => (ns < least ? ns : least))
}
