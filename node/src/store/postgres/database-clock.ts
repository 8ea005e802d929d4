/** The database's clock, which all processes share. */
import { integerOf, required } from '../rows.ts'
import type { Session } from './session.ts'

/** The time at this moment, not at the start of the transaction, in nanoseconds. */
export const clockText = '(extract(epoch FROM clock_timestamp()) * 1000000000)::bigint'

/** The time, and the newest `node_ns` that any process gave out before. */
export interface Reading {
  readonly nowNs: bigint
  readonly newestNs: bigint
}

export async function readTimes(session: Session): Promise<Reading> {
  const [row] = await session.query(
    `SELECT ${clockText} AS now_ns, (SELECT coalesce(max(newest_ns), 0) FROM writer) AS newest_ns`,
  )
  const times = required(row)
  return { nowNs: integerOf(times, 'now_ns'), newestNs: integerOf(times, 'newest_ns') }
}

export async function readClock(session: Session): Promise<bigint> {
  const [row] = await session.query(`SELECT ${clockText} AS now_ns`)
  return integerOf(required(row), 'now_ns')
}
