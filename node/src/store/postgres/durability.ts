/** Whether a server keeps what it acknowledges. */
import type pg from 'pg'
import { textOf } from '../rows.ts'
import { runStatement } from './session.ts'

/** Acknowledged data must be on disk: a server that answers earlier is refused. */
export async function checkDurability(pool: pg.Pool): Promise<void> {
  for (const name of ['fsync', 'synchronous_commit', 'full_page_writes']) {
    const [row] = await runStatement(pool, 'SELECT current_setting($1, true) AS value', [name])
    if (row?.value === null || row === undefined) continue
    if (textOf(row, 'value') === 'off') {
      throw new Error(`the database has ${name} = off, and would lose what it acknowledged`)
    }
  }
}
