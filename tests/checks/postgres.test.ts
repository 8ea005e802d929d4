/** The PostgreSQL that tests run on: a database for each, and a server that can crash. */
import pg from 'pg'
import { expect, test } from 'vitest'
import { aDatabase, aPostgres } from '../support/postgres.ts'

const ask = async (url: string, sql: string) => {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    return (await client.query(sql)).rows
  } finally {
    await client.end()
  }
}

test('each database is new and empty, and commits wait for the disk', async () => {
  const [first, second] = [await aDatabase(), await aDatabase()]
  await ask(first, 'CREATE TABLE one (n int)')
  await expect(ask(second, 'SELECT * FROM one')).rejects.toThrow(/does not exist/)
  expect(await ask(first, 'SHOW fsync')).toEqual([{ fsync: 'on' }])
  expect(await ask(first, 'SHOW synchronous_commit')).toEqual([{ synchronous_commit: 'on' }])
})

test.skipIf(process.env.DATABASE_URL)(
  'what was committed is there after the server crashed',
  async () => {
    const [postgres, url] = [await aPostgres(), await aDatabase()]
    await ask(url, 'CREATE TABLE one AS SELECT 1 AS n')
    for (const mode of ['immediate', 'fast'] as const) {
      await postgres.stop(mode)
      await expect(ask(url, 'SELECT 1')).rejects.toThrow(/ECONNREFUSED/)
      await postgres.start()
      expect(await ask(url, 'SELECT n FROM one')).toEqual([{ n: 1 }])
    }
  },
)

test('a dropped database is gone, with whoever was connected to it', async () => {
  const postgres = await aPostgres()
  const url = await postgres.createDatabase()
  const client = new pg.Client({ connectionString: url })
  // It says so twice: the server's notice, then the closed socket.
  const cut = new Promise((resolve) => client.on('error', resolve))
  await client.connect()
  await postgres.dropDatabase(url)
  await postgres.dropDatabase(url)
  await cut
  await expect(ask(url, 'SELECT 1')).rejects.toThrow(/does not exist/)
})
