/** backup and restore: of a node that runs, of one that is stopped, and of damaged data. */
import {
  cpSync,
  existsSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { createGrpcTransport } from '@connectrpc/connect-node'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { SqliteDatabase } from '../../node/src/store/sqlite/database.ts'
import { openSqliteStore } from '../../node/src/store/sqlite/sqlite.ts'
import { type SpawnedNode, spawnNode } from '../support/node-process.ts'
import { backup, bob, check, fill, makeFolders, nowNs, restore } from './operator.ts'
import {
  inboxEnvelope,
  minuteNs,
  type NodeClient,
  nodeClient,
  register,
  type TestInstallation,
} from './support.ts'

let folder: string
let data: string
let file: string
let copy: string
const nodes: SpawnedNode[] = []

beforeEach(() => {
  ;({ folder, data, file, copy } = makeFolders())
})
afterEach(async () => {
  for (const { child, ended } of nodes.splice(0)) {
    child.kill('SIGKILL')
    await ended
  }
  rmSync(folder, { recursive: true })
})

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
