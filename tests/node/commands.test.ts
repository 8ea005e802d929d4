/** backup, restore and check: on a node that runs, on one that is stopped, and on damaged data. */
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { createGrpcTransport } from '@connectrpc/connect-node'
import pg from 'pg'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { run as runBackup } from '../../node/src/commands/backup.ts'
import { run as runCheck } from '../../node/src/commands/check.ts'
import { run as runRestore } from '../../node/src/commands/restore.ts'
import { openPostgresStore } from '../../node/src/store/postgres/postgres.ts'
import { SqliteDatabase } from '../../node/src/store/sqlite/database.ts'
import { openSqliteStore } from '../../node/src/store/sqlite/sqlite.ts'
import type { Store } from '../../node/src/store/store.ts'
import { type SpawnedNode, spawnNode } from '../support/node-process.ts'
import { aDatabase } from '../support/postgres.ts'
import {
  inboxEnvelope,
  minuteNs,
  type NodeClient,
  nodeClient,
  register,
  revocation,
  TestInstallation,
  testAccount,
} from './support.ts'

let folder: string
let data: string
let file: string
let copy: string
const nodes: SpawnedNode[] = []

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'padlock-node-'))
  data = join(folder, 'data')
  file = join(data, 'node.sqlite')
  copy = join(folder, 'copy.padlock')
  mkdirSync(data)
})
afterEach(async () => {
  for (const { child, ended } of nodes.splice(0)) {
    child.kill('SIGKILL')
    await ended
  }
  rmSync(folder, { recursive: true })
})

/** Runs a command in this process: its exit code and what it printed. */
async function command(run: (argv: readonly string[]) => Promise<number>, ...argv: string[]) {
  const out: string[] = []
  const log = vi.spyOn(console, 'log').mockImplementation((line) => void out.push(String(line)))
  const error = vi.spyOn(console, 'error').mockImplementation((line) => void out.push(String(line)))
  try {
    return { code: await run(argv), text: out.join('\n') }
  } finally {
    log.mockRestore()
    error.mockRestore()
  }
}

const backup = (...argv: string[]) => command(runBackup, ...argv)
const restore = (...argv: string[]) => command(runRestore, ...argv)
const check = (...argv: string[]) => command(runCheck, ...argv)

async function startNode(on = data) {
  const node = spawnNode(['--data', on, '--port', '0'])
  nodes.push(node)
  const baseUrl = `http://127.0.0.1:${await node.listening}`
  return { ...node, client: nodeClient(createGrpcTransport({ baseUrl })) }
}

async function inboxOf(client: NodeClient, one: TestInstallation) {
  const { nodeId, nodeNs } = await client.getInfo({})
  const proofs = [one.proof(nodeId, nodeNs + minuteNs)]
  const envelopes = []
  for (let after = 0n, more = true; more; ) {
    const page = await client.query({
      topics: [{ topic: one.inbox, afterSequence: after }],
      proofs,
    })
    envelopes.push(...page.envelopes)
    after = page.envelopes.at(-1)?.sequence ?? after
    more = page.hasMore
  }
  return envelopes
}

const nowNs = BigInt(Date.now()) * 1_000_000n
const alice = new TestInstallation(testAccount('alice'), 'alice')
const bob = new TestInstallation(testAccount('bob'), 'bob')
const gone = new TestInstallation(testAccount('bob'), 'gone')

/** Something of every kind: grants, a rotation, a revocation, uploads, claims, envelopes. */
async function fill(store: Store): Promise<void> {
  const publish = async (envelopes: Parameters<Store['publish']>[0]) => {
    expect(await store.publish(envelopes)).toMatchObject({ ok: true })
  }
  await publish([
    await alice.bundle(nowNs),
    alice.upload({ createdNs: nowNs, oneTime: 5, fallback: true }),
  ])
  await publish([
    await bob.bundle(nowNs),
    bob.upload({ createdNs: nowNs, oneTime: 5, fallback: true }),
    await gone.bundle(nowNs),
    gone.upload({ createdNs: nowNs, oneTime: 5, fallback: true }),
  ])
  await publish([await alice.bundle(nowNs + 1n)])
  await publish([inboxEnvelope(gone, 'before')])
  await publish([await revocation(bob.account, [gone])])
  for (let n = 0; n < 5; n += 1)
    await publish([inboxEnvelope(alice, `a ${n}`), inboxEnvelope(bob, `b ${n}`, 2_000)])
  for (let n = 0; n < 2; n += 1) await store.claim(new Uint8Array(16).fill(n), [alice.id, bob.id])
}

