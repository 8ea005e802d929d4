/**
 * How much all envelopes take, as sums that each transaction keeps: to add up the rows would read the
 * whole table, and the size of the files does not shrink when rows go.
 */
import type pg from 'pg'
import { integerOf, type Row, required } from '../rows.ts'
import type { Occupancy } from '../store.ts'
import { runStatement, type Session } from './session.ts'

/** What a row takes besides its message: its columns, and its places in three indexes. */
const rowBytes = 256

const bytesOf = (sizes: readonly bigint[]): bigint =>
  sizes.reduce((sum, size) => sum + size, BigInt(sizes.length * rowBytes))

/** What rows of these sizes take. */
export const bytesStored = (sizes: readonly number[]): bigint => bytesOf(sizes.map(BigInt))

/** To be called in the transaction that dropped these rows, with their sizes. */
export async function noteDropped(session: Session, dropped: readonly Row[]): Promise<void> {
  await session.query('UPDATE occupancy SET dropped_bytes = dropped_bytes + $1', [
    bytesOf(dropped.map((row) => integerOf(row, 'size'))),
  ])
}

export async function readOccupancy(pool: pg.Pool): Promise<Occupancy> {
  const [row] = await runStatement(
    pool,
    `SELECT (SELECT before_bytes - dropped_bytes FROM occupancy)
       + coalesce(sum(stored_bytes), 0)::bigint AS used FROM writer`,
  )
  return { usedBytes: Math.max(0, Number(integerOf(required(row), 'used'))) }
}
