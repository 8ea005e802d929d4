/** The embedded store by itself: what it keeps, what it forgets, and files that it does not take. */
import { mkdtempSync, rmSync, statfsSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { openThreadStore } from '../../node/src/store/database-thread.ts'
import type { Outcome } from '../../node/src/store/operations.ts'
import { SqliteDatabase } from '../../node/src/store/sqlite/database.ts'
import { schemaSteps } from '../../node/src/store/sqlite/schema.ts'
import {
  bytesFor,
  dayNs,
  everything,
  inboxEnvelope,
  minuteNs,
  TestInstallation,
  testAccount,
  testClock,
} from './support.ts'

const { nowNs } = testClock()
const bob = new TestInstallation(testAccount('bob'), 'bob')
let folder: string
let file: string
let database: SqliteDatabase | undefined

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'padlock-node-'))
  file = join(folder, 'node.sqlite')
})
afterEach(() => {
  database?.close()
  database = undefined
  rmSync(folder, { recursive: true })
})

const open = () => {
  database = new SqliteDatabase({ file })
  return database
}
const publish = (envelopes: { topic: string; message: Uint8Array }[], atNs = nowNs) => {
  const [outcome] = database?.run([{ kind: 'publish', envelopes }], atNs) ?? []
  return outcome
}
const receipt = (outcome: Outcome | undefined) =>
  outcome?.kind === 'published' ? outcome.receipts[0] : outcome

/** Looks into the file while nobody has it open. */
const inspect = (sql: string) => {
  database?.close()
  database = undefined
  const raw = new DatabaseSync(file)
  const rows = raw.prepare(sql).all()
  raw.close()
  return rows
}

test('a store keeps its node id, and its file is for one process', async () => {
  const { nodeId } = open()
  expect(nodeId).toHaveLength(16)
  await expect(openThreadStore({ source: { kind: 'sqlite', file } })).rejects.toThrow(/locked/)
  database?.close()
  expect(open().nodeId).toEqual(nodeId)
})

test('it writes ahead and waits for the disk', () => {
  open()
  const [mode] = inspect('PRAGMA journal_mode')
  expect(mode).toEqual({ journal_mode: 'wal' })
})

test('a file of a newer release, or of something else, is refused and left alone', async () => {
  open()
  const newer = schemaSteps.length + 1
  inspect(`PRAGMA user_version = ${newer}`)
  expect(open).toThrow(/newer release/)
  await expect(openThreadStore({ source: { kind: 'sqlite', file } })).rejects.toThrow(
    /newer release/,
  )
  expect(inspect('PRAGMA user_version')).toEqual([{ user_version: newer }])
  writeFileSync(file, bytesFor('no database').toString().repeat(100))
  expect(open).toThrow(/not a database/)
})

test('the bytes of an upload are not kept, only its digest and its keys', async () => {
  open()
  publish([await bob.bundle(nowNs), bob.upload({ createdNs: nowNs, oneTime: 2, fallback: true })])
  expect(inspect('SELECT COUNT(*) AS kept FROM envelope WHERE message IS NOT NULL')).toEqual([
    { kept: 1 },
  ])
  expect(inspect('SELECT COUNT(*) AS keys FROM prekey')).toEqual([{ keys: 3 }])
})

test('the digest of an upload is known for 90 days', async () => {
  open()
  const upload = bob.upload({ createdNs: nowNs, oneTime: 1 })
  publish([await bob.bundle(nowNs)])
  const first = receipt(publish([upload]))
  publish([inboxEnvelope(bob, 'newer')])
  const lastNs = nowNs + 90n * dayNs - 1n
  database?.sweep(lastNs, 60n * dayNs)
  expect(receipt(publish([upload], lastNs))).toEqual({ ...first, fresh: false })
  database?.sweep(lastNs + 1n, 60n * dayNs)
  expect(publish([upload], lastNs + 1n)).toMatchObject({ kind: 'refused', code: 'stale_upload' })
})

test('a sweep forgets claims after ten minutes and unused keys after 30 days, nothing else', async () => {
  const store = open()
  publish([await bob.bundle(nowNs), bob.upload({ createdNs: nowNs, oneTime: 3, fallback: true })])
  store.run([{ kind: 'claim', claimId: new Uint8Array(16), installationIds: [bob.id] }], nowNs)
  const count = (atNs: bigint) => {
    open().sweep(atNs, 60n * dayNs)
    const [row] = inspect(
      'SELECT (SELECT COUNT(*) FROM claim) AS claims, (SELECT COUNT(*) FROM prekey) AS keys',
    )
    return row
  }
  database?.close()
  expect(count(nowNs + 10n * minuteNs - 1n)).toEqual({ claims: 1, keys: 3 })
  expect(count(nowNs + 10n * minuteNs)).toEqual({ claims: 0, keys: 3 })
  expect(count(nowNs + 30n * dayNs - 1n)).toEqual({ claims: 0, keys: 3 })
  expect(count(nowNs + 30n * dayNs)).toEqual({ claims: 0, keys: 1 })
  expect(inspect('SELECT COUNT(*) AS bundles FROM installation')).toEqual([{ bundles: 1 }])
})

