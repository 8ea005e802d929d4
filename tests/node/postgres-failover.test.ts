/** A PostgreSQL that is not the one it was: it only reads, or it lost what it had acknowledged. */
import pg from 'pg'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createReadiness } from '../../node/src/observe/readiness.ts'
import { openPostgresStore } from '../../node/src/store/postgres/postgres.ts'
import { nameOf } from '../../node/src/store/postgres/session.ts'
import { serveInProcess } from '../../node/src/testing.ts'
import { aDatabase } from '../support/postgres.ts'
import { inboxEnvelope, nodeClient, refusalOf, register } from './support.ts'

let url: string
let database: pg.Client
const open: (() => Promise<void>)[] = []

beforeEach(async () => {
  url = await aDatabase()
  database = new pg.Client({ connectionString: url })
  await database.connect()
})
afterEach(async () => {
  await Promise.all(open.splice(0).map((close) => close()))
  await database.end()
})

async function start() {
  const store = await openPostgresStore({ url, connections: 4 })
  const node = serveInProcess(store)
  open.push(() => node.close())
  return { store, client: nodeClient(node.transport) }
}

/** New sessions of nodes are with a server that only reads, or that writes. */
async function become(what: 'replica' | 'primary'): Promise<void> {
  const name = new URL(url).pathname.slice(1)
  const readOnly = what === 'replica' ? 'on' : 'off'
  await database.query(`ALTER DATABASE "${name}" SET default_transaction_read_only = ${readOnly}`)
}

const cutNodes = () =>
  database.query(
    `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
     WHERE datname = current_database() AND application_name LIKE 'padlock-node%'`,
  )

test('a node on a server that only reads is not ready, and finds the one that writes by itself', async () => {
  const { store, client } = await start()
  const readiness = createReadiness()
  readiness.serve(store)
  const bob = await register(client, 'bob', store.clock())
  await become('replica')
  await cutNodes()
  const letter = [inboxEnvelope(bob, 'a')]
  expect(await refusalOf(client.publish({ envelopes: letter }))).toMatchObject({
    code: 'unavailable',
  })
  expect(await readiness.isReady()).toBe(false)
  // Many readers: every connection of the pool leads to the replica.
  await Promise.all(Array.from({ length: 8 }, () => store.stock(bob.id).catch(() => {})))
  await become('primary')
  // The old server lives on, and so do the connections to it.
  await client.publish({ envelopes: letter })
  expect(await readiness.isReady()).toBe(true)
})

test('a statement has the same name in every process, whatever was asked before', () => {
  const one = nameOf('SELECT 1')
  expect(one).toMatch(/^padlock_[0-9a-f]{40}$/)
  expect(nameOf('SELECT 2')).not.toBe(one)
  expect(nameOf('SELECT 1')).toBe(one)
  // That of its text, not of its turn: SHA-256 of it.
  expect(one).toBe('padlock_e004ebd5b5532a4b85984a62f8ad48a81aa3460c')
})
