/** A real fail-over: the server dies, and its replica takes over, with everything or without the last second. */

import pg from 'pg'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { ensurePostgres, type Postgres, startReplica } from '../../scripts/postgres.ts'
import { until } from '../support/until.ts'
import { startPostgresNode } from './postgres-node.ts'
import {
  everything,
  inboxEnvelope,
  type NodeClient,
  register,
  type TestInstallation,
} from './support.ts'

// A server of somebody else is not copied, and does not die.
const replicaTest = test.skipIf(process.env.DATABASE_URL)

const open: (() => Promise<void>)[] = []
let primary: Postgres
let replica: Postgres
/** The database, by both servers. */
let url: string

beforeEach(async () => {
  primary = await ensurePostgres()
  open.push(() => primary.close())
  const database = await primary.createDatabase()
  replica = await startReplica(primary)
  open.push(() => replica.close())
  url = database.replace(new URL(database).host, `${hostOf(primary)},${hostOf(replica)}`)
})
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close()
})

const hostOf = (server: Postgres): string => new URL(server.url).host

async function ask(server: Postgres, sql: string): Promise<unknown> {
  const client = new pg.Client({ connectionString: server.url })
  await client.connect()
  try {
    const { rows } = await client.query({ text: sql, rowMode: 'array' })
    return rows[0]?.[0]
  } finally {
    await client.end()
  }
}

const start = () => startPostgresNode({ url }, open)

/** As clients do it: again, until it is stored. */
const publish = async (
  client: NodeClient,
  bob: TestInstallation,
  name: string,
): Promise<bigint> => {
  const envelopes = [inboxEnvelope(bob, name)]
  let sequence = 0n
  await until(async () => {
    const answer = await client.publish({ envelopes }).catch(() => undefined)
    sequence = answer?.receipts[0]?.sequence ?? 0n
    return sequence > 0n
  })
  return sequence
}

replicaTest(
  'a replica that has everything takes over: the node goes on by itself, and nothing is lost',
  async () => {
    const { store, client } = await start()
    const bob = await register(client, 'bob', store.clock())
    expect(await publish(client, bob, 'a')).toBe(1n)
    const written = await ask(primary, 'SELECT pg_current_wal_lsn()::text')
    await until(async () =>
      Boolean(await ask(replica, `SELECT pg_last_wal_replay_lsn() >= '${written}'`)),
    )
    await primary.stop('immediate')
    expect(await ask(replica, 'SELECT pg_promote()')).toBe(true)
    expect(await publish(client, bob, 'b')).toBe(2n)
    expect(await store.takesWrites()).toBe(true)
    const { envelopes } = await store.page([{ topic: bob.inbox, afterSequence: 0n }], everything)
    expect(envelopes.map(({ sequence }) => sequence)).toEqual([1n, 2n])
  },
)

replicaTest(
  'a replica that lost an acknowledged message takes over: the data gets a new node id, and nodes end',
  async () => {
    const { store, client, lost } = await start()
    const bob = await register(client, 'bob', store.clock())
    await publish(client, bob, 'a')
    const written = await ask(primary, 'SELECT pg_current_wal_lsn()::text')
    await until(async () =>
      Boolean(await ask(replica, `SELECT pg_last_wal_replay_lsn() >= '${written}'`)),
    )
    await replica.stop('fast')
    expect(await publish(client, bob, 'lost')).toBe(2n)
    await primary.stop('immediate')
    await replica.start()
    expect(await ask(replica, 'SELECT pg_promote()')).toBe(true)
    await until(async () => {
      await client.publish({ envelopes: [inboxEnvelope(bob, 'b')] }).catch(() => undefined)
      return (await Promise.race([lost, undefined])) !== undefined
    })
    expect(await lost).toMatch(/lost transactions/)
    const again = await start()
    expect(Buffer.from(again.store.nodeId)).not.toEqual(Buffer.from(store.nodeId))
    expect(await publish(again.client, bob, 'b')).toBe(2n)
  },
)