test('a request that storage cannot take fails alone', async () => {
  const store = open()
  publish([await bob.bundle(nowNs)])
  const broken = {
    topic: bob.inbox,
    get message(): Uint8Array {
      throw new Error('cannot be read')
    },
  }
  const outcomes = store.run(
    [[inboxEnvelope(bob, 'a')], [broken], [inboxEnvelope(bob, 'b')]].map((envelopes) => ({
      kind: 'publish',
      envelopes,
    })),
    nowNs,
  )
  expect(outcomes.map(({ kind }) => kind)).toEqual(['published', 'failed', 'published'])
  const cursors = [{ topic: bob.inbox, afterSequence: 0n }]
  const page = await store.readsAt(nowNs).page(cursors, everything)
  expect(page.envelopes.map(({ sequence }) => sequence)).toEqual([1n, 2n])
})

test('a thread that ends is reported, and what waits for it is refused', async () => {
  let failed: string | undefined
  const store = await openThreadStore({
    source: { kind: 'sqlite', file },
    onFailure: (reason) => {
      failed = reason
    },
  })
  await store.publish([await bob.bundle(nowNs - dayNs)])
  await store.close()
  // An orderly end is no failure.
  expect(failed).toBeUndefined()
  await expect(store.publish([inboxEnvelope(bob, 'a')])).rejects.toThrow(/closed/)
  await expect(store.page([], everything)).rejects.toThrow(/closed/)
})

test('what retention dropped is given back to the file system, in steps', async () => {
  open()
  publish([await bob.bundle(nowNs)])
  for (let n = 0; n < 40; n += 1) {
    publish(Array.from({ length: 20 }, (_, at) => inboxEnvelope(bob, `${n} ${at}`, 32 * 1024)))
  }
  const sizeNow = () => {
    database?.close()
    const { size } = statSync(file)
    open()
    return size
  }
  const full = sizeNow()
  expect(full).toBeGreaterThan(24 * 1024 ** 2)
  let steps = 0
  let longestMs = 0
  for (let isMore = true; isMore; steps += 1) {
    const startedMs = performance.now()
    isMore = database?.sweep(nowNs + 61n * dayNs, 60n * dayNs) ?? false
    longestMs = Math.max(longestMs, performance.now() - startedMs)
  }
  expect(steps).toBeGreaterThan(5)
  expect(longestMs).toBeLessThan(1_000)
  // Four mebibytes stay for what comes next.
  expect(sizeNow()).toBeLessThan(6 * 1024 ** 2)
  expect(inspect('PRAGMA integrity_check')).toEqual([{ integrity_check: 'ok' }])
})

test('one publish under a clock that is a year ahead keeps nothing after it from going in time', async () => {
  open()
  publish([await bob.bundle(nowNs)])
  publish([inboxEnvelope(bob, 'before')])
  publish([inboxEnvelope(bob, 'a year ahead')], nowNs + 365n * dayNs)
  publish([inboxEnvelope(bob, 'a day later')], nowNs + dayNs)
  publish([inboxEnvelope(bob, 'ten days later')], nowNs + 10n * dayNs)
  // Nor does a clock that was years behind for a moment make anything go early.
  publish([inboxEnvelope(bob, 'years behind')], nowNs - 700n * dayNs)
  publish([inboxEnvelope(bob, 'the newest')], nowNs + 11n * dayNs)
  const left = (atNs: bigint) => {
    while (database?.sweep(atNs, 60n * dayNs));
    return inspect(
      `SELECT CAST(message AS TEXT) AS text FROM envelope JOIN topic ON topic.id = envelope.topic
       WHERE name LIKE 'message-%' ORDER BY envelope.id`,
    ).map(({ text }) => String(text).replaceAll('\0', ''))
  }
  const later = ['ten days later', 'years behind', 'the newest']
  expect(left(nowNs + 59n * dayNs)).toHaveLength(6)
  open()
  expect(left(nowNs + 62n * dayNs)).toEqual(later)
  open()
  expect(left(nowNs + 69n * dayNs)).toEqual(later)
  open()
  expect(left(nowNs + 72n * dayNs)).toEqual(['the newest'])
})

test('what the data takes grows with it, shrinks with it, and leaves what the disk has', async () => {
  const store = open()
  const look = () => store.readsAt(nowNs).occupancy()
  publish([await bob.bundle(nowNs)])
  const before = await look()
  for (let n = 0; n < 4; n += 1) publish([inboxEnvelope(bob, `letter ${n}`, 1_000_000)])
  const full = await look()
  expect(full.usedBytes - before.usedBytes).toBeGreaterThan(4_000_000)
  expect(full.usedBytes - before.usedBytes).toBeLessThan(4_200_000)
  const { bavail, bsize } = statfsSync(folder)
  // Others write on this disk too.
  expect(Math.abs((full.freeBytes ?? 0) - bavail * bsize)).toBeLessThan(2 ** 30)
  // Whether or not the file has shrunk by then.
  store.sweep(nowNs + 60n * dayNs, 30n * dayNs)
  expect((await look()).usedBytes).toBeLessThan(full.usedBytes - 2_900_000)
})
