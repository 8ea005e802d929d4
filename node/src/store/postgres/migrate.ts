/** Migrates the tables at start, one process after another, and reads the node id. */
import { randomBytes } from 'node:crypto'
import type pg from 'pg'
import { nodeIdBytes } from '../../../../src/protocol/limits.ts'
import { bytesOf, required } from '../rows.ts'
import { schemaSteps } from './schema.ts'
import { runTransaction, type Session } from './session.ts'

// Any number works, as long as all releases use the same.
const lockKey = 7_025_381_906n

/** @returns the node id. @throws Error if the database was made by a newer release. */
export const migrate = (pool: pg.Pool): Promise<Uint8Array> =>
  runTransaction(pool, async (session) => {
    // Held until the end of the transaction: processes that start at once migrate one after another.
    await session.query('SELECT pg_advisory_xact_lock($1)', [lockKey])
    await session.query(
      'CREATE TABLE IF NOT EXISTS meta (name text PRIMARY KEY, value bytea NOT NULL)',
    )
    const version = await readVersion(session)
    if (version > schemaSteps.length) {
      throw new Error('the data was written by a newer release of padlock-node; update it')
    }
    for (const step of schemaSteps.slice(version)) {
      for (const statement of step.split(/;\s*$/m)) {
        if (statement.trim() !== '') await session.query(statement)
      }
    }
    await session.query(
      `INSERT INTO meta (name, value) VALUES ('version', $1)
       ON CONFLICT (name) DO UPDATE SET value = excluded.value`,
      [Buffer.of(schemaSteps.length)],
    )
    await session.query(
      `INSERT INTO meta (name, value) VALUES ('node_id', $1) ON CONFLICT (name) DO NOTHING`,
      [randomBytes(nodeIdBytes)],
    )
    const [row] = await session.query(`SELECT value FROM meta WHERE name = 'node_id'`)
    return Uint8Array.from(bytesOf(required(row), 'value'))
  })

async function readVersion(session: Session): Promise<number> {
  const [row] = await session.query(`SELECT value FROM meta WHERE name = 'version'`)
  return row === undefined ? 0 : (bytesOf(row, 'value')[0] ?? 0)
}
