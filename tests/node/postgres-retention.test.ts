/**
 * Retention of several processes on one PostgreSQL: nothing that is too old stays, nothing else goes,
 * whatever the clocks of their machines say, and nobody waits for it.
 */
import pg from 'pg'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { GroupCommitStore, StoreOptions } from '../../node/src/store/group-commit.ts'
import { openPostgresStore } from '../../node/src/store/postgres/postgres.ts'
import { schemaSteps } from '../../node/src/store/postgres/schema.ts'
import { serveInProcess } from '../../node/src/testing.ts'
import { aDatabase } from '../support/postgres.ts'
import {
  dayNs,
  everything,
  inboxEnvelope,
  minuteNs,
  type NodeClient,
  nodeClient,
  register,
  type TestInstallation,
} from './support.ts'

const retentionNs = 30n * dayNs
const dayMs = 86_400_000

let url: string
let database: pg.Client
const open: (() => Promise<void>)[] = []

beforeEach(async () => {
  url = await aDatabase()
})
afterEach(async () => {
  vi.useRealTimers()
  await Promise.all(open.splice(0).map((close) => close()))
})

/** A process on the database. */
async function start(options: Partial<StoreOptions> = {}) {
  const store = await openPostgresStore({ url, retentionNs, ...options })
  const node = serveInProcess(store)
  open.push(() => node.close())
  return { store, client: nodeClient(node.transport) }
}

async function connect() {
  database = new pg.Client({ connectionString: url })
  await database.connect()
  open.push(() => database.end())
}

/** Envelopes in an inbox that are this many days old. */
async function age(inbox: string, count: number, days: number) {
  await database.query(
    `WITH topic AS (SELECT id FROM topic WHERE name = $1)
     INSERT INTO envelope (topic, sequence, node_ns, size, digest, message)
     SELECT topic.id, 1000000 * $3 + n, (extract(epoch FROM now()) * 1e9)::bigint - $3 * 86400000000000 + n,
       1, sha256(($3 || ' ' || n)::text::bytea), 'x'
     FROM topic, generate_series(1, $2::int) AS n`,
    [inbox, count, days],
  )
}

const countOld = async (): Promise<number> => {
  const { rows } = await database.query(
    `SELECT count(*)::int AS count FROM envelope WHERE message = 'x'`,
  )
  return rows[0]?.count
}

async function anInbox({ store, client }: { store: GroupCommitStore; client: NodeClient }) {
  const bob = await register(client, 'bob', store.clock())
  await client.publish({ envelopes: [inboxEnvelope(bob, 'new')] })
  return bob
}

const read = async (store: GroupCommitStore, { inbox }: TestInstallation) =>
  (await store.page([{ topic: inbox, afterSequence: 0n }], everything)).envelopes

/** The clock of this machine, and of nothing else, is set. */
function setMachineClock(aheadMs: number): void {
  vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + aheadMs })
}

test('processes that sweep at once leave nothing that is too old, and nothing new goes', async () => {
  const processes = await Promise.all([start(), start(), start()])
  const bob = await anInbox(processes[0])
  await connect()
  await age(bob.inbox, 30_000, 40)
  await age(bob.inbox, 10, 20)
  await Promise.all(processes.map(({ store }) => store.sweep()))
  // Who was not the one that dropped had nothing to wait for; the last one drops all.
  expect(await countOld()).toBe(10)
  expect(await read(processes[1].store, bob)).toHaveLength(11)
})

test('a sweep waits for rows, and the process publishes all the same', async () => {
  const process = await start()
  const bob = await anInbox(process)
  await connect()
  await age(bob.inbox, 10, 40)
  await database.query('BEGIN')
  await database.query(`SELECT 1 FROM envelope WHERE message = 'x' FOR UPDATE`)
  const sweeping = process.store.sweep()
  await expect
    .poll(async () => {
      const { rows } = await database.query(
        'SELECT count(*)::int AS n FROM pg_locks WHERE NOT granted',
      )
      return rows[0]?.n
    })
    .toBeGreaterThan(0)
  await process.client.publish({ envelopes: [inboxEnvelope(bob, 'meanwhile')] })
  // Another process does not even begin.
  await (await start()).store.sweep()
  await database.query('ROLLBACK')
  await sweeping
  expect(await countOld()).toBe(0)
})