test('a copy of a node that stores at full rate is sound and has what was acknowledged before', async () => {
  const node = await startNode()
  const { nodeNs } = await node.client.getInfo({})
  const target = await register(node.client, 'target', nodeNs)
  const acknowledged = new Map<string, bigint>()
  let longestMs = 0
  let stopped = false
  let enough = (): void => {}
  const begun = new Promise<void>((resolve) => {
    enough = resolve
  })
  const publisher = async (name: string) => {
    for (let n = 0; !stopped; n += 1) {
      const names = Array.from({ length: 20 }, (_, part) => `${name} ${n} ${part}`)
      const sinceMs = performance.now()
      const envelopes = names.map((one) => inboxEnvelope(target, one, 4_096))
      const { receipts } = await node.client.publish({ envelopes })
      longestMs = Math.max(longestMs, performance.now() - sinceMs)
      for (const [part, { sequence }] of receipts.entries()) {
        acknowledged.set(names[part] ?? '', sequence)
      }
      if (acknowledged.size >= 4_000) enough()
    }
  }
  const publishers = ['a', 'b', 'c', 'd'].map(publisher)
  await begun
  const before = new Map(acknowledged)
  longestMs = 0
  const made = await backup('--data', data, '--to', copy)
  const during = acknowledged.size - before.size
  const heldUpMs = longestMs
  stopped = true
  await Promise.all(publishers)
  expect(made).toMatchObject({ code: 0, text: expect.stringMatching(/by the running node/) })
  console.log(`${during} stored during the backup; longest publish ${heldUpMs.toFixed(0)} ms`)
  // It went on, and nobody waited for the whole copy.
  expect(during).toBeGreaterThan(0)
  expect(heldUpMs).toBeLessThan(5_000)
  expect(statSync(copy).mode & 0o777).toBe(0o600)
  expect(readdirSync(folder).sort()).toEqual(['copy.padlock', 'data'])

  const checked = await check('--file', copy)
  expect(checked).toMatchObject({ code: 0, text: expect.stringMatching(/problems +none/) })

  const elsewhere = join(folder, 'elsewhere')
  const restored = await restore('--from', copy, '--data', elsewhere)
  expect(restored).toMatchObject({ code: 0, text: expect.stringMatching(/Clients notice/) })
  const second = await startNode(elsewhere)
  const ids = [await node.client.getInfo({}), await second.client.getInfo({})].map(({ nodeId }) =>
    Buffer.from(nodeId).toString('hex'),
  )
  expect(ids[1]).not.toBe(ids[0])
  expect(restored.text).toContain(`node id    ${ids[1]}\nbefore     ${ids[0]}`)
  const kept = new Map(
    (await inboxOf(second.client, target)).map(({ sequence, message }) => [sequence, message]),
  )
  for (const [name, sequence] of before) {
    expect(kept.get(sequence)).toEqual(inboxEnvelope(target, name, 4_096).message)
  }
})

test('a backup is never written over, and a node that stops takes its socket with it', async () => {
  const node = await startNode()
  const refused = await backup('--data', data, '--to', join(folder, 'missing', 'copy'))
  expect(refused).toMatchObject({ code: 1, text: expect.stringMatching(/does not exist/) })
  expect(await backup('--data', data, '--to', copy)).toMatchObject({ code: 0 })
  const bytes = readFileSync(copy)
  const again = await backup('--data', data, '--to', copy)
  expect(again).toMatchObject({ code: 1, text: expect.stringMatching(/exists already/) })
  expect(readFileSync(copy).equals(bytes)).toBe(true)
  node.child.kill('SIGTERM')
  expect(await node.ended).toBe(0)
  expect(existsSync(join(data, 'backup.sock'))).toBe(false)
})

