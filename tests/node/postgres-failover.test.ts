/** A PostgreSQL that is not the one it was: it only reads, or it lost what it had acknowledged. */

import { createGrpcTransport } from '@connectrpc/connect-node'
import pg from 'pg'
import { afterEach, beforeEach, expect, onTestFinished, test } from 'vitest'
import { createReadiness } from '../../node/src/observe/readiness.ts'
import { openPostgresStore } from '../../node/src/store/postgres/postgres.ts'
import { nameOf } from '../../node/src/store/postgres/session.ts'
import { serveInProcess } from '../../node/src/testing.ts'
import { aDatabase } from '../support/postgres.ts'
import { endAll, runWith } from './command.ts'
import { startPostgresNode } from './postgres-node.ts'
import { inboxEnvelope, nodeClient, refusalOf, register } from './support.ts'
import { TcpProxy } from './tcp-proxy.ts'

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

const start = () => startPostgresNode({ url }, open)

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

/** The database by several hosts: networks that can be cut, which all lead to the same server. */
async function networksTo(count: number) {
  const networks = await Promise.all(
    Array.from({ length: count }, () => TcpProxy.start(new URL(url))),
  )
  for (const one of networks) open.push(() => one.close())
  const hosts = networks.map(({ port }) => `127.0.0.1:${port}`).join(',')
  return { networks, hosts: url.replace(new URL(url).host, hosts) }
}

test('with several hosts a node starts, and goes on, on whichever answers', async () => {
  const { networks, hosts } = await networksTo(3)
  const [one, two, three] = networks
  one?.become('cut')
  const store = await openPostgresStore({ url: hosts })
  const node = serveInProcess(store)
  open.unshift(() => node.close())
  const client = nodeClient(node.transport)
  const bob = await register(client, 'bob', store.clock())
  two?.become('cut')
  // The request that was under way when it was cut may fail; clients try again.
  const publish = async (name: string) => {
    const envelopes = [inboxEnvelope(bob, name)]
    return client.publish({ envelopes }).catch(() => client.publish({ envelopes }))
  }
  expect((await publish('a')).receipts).toHaveLength(1)
  one?.become('whole')
  three?.become('cut')
  expect((await publish('b')).receipts).toMatchObject([{ sequence: 2n }])
  expect(await store.takesWrites()).toBe(true)
})

test('a host that only reads is passed over, and what all of them are is said', async () => {
  const { networks, hosts } = await networksTo(2)
  await become('replica')
  await expect(openPostgresStore({ url: hosts })).rejects.toThrow('the server only reads')
  await become('primary')
  networks[0]?.become('cut')
  const store = await openPostgresStore({ url: hosts })
  expect(await store.takesWrites()).toBe(true)
  await store.close()
})

test('behind a pooler that keeps notifications from it a node does not start, unless it polls', async () => {
  const { networks, hosts } = await networksTo(1)
  networks[0]?.withhold('A')
  await expect(openPostgresStore({ url: hosts })).rejects.toThrow(/--doorbell poll/)
  const store = await openPostgresStore({ url: hosts, doorbell: 'poll' })
  await store.close()
})

/** As a server has it that does not have the last envelope of an inbox, and what came with it. */
async function loseLast(inbox: string): Promise<void> {
  await database.query(
    `WITH topic AS (UPDATE topic SET sequence = sequence - 1 WHERE name = $1 RETURNING id, sequence)
     DELETE FROM envelope USING topic WHERE envelope.topic = topic.id AND envelope.sequence > topic.sequence`,
    [inbox],
  )
  await database.query(
    `WITH last AS (SELECT writer, max(number) AS number FROM batch GROUP BY writer)
     DELETE FROM batch USING last WHERE batch.writer = last.writer AND batch.number = last.number`,
  )
  await database.query('UPDATE writer SET number = number - 1 WHERE number > 0')
}

const nodeIdNow = async (): Promise<string> =>
  (await database.query(`SELECT value FROM meta WHERE name = 'node_id'`)).rows[0]?.value.toString(
    'hex',
  )