test.each([61, -61])(
  'a machine whose clock is %i days ahead drops nothing, and says so',
  async (days) => {
    const right = await start()
    const bob = await anInbox(right)
    await connect()
    await age(bob.inbox, 10, 20)
    await age(bob.inbox, 10, 40)
    setMachineClock(days * dayMs)
    const wrong = await start()
    await expect(wrong.store.sweep()).rejects.toThrow(/clocks .* differ/)
    expect(await countOld()).toBe(20)
    vi.useRealTimers()
    // Nobody was taken for gone, and a process with a right clock does what is due.
    await right.client.publish({ envelopes: [inboxEnvelope(bob, 'later')] })
    await right.store.sweep()
    expect(await countOld()).toBe(10)
  },
)

test('a database and a machine whose clocks are set wrong together drop nothing', async () => {
  const first = await start()
  const bob = await anInbox(first)
  await connect()
  await first.store.sweep()
  await age(bob.inbox, 10, 20)
  // As if all of it had happened 61 days ago: the clocks are that far ahead of what they were.
  const agoNs = 61n * dayNs
  const shift = (text: string) => database.query(text, [agoNs])
  await shift('UPDATE envelope SET node_ns = node_ns - $1::bigint')
  await shift('UPDATE writer SET newest_ns = newest_ns - $1::bigint')
  const { rows } = await database.query(`SELECT value FROM meta WHERE name = 'swept_ns'`)
  const value = Buffer.alloc(8)
  value.writeBigInt64BE(rows[0]?.value.readBigInt64BE() - agoNs)
  await database.query(`UPDATE meta SET value = $1 WHERE name = 'swept_ns'`, [value])
  const again = await start()
  await expect(again.store.sweep()).rejects.toThrow(/61 days ahead/)
  expect(await countOld()).toBe(10)
})

test('the newest time stays known when the process that gave it out is forgotten', async () => {
  const gone = await start()
  const bob = await anInbox(gone)
  const left = await start()
  await connect()
  // The clock of the server was 61 days ahead once, and is right now.
  const aheadNs = left.store.clock() + 61n * dayNs
  await database.query(
    'UPDATE writer SET newest_ns = $1, seen_ns = seen_ns - $2 WHERE number > 0',
    [aheadNs, 8n * dayNs],
  )
  await left.store.sweep()
  const { rows } = await database.query('SELECT count(*)::int AS count FROM writer')
  expect(rows).toEqual([{ count: 1 }])
  const carol = await register(left.client, 'carol', left.store.clock())
  for (const one of [bob, carol]) {
    const { receipts } = await left.client.publish({ envelopes: [inboxEnvelope(one, 'later')] })
    expect(receipts[0]?.nodeNs).toBeGreaterThan(aheadNs)
  }
})

test('a sweep that fails by itself is told, each time', async () => {
  vi.useFakeTimers({
    toFake: ['Date', 'setInterval', 'clearInterval'],
    now: Date.now() + 61 * dayMs,
  })
  let told = Promise.withResolvers<string>()
  await start({ onSweepFailure: (reason) => told.resolve(reason) })
  for (let n = 0; n < 2; n += 1) {
    vi.advanceTimersByTime(60_000)
    expect(await told.promise).toMatch(/clocks .* differ/)
    told = Promise.withResolvers()
  }
})

