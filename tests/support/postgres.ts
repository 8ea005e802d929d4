/**
 * Fresh PostgreSQL databases for the tests of one file: one server a file, started when the first
 * database is asked for, stopped and removed after the last test, however that one ended.
 */
import { afterAll } from 'vitest'
import { ensurePostgres, type Postgres } from '../../scripts/postgres.ts'

let server: Promise<Postgres> | undefined
const databases: string[] = []

/** The server of this file, to stop and start it under a node. */
export const aPostgres = (): Promise<Postgres> => {
  server ??= ensurePostgres()
  return server
}

/** The connection string of a new, empty database; dropped after the last test of the file. */
export const aDatabase = async (): Promise<string> => {
  const url = await (await aPostgres()).createDatabase()
  databases.push(url)
  return url
}

afterAll(async () => {
  if (server === undefined) return
  const started = await server
  // A server of our own goes with everything in it.
  if (process.env.DATABASE_URL) {
    for (const url of databases) await started.dropDatabase(url)
  }
  await started.close()
})
