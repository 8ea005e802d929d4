/** Nodes behind a real PgBouncer, which gives each transaction another session or keeps one for each connection. */

import { afterEach, expect, test } from 'vitest'
import { sharesSessions } from '../../node/src/store/postgres/pooler.ts'
import { openPostgresStore, type PostgresOptions } from '../../node/src/store/postgres/postgres.ts'
import { startPgBouncer } from '../../scripts/pgbouncer.ts'
import { aDatabase } from '../support/postgres.ts'
import { startPostgresNode } from './postgres-node.ts'
import { inboxEnvelope, register } from './support.ts'

const open: (() => Promise<void>)[] = []

afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close()
})

async function through(mode: 'session' | 'transaction'): Promise<string> {
  const pooler = await startPgBouncer(await aDatabase(), mode)
  open.push(() => pooler.close())
  return pooler.url
}

/** Two nodes that write and read at once, so that every session serves both. */
async function exchange(options: PostgresOptions): Promise<void> {
  const one = await startPostgresNode(options, open)
  const two = await startPostgresNode(options, open)
  const bob = await register(one.client, 'bob', one.store.clock())
  const names = Array.from({ length: 40 }, (_, at) => `letter ${at}`)
  await Promise.all(
    names.map((name, at) =>
      (at % 2 === 0 ? one : two).client.publish({ envelopes: [inboxEnvelope(bob, name)] }),
    ),
  )
  const limit = { envelopes: 100, bytes: 1_000_000 }
  for (const { store } of [one, two]) {
    const cursors = [{ topic: bob.inbox, afterSequence: 0n }]
    const pages = await Promise.all(Array.from({ length: 8 }, () => store.page(cursors, limit)))
    for (const { envelopes } of pages) {
      expect(envelopes.map(({ sequence }) => sequence)).toEqual(
        names.map((_, at) => BigInt(at + 1)),
      )
    }
  }
}

test('in transaction mode nothing is left in a session, and two nodes work', async () => {
  const url = await through('transaction')
  expect(await sharesSessions(url)).toBe(true)
  await exchange({ url, doorbell: 'poll' })
})

test('in transaction mode a node that waits for notifications does not start', async () => {
  const url = await through('transaction')
  await expect(openPostgresStore({ url })).rejects.toThrow(/--doorbell poll/)
})

test('in session mode a node works as without a pooler', async () => {
  const url = await through('session')
  expect(await sharesSessions(url)).toBe(false)
  await exchange({ url })
})

test('a database without a pooler keeps what is prepared', async () => {
  expect(await sharesSessions(await aDatabase())).toBe(false)
})