test.each([1, 2])('a database of schema %i gets what it lacks', async (version) => {
  await connect()
  await database.query('CREATE TABLE meta (name text PRIMARY KEY, value bytea NOT NULL)')
  for (const step of schemaSteps.slice(0, version)) await database.query(step)
  await database.query(`INSERT INTO meta (name, value) VALUES ('version', $1)`, [
    Buffer.of(version),
  ])
  await database.query(
    `INSERT INTO envelope (topic, sequence, node_ns, size, digest, message)
     VALUES (-1, 1, 1, 700, 'a', repeat('x', 700)::bytea), (-2, 1, 1, 5000, 'a', NULL)`,
  )
  const process = await start()
  // Of the second only its digest is kept.
  expect((await process.store.occupancy()).usedBytes).toBe(700 + 2 * 256)
  const bob = await anInbox(process)
  await age(bob.inbox, 10, 40)
  await process.store.sweep()
  expect(await countOld()).toBe(0)
  const { rows } = await database.query(
    `SELECT indexname FROM pg_indexes WHERE tablename = 'envelope' ORDER BY indexname`,
  )
  expect(rows.map(({ indexname }) => indexname)).toEqual([
    'envelope_digest',
    'envelope_pkey',
    'envelope_time',
  ])
})

test('node time is the database’s, whatever the clock of the machine says or is set to', async () => {
  const nowNs = BigInt(Date.now()) * 1_000_000n
  const isNow = (timeNs: bigint) => {
    expect(timeNs).toBeGreaterThan(nowNs - minuteNs)
    expect(timeNs).toBeLessThan(nowNs + 5n * minuteNs)
  }
  setMachineClock(61 * dayMs)
  const { store, client } = await start()
  isNow((await client.getInfo({})).nodeNs)
  const bob = await register(client, 'bob', store.clock())
  const { receipts } = await client.publish({ envelopes: [inboxEnvelope(bob, 'a')] })
  isNow(receipts[0]?.nodeNs ?? 0n)
  vi.setSystemTime(Date.now() - 200 * dayMs)
  isNow((await client.getInfo({})).nodeNs)
})

test('a process that was taken for gone goes on, and others hear of what it stores', async () => {
  const [one, two] = await Promise.all([start(), start()])
  const bob = await anInbox(one)
  await connect()
  await database.query('DELETE FROM writer')
  const heard = Promise.withResolvers<bigint>()
  const stop = two.store.watch(
    ({ envelopes }) => {
      for (const { topic, sequence } of envelopes) if (topic === bob.inbox) heard.resolve(sequence)
    },
    { topic: (name) => name === bob.inbox, installation: () => false },
  )
  const { receipts } = await one.client.publish({ envelopes: [inboxEnvelope(bob, 'again')] })
  expect(await heard.promise).toBe(receipts[0]?.sequence)
  stop()
  const { rows } = await database.query('SELECT number::int FROM writer')
  // Numbers go on after those of its two transactions.
  expect(rows).toEqual([{ number: 3 }])
})

test('a process that is not seen for a week is forgotten, and one that only stores is not', async () => {
  const one = await start()
  await start()
  await connect()
  await database.query('UPDATE writer SET seen_ns = seen_ns - $1::bigint', [8n * dayNs])
  await anInbox(one)
  await one.store.sweep()
  const { rows } = await database.query('SELECT count(*)::int AS count FROM writer')
  expect(rows).toEqual([{ count: 1 }])
})

test('what the data takes is what all processes stored, without what was dropped', async () => {
  const one = await start()
  const two = await start()
  await connect()
  const before = async () => (await one.store.occupancy()).usedBytes
  expect(await before()).toBe(0)
  const bob = await anInbox(one)
  const first = await before()
  for (const { client } of [one, two]) {
    const used = await before()
    const envelope = inboxEnvelope(bob, `of ${used}`, 3_000)
    await client.publish({ envelopes: [envelope] })
    expect(await before()).toBe(used + envelope.message.length + 256)
    // What is there already is stored once.
    await client.publish({ envelopes: [envelope] })
    expect(await before()).toBe(used + envelope.message.length + 256)
  }
  // A process that is gone takes nothing with it.
  await database.query(`UPDATE writer SET seen_ns = 0 WHERE id = (SELECT max(id) FROM writer)`)
  const used = await before()
  await one.store.sweep()
  expect(await before()).toBe(used)
  await database.query(
    `UPDATE envelope SET node_ns = (extract(epoch FROM now() - interval '30 days 1 minute') * 1e9)::bigint
     WHERE size > 2000`,
  )
  await one.store.sweep()
  expect(await before()).toBe(first)
})
