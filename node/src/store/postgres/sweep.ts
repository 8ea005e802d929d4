/**
 * Drops old data, a little at a time (docs/protocol.md sections 5 and 11). One process does it at a
 * time, by the database's clock, in transactions that lock nothing but what they drop.
 */
import type pg from 'pg'
import { claimMemoryNs } from '../../../../src/protocol/limits.ts'
import { dayNs, minuteNs, systemClock } from '../../clock.ts'
import type { ClockWatch } from '../clock-watch.ts'
import { oneTimeLifetimeNs, uploadMemoryNs } from '../lifetimes.ts'
import { sweepLimit } from '../operations.ts'
import { booleanOf, bytesOf, integerOf, required } from '../rows.ts'
import { readTimes } from './database-clock.ts'
import { noteDropped } from './occupancy.ts'
import { runTransaction, type Session } from './session.ts'
import type { Writer } from './writer.ts'

/**
 * How long the batch list keeps a transaction; a process that is further behind reads its topics
 * again.
 */
const batchMemoryNs = 5n * minuteNs
/** Envelopes are stored in the order of time, except where transactions overlap. */
const overlapNs = 60n * minuteNs
/** Clocks further apart than this: one of them is wrong, and nobody knows which. */
const clocksApartNs = dayNs
// Any number works, as long as all releases use the same.
const lockKey = 7_025_381_907n
/** When old data was dropped last. */
const sweptName = 'swept_ns'

const byAge = [
  `DELETE FROM claim WHERE ctid = ANY (ARRAY(
     SELECT ctid FROM claim WHERE claimed_ns <= $1 ORDER BY claimed_ns LIMIT ${sweepLimit}
     FOR UPDATE SKIP LOCKED)) RETURNING 1`,
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
  ORDER BY envelope.node_ns LIMIT ${sweepLimit})) RETURNING node_ns, coalesce(octet_length(message), 0)::bigint AS size`

/**
 * @param givenNs the time; if absent, the database's.
 * @returns whether there is more for this process to drop.
 * @throws Error if the database's clock and this machine's are too far apart, or the database's ran away.
 */
export async function sweep(
  pool: pg.Pool,
  writer: Writer,
  givenNs: bigint | undefined,
  retentionNs: bigint,
  watch: ClockWatch,
): Promise<boolean> {
  await writer.beat(pool)
  return runTransaction(pool, async (session) => {
    // Another process that sweeps drops everything; this one would wait for each of its rows.
    const [row] = await session.query('SELECT pg_try_advisory_xact_lock($1) AS got', [lockKey])
    if (!booleanOf(required(row), 'got')) return false
    const nowNs = givenNs ?? (await believedClock(session, watch))
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
}

async function believedClock(session: Session, watch: ClockWatch): Promise<bigint> {
  const { nowNs, newestNs } = await readTimes(session)
  const apartNs = nowNs - systemClock()
  if (apartNs > clocksApartNs || apartNs < -clocksApartNs) {
    throw new Error('the clocks of this machine and of the database differ by more than a day')
  }
  // Both may have been set wrong together.
  const sweptNs = (await readMark(session, sweptName)) ?? newestNs
  watch.assertBelieved(nowNs, sweptNs > 0n ? sweptNs : nowNs)
  await writeMark(session, sweptName, nowNs)
  return nowNs
}

async function readMark(session: Session, name: string): Promise<bigint | undefined> {
  const [row] = await session.query('SELECT value FROM meta WHERE name = $1', [name])
  return row === undefined ? undefined : Buffer.from(bytesOf(row, 'value')).readBigInt64BE()
}

async function writeMark(session: Session, name: string, ns: bigint): Promise<void> {
  const value = Buffer.alloc(8)
  value.writeBigInt64BE(ns)
  await session.query(
    `INSERT INTO meta (name, value) VALUES ($1, $2)
     ON CONFLICT (name) DO UPDATE SET value = excluded.value`,
    [name, value],
  )
}

/** A mark of how far the sweep came saves reading what stays for ever again and again. */
async function drop(session: Session, kind: string, untilNs: bigint): Promise<boolean> {
  const name = `retention_mark_${kind}`
  const mark = (await readMark(session, name)) ?? 0n
  const dropped = await session.query(dropEnvelopes, [mark - overlapNs, untilNs, `${kind}-%`])
  const isMore = dropped.length === sweepLimit
  if (dropped.length > 0) await noteDropped(session, dropped)
  // Everything before the newest of the dropped is gone: they went in the order of time.
  const reachedNs = isMore ? newestOf(dropped.map((one) => integerOf(one, 'node_ns'))) : untilNs
  if (reachedNs > mark) await writeMark(session, name, reachedNs)
  return isMore
}

const newestOf = (times: readonly bigint[]): bigint =>
  times.reduce((newest, time) => (time > newest ? time : newest), 0n)
