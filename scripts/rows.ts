/**
 * What millions of rows cost on PostgreSQL: `node scripts/rows.ts --rows 10000000` measures a node with 10,000
 * envelopes, fills its tables by SQL up to that many, and measures the same again. It prints the ratios, and which
 * tables were read from end to end meanwhile. It ends with 1 if that of the envelopes was, if something takes more
 * than `--most 3` times as long, or if `padlock-node check` finds anything (`--check no` leaves that out: it reads
 * every row).
 */
import { randomBytes } from 'node:crypto'
import { parseArgs } from 'node:util'
import pg from 'pg'
import { run as runCheck } from '../node/src/commands/check.ts'
import { openPostgresStore } from '../node/src/store/postgres/postgres.ts'
import { serveInProcess } from '../node/src/testing.ts'
import {
  inboxEnvelope,
  minuteNs,
  nodeClient,
  TestInstallation,
  testAccount,
} from '../tests/node/support.ts'
import { ensurePostgres } from './postgres.ts'

const { values } = parseArgs({
  options: {
    rows: { type: 'string', default: '10000000' },
    inboxes: { type: 'string', default: '200' },
    turns: { type: 'string', default: '200' },
    most: { type: 'string', default: '3' },
    check: { type: 'string', default: 'yes' },
  },
})

const readCount = (name: 'rows' | 'inboxes' | 'turns' | 'most'): number => {
  const text = values[name]
  if (!/^[1-9]\d{0,9}$/.test(text)) throw new Error(`--${name} needs a number, not "${text}"`)
  return Number(text)
}
const [rows, turns, most] = [readCount('rows'), readCount('turns'), readCount('most')]
const base = 10_000
if (rows < base) throw new Error(`--rows needs ${base} or more`)

const startMs = performance.now()
const say = (what: string): void =>
  console.log(`${((performance.now() - startMs) / 1_000).toFixed(0).padStart(5)} s  ${what}`)

const postgres = await ensurePostgres()
const database = await postgres.createDatabase()
const admin = new pg.Client({ connectionString: database })
await admin.connect()
const owners = Array.from(
  { length: readCount('inboxes') },
  (_, n) => new TestInstallation(testAccount(`owner ${n}`), `owner ${n}`),
)

const ownerOf = (turn: number): TestInstallation => {
  const owner = owners[(turn * 7) % owners.length]
  if (owner === undefined) throw new Error('there is no owner')
  return owner
}

/** A node for as long as an action takes; what its sessions counted is there afterwards. */
async function withNode<T>(
  act: (node: ReturnType<typeof serveInProcess>) => Promise<T>,
): Promise<T> {
  const node = serveInProcess(await openPostgresStore({ url: database }))
  return act(node).finally(() => node.close())
}

/** Registers the owners, with prekeys and a first letter each, as everybody does. */
const registerAll = () =>
  withNode(async ({ transport }) => {
    const client = nodeClient(transport)
    const { nodeNs } = await client.getInfo({})
    for (const owner of owners) {
      const upload = owner.upload({ createdNs: nodeNs, oneTime: 100, fallback: true })
      await client.publish({ envelopes: [await owner.bundle(nodeNs), upload] })
      await client.publish({ envelopes: [inboxEnvelope(owner, 'first')] })
    }
  })

const dayNs = 86_400_000_000_000n
const partRows = 500_000

/**
 * Envelopes of 64 bytes from a number to another, in turn to each inbox. Node times fill the last 30 days.
 * Digests and sizes are right, and sequences have no gaps.
 */
const fillPart = `
WITH inbox AS (
  SELECT id, row_number() OVER (ORDER BY id) - 1 AS place FROM topic WHERE name LIKE 'message-%'
), made AS (
  SELECT inbox.id, n, sha256(int8send(n)) || sha256(int8send(-n)) AS message
  FROM generate_series($1::bigint, $2::bigint) AS n JOIN inbox ON inbox.place = n % $3
)
INSERT INTO envelope (topic, sequence, node_ns, size, digest, message)
SELECT id, 2 + n / $3, $4::bigint + n * $5::bigint, 64, sha256(message), message FROM made ORDER BY n`