test('a copy that is given up leaves nothing, and what waited for its steps is stored', async () => {
  const database = new SqliteDatabase({ file })
  const publish = (envelopes: { topic: string; message: Uint8Array }[]) =>
    database.run([{ kind: 'publish', envelopes }], nowNs)
  publish([await bob.bundle(nowNs)])
  for (let n = 0; n < 40; n += 1) publish([inboxEnvelope(bob, `${n}`, 1_000_000)])
  const target = join(folder, 'copy')
  const order: string[] = []
  const stored: Promise<unknown>[] = []
  const store = (name: string) => {
    const work = () => {
      order.push(name)
      return publish([inboxEnvelope(bob, name)])
    }
    stored.push(database.copy.between(work))
  }
  const copying = database.copy.copyTo(target, ({ remainingPages, totalPages }) => {
    expect(statSync(target).mode & 0o777).toBe(0o600)
    if (order.length > 0 && remainingPages < totalPages / 2) throw new Error('given up')
    store('between steps')
  })
  store('at once')
  // A step is under way: SQLite would copy nothing while this writes.
  expect(order).toEqual([])
  await expect(database.copy.copyTo(join(folder, 'other'), () => {})).rejects.toThrow(/under way/)
  await expect(copying).rejects.toThrow('given up')
  await Promise.all(stored)
  expect(order.slice(0, 2)).toEqual(['at once', 'between steps'])
  expect(readdirSync(folder)).toEqual(['data'])

  const stopping = database.copy.copyTo(target, () => {})
  await Promise.all([expect(stopping).rejects.toThrow(/stopping/), database.copy.stop()])
  database.close()
  expect(readdirSync(folder)).toEqual(['data'])
  expect(await check('--data', data)).toMatchObject({ code: 0 })
})

test('the data of a stopped node, and of a killed one, is copied whole', async () => {
  const store = openSqliteStore({ file })
  await fill(store)
  await store.close()
  expect(await backup('--data', data, '--to', copy)).toMatchObject({
    code: 0,
    text: expect.stringMatching(/of a stopped node/),
  })
  expect(await check('--file', copy)).toMatchObject({ code: 0 })

  const node = await startNode()
  await node.client.publish({ envelopes: [inboxEnvelope(bob, 'last')] })
  node.child.kill('SIGKILL')
  await node.ended
  expect(existsSync(`${file}-wal`)).toBe(true)
  // A check reads what the log holds, and changes nothing.
  const left = readdirSync(data).map((name) => [name, statSync(join(data, name)).size])
  expect(await check('--data', data)).toMatchObject({
    code: 0,
    text: expect.stringMatching(/envelopes +20,/),
  })
  expect(readdirSync(data).map((name) => [name, statSync(join(data, name)).size])).toEqual(left)
  const second = join(folder, 'second.padlock')
  expect(await backup('--data', data, '--to', second)).toMatchObject({ code: 0 })
  expect(await check('--file', second)).toMatchObject({
    code: 0,
    text: expect.stringMatching(/envelopes +20,/),
  })
})

test('restore refuses what is not whole, and never writes where something is', async () => {
  const store = openSqliteStore({ file })
  await fill(store)
  await store.close()
  await backup('--data', data, '--to', copy)
  const elsewhere = join(folder, 'elsewhere')

  const occupied = await restore('--from', copy, '--data', data)
  expect(occupied).toMatchObject({ code: 1, text: expect.stringMatching(/is not empty/) })

  const garbage = join(folder, 'garbage')
  writeFileSync(garbage, 'no database '.repeat(1_000))
  const cut = join(folder, 'cut')
  cpSync(copy, cut)
  truncateSync(cut, statSync(copy).size - 3 * 4_096)
  const damaged = join(folder, 'damaged')
  cpSync(copy, damaged)
  const raw = new DatabaseSync(damaged)
  raw.exec(`UPDATE envelope SET message = zeroblob(64) WHERE id = 8`)
  raw.close()
  const missing = join(folder, 'missing')
  for (const from of [garbage, cut, damaged, missing]) {
    const refused = await restore('--from', from, '--data', elsewhere)
    expect(refused.code).toBe(1)
    expect(refused.text).toMatch(/damaged|does not exist/)
    expect(existsSync(elsewhere)).toBe(false)
  }
  expect(await restore('--from', copy, '--data', elsewhere)).toMatchObject({ code: 0 })
})

