/**
 * A PostgreSQL database as one read-only transaction sees it, while nodes keep running. Rows come by
 * cursor, a few hundred at a time.
 */
import pg from 'pg'
import { nodeIdBytes } from '../../../../src/protocol/limits.ts'
import { connectToAny } from '../postgres/hosts.ts'
import { schemaSteps } from '../postgres/schema.ts'
import type { Row } from '../rows.ts'
import { type CheckSource, chunkRows, type SelfDescription } from './source.ts'

/** @throws Error if the database cannot be reached. */
export async function openPostgresSource(url: string): Promise<CheckSource> {
  const types = new pg.TypeOverrides()
  types.setTypeParser(pg.types.builtins.INT8, BigInt)
  const client = await connectToAny(url, {
    types,
    application_name: 'padlock-check',
    connectionTimeoutMillis: 5_000,
  })
  const query = async (text: string): Promise<readonly Row[]> =>
    (await client.query<Row>(text)).rows
  await query(`SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0;
    SET cursor_tuple_fraction = 1.0`)
  await query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY')
  return {
    dropsInAnyOrder: true,
    describe: () => describe(query),
    async *rows(statement) {
      await query(`DECLARE checked NO SCROLL CURSOR FOR ${statement}`)
      for (;;) {
        const chunk = await query(`FETCH ${chunkRows} FROM checked`)
        if (chunk.length === 0) break
        yield chunk
      }
      await query('CLOSE checked')
    },
    async close() {
      await client.end()
    },
  }
}

async function describe(
  query: (text: string) => Promise<readonly Row[]>,
): Promise<SelfDescription> {
  const [table] = await query(`SELECT to_regclass('meta') IS NOT NULL AS is_there`)
  const values = new Map<unknown, unknown>()
  if (table?.is_there === true) {
    const rows = await query(`SELECT name, value FROM meta WHERE name IN ('version', 'node_id')`)
    for (const { name, value } of rows) values.set(name, value)
  }
  const version = values.get('version')
  const nodeId = values.get('node_id')
  const schemaVersion = version instanceof Uint8Array ? (version[0] ?? 0) : 0
  const problems: string[] = []
  if (schemaVersion === 0) problems.push('the database holds no data of a node')
  else if (schemaVersion > schemaSteps.length) {
    problems.push('the data was written by a newer release; check it with that')
  } else if (schemaVersion < schemaSteps.length) {
    problems.push('the data is of an older release; a node brings it forward')
  }
  const isNodeId = nodeId instanceof Uint8Array && nodeId.length === nodeIdBytes
  return { schemaVersion, problems, nodeId: isNodeId ? nodeId : undefined }
}