/** Brings the inboxes to so many envelopes in all, beside the first letters, which are old by then. */
async function fill(from: number, to: number): Promise<void> {
  const inboxes = owners.length
  const startNs = (BigInt(Date.now()) * 1_000_000n - 30n * dayNs).toString()
  const stepNs = ((29n * dayNs) / BigInt(rows)).toString()
  firstNs ??= startNs
  await admin.query('SET synchronous_commit = off')
  await admin.query(
    `UPDATE envelope SET node_ns = $1 FROM topic
     WHERE topic.id = envelope.topic AND topic.name LIKE 'message-%' AND envelope.sequence = 1`,
    [firstNs],
  )
  // What was published while it was measured goes: times only grow on a topic.
  await admin.query(
    `DELETE FROM envelope USING topic
     WHERE topic.id = envelope.topic AND topic.name LIKE 'message-%' AND envelope.sequence > 1 + $1::bigint`,
    [Math.ceil(from / inboxes)],
  )
  for (let at = from; at < to; at += partRows) {
    const end = Math.min(to, at + partRows)
    await admin.query(fillPart, [at, end - 1, inboxes, firstNs, stepNs])
    say(`${end} rows`)
  }
  await admin.query(
    `UPDATE topic SET sequence = last.sequence, node_ns = last.node_ns
     FROM (SELECT topic AS id, max(sequence) AS sequence, max(node_ns) AS node_ns FROM envelope GROUP BY topic) AS last
     WHERE topic.id = last.id AND topic.name LIKE 'message-%'`,
  )
  await admin.query('SET synchronous_commit = on')
  await admin.query('VACUUM ANALYZE')
  await admin.query('CHECKPOINT')
}
let firstNs: string | undefined

/** The tables of a node and how often each was read from end to end, and by an index. */
async function readScans(): Promise<ReadonlyMap<string, { seq: number; index: number }>> {
  const { rows: found } = await admin.query<{ name: string; seq: string; index: string }>(
    'SELECT relname AS name, seq_scan AS seq, coalesce(idx_scan, 0) AS index FROM pg_stat_user_tables',
  )
  return new Map(
    found.map(({ name, seq, index }) => [name, { seq: Number(seq), index: Number(index) }]),
  )
}

const median = (ms: number[]): number => ms.sort((a, b) => a - b)[Math.floor(ms.length / 2)] ?? 0

/** How long each kind of call takes, in milliseconds, and which tables were read from end to end. */
async function measure(stored: number) {
  await admin.query('SELECT pg_stat_reset()')
  const times = await withNode(async ({ transport }) => {
    const client = nodeClient(transport)
    const { nodeId, nodeNs } = await client.getInfo({})
    const acts = {
      publish: async (turn: number) => {
        const owner = ownerOf(turn)
        await client.publish({ envelopes: [inboxEnvelope(owner, `${stored} ${turn}`)] })
      },
      'query of 50': async (turn: number) => {
        const owner = ownerOf(turn)
        // Anywhere in the inbox, but not at its end.
        const afterSequence = BigInt(
          Math.floor(Math.random() * Math.max(1, stored / owners.length - 50)),
        )
        const { envelopes } = await client.query({
          topics: [{ topic: owner.inbox, afterSequence }],
          limit: 50,
          proofs: [owner.proof(nodeId, nodeNs + 5n * minuteNs)],
        })
        if (envelopes.length === 0) throw new Error('an inbox is empty')
      },
      claim: async (turn: number) => {
        const owner = ownerOf(turn)
        await client.claimPrekeys({ claimId: randomBytes(16), installationIds: [owner.id] })
      },
    }
    const medians = new Map<string, number>()
    for (const [name, act] of Object.entries(acts)) {
      const ms: number[] = []
      for (let turn = 0; turn < turns; turn += 1) {
        const before = performance.now()
        await act(turn)
        // The first ones prepare statements.
        if (turn >= turns / 10) ms.push(performance.now() - before)
      }
      medians.set(name, median(ms))
    }
    return medians
  })
  return { times, scans: await readScans() }
}

try {
  await registerAll()
  say(`${owners.length} inboxes`)
  await fill(0, base)
  const before = await measure(base)
  await fill(base, rows)
  const { rows: sizes } = await admin.query<{ size: string }>(
    "SELECT pg_size_pretty(pg_total_relation_size('envelope')) AS size",
  )
  say(`the table of envelopes and its indexes: ${sizes[0]?.size}`)
  const after = await measure(rows)
  const faults: string[] = []
  for (const [name, ms] of after.times) {
    const small = before.times.get(name) ?? Number.NaN
    const ratio = ms / small
    say(`${name}: ${small.toFixed(2)} ms, then ${ms.toFixed(2)} ms, ${ratio.toFixed(2)} times`)
    if (!(ratio <= most)) faults.push(`${name} takes ${ratio.toFixed(2)} times as long`)
  }
  for (const [table, { seq, index }] of after.scans) {
    if (seq > 0) say(`${table} was read from end to end ${seq} times, by an index ${index} times`)
  }
  const envelope = after.scans.get('envelope')
  if (envelope === undefined || envelope.index === 0)
    faults.push('no envelope was found by an index')
  if (envelope === undefined || envelope.seq > 0) faults.push('envelopes were read from end to end')
  if (values.check === 'yes') {
    if ((await runCheck(['--database', database])) !== 0) faults.push('the check found something')
    say('checked')
  }
  for (const fault of faults) console.log(`FAULT ${fault}`)
  console.log(faults.length === 0 ? 'no faults' : `${faults.length} faults`)
  process.exitCode = faults.length === 0 ? 0 : 1
} finally {
  await admin.end()
  await postgres.dropDatabase(database)
  await postgres.close()
}
