/** The database's clock, which all processes share. */
import { integerOf, required } from '../rows.ts'
import type { Session } from './session.ts'

/** The time at this moment, not at the start of the transaction, in nanoseconds. */
export const clockText = '(extract(epoch FROM clock_timestamp()) * 1000000000)::bigint'

export async function readClock(session: Session): Promise<bigint> {
  const [row] = await session.query(`SELECT ${clockText} AS now_ns`)
  return integerOf(required(row), 'now_ns')
}