test('the id of data that came back from a snapshot is renewed in place, but not under a node', async () => {
  const before = new SqliteDatabase({ file })
  const first = Buffer.from(before.nodeId).toString('hex')
  expect(await restore('--renew-id', '--data', data)).toMatchObject({
    code: 1,
    text: expect.stringMatching(/in use by a running node/),
  })
  before.close()
  const renewed = await restore('--renew-id', '--data', data)
  expect(renewed).toMatchObject({ code: 0, text: expect.stringContaining(`before     ${first}`) })
  const after = new SqliteDatabase({ file })
  const second = Buffer.from(after.nodeId).toString('hex')
  after.close()
  expect(second).not.toBe(first)
  expect(renewed.text).toContain(`node id    ${second}`)
})

test('a node that runs is not checked, but sent for a backup', async () => {
  await startNode()
  expect(await check('--data', data)).toMatchObject({
    code: 1,
    text: expect.stringMatching(/a node runs on this data/),
  })
})

test('a database of PostgreSQL is backed up by its own tools, and no password is printed', async () => {
  const answer = await backup('--database', 'postgres://me:secret@db.example/padlock', '--to', copy)
  expect(answer.code).toBe(1)
  expect(answer.text).toMatch(/pg_dump .*postgres:\/\/me@db\.example\/padlock/)
  expect(answer.text).toMatch(/restore --renew-id --database/)
  expect(answer.text).not.toContain('secret')
})

/** Damage by direct SQL that both engines understand, and what a check says to it. */
const topicOf = (name: string) => `(SELECT id FROM topic WHERE name = '${name}')`
const onTopic = (name: string, sequence: number) =>
  `topic = ${topicOf(name)} AND sequence = ${sequence}`
const contact = `contact-${bob.account.address}`
const revoked = `revoked-${bob.account.address}`
const damages: [string, string, RegExp][] = [
  ['a gap', `DELETE FROM envelope WHERE ${onTopic(bob.inbox, 3)}`, /4: envelopes between 2 and it/],
  [
    'a first bundle that is gone',
    `DELETE FROM envelope WHERE ${onTopic(contact, 1)}`,
    /contact-\w+ 2: the envelopes before it are missing/,
  ],
  [
    'a last envelope that is gone',
    `DELETE FROM envelope WHERE ${onTopic(bob.inbox, 5)}`,
    /4: the last is missing, up to 5/,
  ],
  [
    'a revocation that is gone',
    `DELETE FROM envelope WHERE ${onTopic(revoked, 1)}`,
    /revoked-\w+: all of its envelopes are missing/,
  ],
  [
    'a topic that counts too little',
    `UPDATE topic SET sequence = 4 WHERE name = '${bob.inbox}'`,
    /5: the topic counts only 4/,
  ],
  [
    'a topic with another time',
    `UPDATE topic SET node_ns = node_ns + 1 WHERE name = '${bob.inbox}'`,
    /5: the topic has another time/,
  ],
  [
    'a time that goes back',
    `UPDATE envelope SET node_ns = 1 WHERE ${onTopic(bob.inbox, 2)}`,
    /2: its time is before that of the previous/,
  ],
  [
    'a wrong size',
    `UPDATE envelope SET size = 63 WHERE ${onTopic(alice.inbox, 2)}`,
    /2: the size is not that/,
  ],
  [
    'a message that is gone',
    `UPDATE envelope SET message = NULL WHERE ${onTopic(alice.inbox, 2)}`,
    /2: the message is missing/,
  ],
  [
    'envelopes without a topic',
    `UPDATE envelope SET topic = 4711 WHERE ${onTopic(bob.inbox, 5)}`,
    /topic 4711: envelopes lie on a topic that is not there/,
  ],
  [
    'an installation that no row has',
    `DELETE FROM installation WHERE id = '${bob.id}'`,
    new RegExp(`${bob.id}: the table lacks an installation`),
  ],
  [
    'an installation with another address',
    `UPDATE installation SET address = '${alice.account.address}' WHERE id = '${bob.id}'`,
    /another address for the installation/,
  ],
  [
    'a sealing key with another time',
    `UPDATE installation SET sealing_created_ns = 5 WHERE id = '${alice.id}'`,
    /another time for the sealing key/,
  ],
  [
    'a revocation that no row has',
    'DELETE FROM revocation',
    new RegExp(`lacks the revocation of ${gone.id}`),
  ],
  [
    'a revocation that nobody published',
    `INSERT INTO revocation (address, installation) VALUES ('${bob.account.address}', '${bob.id}')`,
    /a revocation that the topic has not/,
  ],
  [
    'an account of another kind',
    `UPDATE account SET chain_id = '1' WHERE address = '${bob.account.address}'`,
    /another signer for the account/,
  ],
  [
    'an account whose key is forgotten',
    `UPDATE account SET keyed = 0 WHERE address = '${bob.account.address}'`,
    /another signer for the account/,
  ],
  [
    'a vouch that nobody published',
    `UPDATE installation SET vouched = 1 WHERE id = '${bob.id}'`,
    /differ on whether the installation has a vouch/,
  ],
  ['an account that no row has', 'DELETE FROM account', /the table has no such account/],
  [
    'recent sealing keys that are forgotten',
    `DELETE FROM accepted_bundle WHERE installation = '${alice.id}'`,
    /the table of recent sealing keys lacks number 1/,
  ],
  [
    'a prekey of a revoked installation',
    `UPDATE prekey SET installation = '${gone.id}' WHERE id = (SELECT max(id) FROM prekey)`,
    /a key in stock is of a revoked installation/,
  ],
  [
    'a prekey of another installation',
    `UPDATE prekey SET installation = '${alice.id}' WHERE id = (SELECT max(id) FROM prekey)`,
    /a key in stock has a signature that does not verify/,
  ],
  [
    'an inbox of nobody',
    `UPDATE topic SET name = 'message-${'A'.repeat(43)}' WHERE name = '${bob.inbox}'`,
    /the topic is of an installation that no contact topic names/,
  ],
  [
    'a one-time key that is there after it was given out',
    `INSERT INTO prekey (installation, is_fallback, curve25519, created_ns, signature, stored_ns)
     SELECT installation, is_fallback, curve25519, created_ns, signature, claimed_ns FROM claim`,
    /a one-time key that was given out is still in stock/,
  ],
  [
    'a one-time key that was given out twice',
    `UPDATE claim SET curve25519 = (SELECT curve25519 FROM claim AS c WHERE c.installation = claim.installation
       ORDER BY curve25519 LIMIT 1)`,
    /a one-time key was given out twice/,
  ],
]