test('a node whose database lost its last transaction stores nothing more, and the data has a new node id', async () => {
  const one = await start()
  const two = await start()
  const before = await nodeIdNow()
  const bob = await register(one.client, 'bob', one.store.clock())
  for (const name of ['a', 'b']) await one.client.publish({ envelopes: [inboxEnvelope(bob, name)] })
  await loseLast(bob.inbox)
  const next = one.client.publish({ envelopes: [inboxEnvelope(bob, 'c')] })
  expect(await refusalOf(next)).toMatchObject({ code: 'unavailable' })
  expect(await one.lost).toMatch(/lost transactions/)
  expect(await nodeIdNow()).not.toBe(before)
  // It serves nothing of what it remembers.
  await expect(one.store.stock(bob.id)).rejects.toThrow()
  await expect(one.store.takesWrites()).rejects.toThrow()
  // Others hear of it before they store anything under a number that was given out.
  const other = two.client.publish({ envelopes: [inboxEnvelope(bob, 'd')] })
  expect(await refusalOf(other)).toMatchObject({ code: 'unavailable' })
  expect(await two.lost).toMatch(/another node id/)
  const { rows } = await database.query('SELECT count(*)::int AS count FROM envelope')
  expect(rows).toEqual([{ count: 2 }])
  // Started again, it is a node like any other.
  const again = await start()
  const { receipts } = await again.client.publish({ envelopes: [inboxEnvelope(bob, 'c')] })
  expect(receipts[0]?.sequence).toBe(2n)
})

test('a node that only reads notices within the minute, by what it saw of others', async () => {
  const [one, two] = [await start(), await start()]
  const bob = await register(one.client, 'bob', one.store.clock())
  await one.client.publish({ envelopes: [inboxEnvelope(bob, 'a')] })
  // It has heard of the other's transactions.
  const { promise, resolve } = Promise.withResolvers<void>()
  two.store.watch(() => resolve(), { topic: () => true, installation: () => true })
  await one.client.publish({ envelopes: [inboxEnvelope(bob, 'b')] })
  await promise
  await loseLast(bob.inbox)
  // As it does once a minute.
  await expect(two.store.sweep()).rejects.toThrow()
  expect(await two.lost).toMatch(/lost transactions/)
})

test('a topic that is gone from the database does not fail the requests that come with its own', async () => {
  const { store, client } = await start()
  const bob = await register(client, 'bob', store.clock())
  const carol = await register(client, 'carol', store.clock())
  for (const one of [bob, carol]) await client.publish({ envelopes: [inboxEnvelope(one, 'a')] })
  await database.query('DELETE FROM topic WHERE name = $1', [bob.inbox])
  const answers = await Promise.all(
    [bob, carol].map((one) => client.publish({ envelopes: [inboxEnvelope(one, 'b')] })),
  )
  expect(answers.map(({ receipts: [receipt] }) => receipt?.sequence)).toEqual([1n, 2n])
})

test('the process ends with a sentence, and starts again under the new node id', async () => {
  onTestFinished(endAll)
  const startProcess = async () => {
    const node = runWith({ PADLOCK_DATABASE: url }, '--port', '0')
    const [, id = ''] = await node.line(/^node id +(\w+)/)
    const [, base = ''] = await node.line(/^listening +(\S+)/)
    return { node, id, client: nodeClient(createGrpcTransport({ baseUrl: base })) }
  }
  const first = await startProcess()
  const { nodeNs } = await first.client.getInfo({})
  const bob = await register(first.client, 'bob', nodeNs)
  await first.client.publish({ envelopes: [inboxEnvelope(bob, 'a')] })
  await loseLast(bob.inbox)
  await refusalOf(first.client.publish({ envelopes: [inboxEnvelope(bob, 'b')] }))
  expect(await first.node.closed).toBe(1)
  expect(first.node.errors.at(-1)).toMatch(/^padlock-node: .*lost transactions.* Start it again\.$/)
  const second = await startProcess()
  expect(second.id).not.toBe(first.id)
  await second.client.publish({ envelopes: [inboxEnvelope(bob, 'b')] })
})
