/**
 * The store that these tests run on: all of them pass the same ones. `vite.config.ts` runs them once for each,
 * and says which it is by `PADLOCK_TEST_STORE`: `sqlite`; `postgres`; or `postgres-poll`, where two processes
 * share the database, subscribers are at the one that nobody publishes to, and it learns what to tell them by
 * polling.
 */
import { randomBytes } from 'node:crypto'
import type { Transport } from '@connectrpc/connect'
import pg from 'pg'
import { afterAll, inject } from 'vitest'
import { openPostgresStore } from '../../../node/src/store/postgres/postgres.ts'
import {
  createInProcessNode,
  type InProcessNode,
  type InProcessNodeOptions,
  serveInProcess,
} from '../../../node/src/testing.ts'

/** A node in this process on an empty store, which goes with the test. */
export async function openNode(options: InProcessNodeOptions): Promise<InProcessNode> {
  const name = process.env.PADLOCK_TEST_STORE
  if (name === 'sqlite') return createInProcessNode(options)
  const url = await emptyTables()
  if (name === 'postgres') return openOn(url, options, 'notify')
  if (name !== 'postgres-poll') {
    throw new Error('PADLOCK_TEST_STORE says sqlite, postgres or postgres-poll')
  }
  const publishing = await openOn(url, options, 'poll')
  return readApart(publishing, await openOn(url, options, 'poll'))
}

const openOn = async (url: string, options: InProcessNodeOptions, doorbell: 'notify' | 'poll') => {
  const chainIds = options.chains?.ids ?? []
  return serveInProcess(await openPostgresStore({ ...options, url, chainIds, doorbell }), options)
}

/** Subscriptions at one node, and everything else at the other. */
function readApart(publishing: InProcessNode, reading: InProcessNode): InProcessNode {
  const transport: Transport = {
    unary: publishing.transport.unary.bind(publishing.transport),
    stream: reading.transport.stream.bind(reading.transport),
  }
  return {
    ...publishing,
    transport,
    service: reading.service,
    async close() {
      await reading.close()
      await publishing.close()
    },
  }
}

interface Emptied {
  readonly url: string
  readonly admin: pg.Client
}
let made: Promise<Emptied> | undefined

/**
 * The tables of this file, without rows: making a database, or only its tables, for each test takes longer than
 * all that most tests do. They go with the database.
 */
async function emptyTables(): Promise<string> {
  made ??= makeSchema()
  const { url, admin } = await made
  const { rows } = await admin.query<{ name: string }>(
    "SELECT quote_ident(tablename) AS name FROM pg_tables WHERE schemaname = current_schema() AND tablename <> 'meta'",
  )
  const deletions = rows.map(({ name }) => `DELETE FROM ${name}`)
  if (rows.length > 0) {
    // What a new database has, and nothing that a sweep noted.
    deletions.push("DELETE FROM meta WHERE name NOT IN ('version', 'node_id')")
    await admin.query(deletions.join(';'))
  }
  return url
}

async function makeSchema(): Promise<Emptied> {
  const url = new URL(inject('contractDatabase'))
  const schema = `test_${randomBytes(8).toString('hex')}`
  url.searchParams.set('options', `-c search_path=${schema}`)
  const admin = new pg.Client({ connectionString: url.href })
  await admin.connect()
  await admin.query(`CREATE SCHEMA ${schema}`)
  return { url: url.href, admin }
}

afterAll(async () => {
  await (await made)?.admin.end()
})