// Bytes are written differently in the two engines.
const byteDamages: [string, (bytes: (hex: string) => string) => string, RegExp][] = [
  [
    'a wrong digest',
    (bytes) =>
      `UPDATE envelope SET digest = ${bytes('ab'.repeat(32))} WHERE ${onTopic(bob.inbox, 2)}`,
    /2: the digest is not that of the message/,
  ],
  [
    'a key that is not the installation’s',
    (bytes) => `UPDATE installation SET ed25519 = ${bytes('cd'.repeat(32))} WHERE id = '${bob.id}'`,
    /another key for the installation/,
  ],
]

/** A bundle whose last byte, in the sealing key's signature, is another, with the digest to fit. */
async function flippedBundle() {
  const { topic, message } = await bob.bundle(nowNs)
  const flipped = Uint8Array.from(message)
  const last = flipped.length - 1
  flipped[last] = (flipped[last] ?? 0) ^ 1
  const digest = await crypto.subtle.digest('SHA-256', flipped)
  const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')
  return { topic, message: hex(flipped), digest: hex(new Uint8Array(digest)) }
}
const flipDamage = async (bytes: (hex: string) => string) => {
  const { topic, message, digest } = await flippedBundle()
  return `UPDATE envelope SET message = ${bytes(message)}, digest = ${bytes(digest)}
    WHERE ${onTopic(topic, 1)}`
}
const flipped = /contact-\w+ 1: the sealing key's signature does not verify/

