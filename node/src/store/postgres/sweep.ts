/** Drops old data, a little at a time (docs/protocol.md sections 5 and 11). */
import type pg from 'pg'
import { claimMemoryNs } from '../../../../src/protocol/limits.ts'
import { dayNs, minuteNs } from '../../clock.ts'
import { oneTimeLifetimeNs, uploadMemoryNs } from '../lifetimes.ts'
import { sweepLimit } from '../operations.ts'
import { bytesOf } from '../rows.ts'
import { runTransaction, type Session } from './session.ts'

/**
 * How long the batch list keeps a transaction; a process that is further behind reads its topics
 * again.
 */
const batchMemoryNs = 5n * minuteNs
/** A process not seen for so long is gone; one that only slept has to be started again. */
const writerMemoryNs = 7n * dayNs
/** Envelopes are stored in the order of time, except where transactions overlap. */
const overlapNs = 60n * minuteNs

const byAge = [
  `DELETE FROM claim WHERE ctid = ANY (ARRAY(
     SELECT ctid FROM claim WHERE claimed_ns <= $1 ORDER BY claimed_ns LIMIT ${sweepLimit}))
   RETURNING 1`,
  `DELETE FROM prekey WHERE ctid = ANY (ARRAY(
     SELECT ctid FROM prekey WHERE NOT is_fallback AND stored_ns <= $1
     ORDER BY stored_ns LIMIT ${sweepLimit} FOR UPDATE SKIP LOCKED)) RETURNING 1`,
  `DELETE FROM batch WHERE ctid = ANY (ARRAY(
     SELECT ctid FROM batch WHERE stored_ns <= $1 ORDER BY stored_ns LIMIT ${sweepLimit}))
   RETURNING 1`,
] as const

/** Drops envelopes of one kind of topic between two times; the topics keep their latest sequences. */
const dropEnvelopes = `
DELETE FROM envelope WHERE ctid = ANY (ARRAY(
  SELECT envelope.ctid FROM envelope JOIN topic ON topic.id = envelope.topic
  WHERE envelope.node_ns > $1 AND envelope.node_ns <= $2 AND topic.name LIKE $3
  LIMIT ${sweepLimit})) RETURNING 1`

/** @returns whether there is more. */
export const sweep = (
  pool: pg.Pool,
  writer: bigint,
  nowNs: bigint,
  retentionNs: bigint,
): Promise<boolean> =>
  runTransaction(pool, async (session) => {
    await session.query('UPDATE writer SET seen_ns = $2 WHERE id = $1', [writer, nowNs])
    await session.query('DELETE FROM writer WHERE seen_ns <= $1', [nowNs - writerMemoryNs])
    const ages = [claimMemoryNs, oneTimeLifetimeNs, batchMemoryNs]
    let isMore = false
    for (const [at, text] of byAge.entries()) {
      const dropped = await session.query(text, [nowNs - (ages[at] ?? 0n)])
      isMore ||= dropped.length === sweepLimit
    }
    const messages = await drop(session, 'message', nowNs - retentionNs)
    const uploads = await drop(session, 'prekey', nowNs - uploadMemoryNs)
    return isMore || messages || uploads
  })

/** A mark of how far the sweep came saves reading what stays for ever again and again. */
async function drop(session: Session, kind: string, untilNs: bigint): Promise<boolean> {
  const name = `retention_mark_${kind}`
  const [row] = await session.query('SELECT value FROM meta WHERE name = $1', [name])
  const mark = row === undefined ? 0n : Buffer.from(bytesOf(row, 'value')).readBigInt64BE()
  const dropped = await session.query(dropEnvelopes, [mark - overlapNs, untilNs, `${kind}-%`])
  if (dropped.length === sweepLimit) return true
  if (untilNs > mark) {
    const value = Buffer.alloc(8)
    value.writeBigInt64BE(untilNs)
    await session.query(
      `INSERT INTO meta (name, value) VALUES ($1, $2)
       ON CONFLICT (name) DO UPDATE SET value = excluded.value`,
      [name, value],
    )
  }
  return false
}