describe('a check of a SQLite file', () => {
  beforeEach(async () => {
    const store = openSqliteStore({ file })
    await fill(store)
    await store.close()
  })
  const bytes = (hex: string) => `x'${hex}'`
  const damage = (sql: string) => {
    const raw = new DatabaseSync(file)
    raw.exec('PRAGMA foreign_keys = OFF')
    raw.exec(sql)
    raw.close()
  }

  test('says nothing to what a node left', async () => {
    const { code, text } = await check('--data', data)
    expect(text).toMatch(/envelopes +19,/)
    expect(text).toMatch(/accounts +2, with 3 installations/)
    expect(text).toMatch(/prekeys +8 in stock, 4 claims/)
    expect(text).toMatch(/problems +none/)
    expect(code).toBe(0)
  })

  test.each(damages)('finds %s', async (_, sql, finding) => {
    damage(sql)
    expect(await check('--data', data)).toMatchObject({
      code: 1,
      text: expect.stringMatching(finding),
    })
  })

  test.each(byteDamages)('finds %s', async (_, sql, finding) => {
    damage(sql(bytes))
    expect(await check('--data', data)).toMatchObject({
      code: 1,
      text: expect.stringMatching(finding),
    })
  })

  test('finds a flipped bit in a signature', async () => {
    damage(await flipDamage(bytes))
    expect(await check('--data', data)).toMatchObject({
      code: 1,
      text: expect.stringMatching(flipped),
    })
  })

  test('finds tables that are not those of a node, and names a newer release', async () => {
    damage('DROP INDEX prekey_age')
    expect(await check('--data', data)).toMatchObject({
      code: 1,
      text: expect.stringMatching(/tables or indexes/),
    })
    damage('PRAGMA user_version = 99')
    expect(await check('--data', data)).toMatchObject({
      code: 1,
      text: expect.stringMatching(/newer release/),
    })
  })

  test('prints the first of many problems, and how many more there are', async () => {
    damage(`WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 150)
      INSERT INTO revocation SELECT 'nobody', n FROM n`)
    const { code, text } = await check('--data', data)
    expect(code).toBe(1)
    expect(text).toMatch(/and 50 more problems/)
    expect(text).toMatch(/problems +150/)
  })
})

describe('a check of PostgreSQL', () => {
  const bytes = (hex: string) => `'\\x${hex}'`
  async function filled() {
    const url = await aDatabase()
    const store = await openPostgresStore({ url })
    await fill(store)
    return { url, store }
  }

  test('says nothing to what a node left, while it runs; its id is renewed once none does', async () => {
    const { url, store } = await filled()
    const { code, text } = await check('--database', url)
    expect(text).toMatch(/envelopes +19,/)
    expect(text).toMatch(/prekeys +8 in stock, 4 claims/)
    expect(text).toMatch(/problems +none/)
    expect(code).toBe(0)
    expect(await restore('--renew-id', '--database', url)).toMatchObject({
      code: 1,
      text: expect.stringMatching(/nodes run on this database/),
    })
    await store.close()
    const renewed = await restore('--renew-id', '--database', url)
    const before = Buffer.from(store.nodeId).toString('hex')
    expect(renewed).toMatchObject({ code: 0, text: expect.stringContaining(before) })
    const again = await openPostgresStore({ url })
    expect(Buffer.from(again.nodeId).toString('hex')).not.toBe(before)
    expect(renewed.text).toContain(Buffer.from(again.nodeId).toString('hex'))
    await again.close()
  })

  test('finds the same damage', async () => {
    const { url, store } = await filled()
    await store.close()
    // Those whose tables the engines keep differently: each case costs a database.
    const chosen = /^(a gap|a topic that counts|a revocation that no row|a prekey of a revoked)/
    const all: [string, RegExp][] = [
      ...damages
        .filter(([name]) => chosen.test(name))
        .map(([, sql, finding]): [string, RegExp] => [sql, finding]),
      ...byteDamages.map(([, sql, finding]): [string, RegExp] => [sql(bytes), finding]),
      [await flipDamage(bytes), flipped],
    ]
    expect(all).toHaveLength(7)
    for (const [sql, finding] of all) {
      // Each on a fresh copy of the same data.
      const damaged = await cloneOf(url)
      const client = new pg.Client({ connectionString: damaged })
      await client.connect()
      await client.query(sql)
      await client.end()
      const { code, text } = await check('--database', damaged)
      expect(text).toMatch(finding)
      expect(code).toBe(1)
    }
  })

  test('a database without a node’s data is named as such', async () => {
    expect(await check('--database', await aDatabase())).toMatchObject({
      code: 1,
      text: expect.stringMatching(/no data of a node/),
    })
  })
})

async function cloneOf(url: string): Promise<string> {
  const empty = await aDatabase()
  const name = (one: string) => new URL(one).pathname.slice(1)
  const admin = new URL(url)
  admin.pathname = '/postgres'
  const client = new pg.Client({ connectionString: admin.href })
  await client.connect()
  try {
    await client.query(`DROP DATABASE "${name(empty)}"`)
    await client.query(`CREATE DATABASE "${name(empty)}" TEMPLATE "${name(url)}"`)
  } finally {
    await client.end()
  }
  return empty
}
