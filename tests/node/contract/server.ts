/**
 * One PostgreSQL with one database for all files of a run of these tests: started before the first, and
 * removed after the last.
 */
import type { TestProject } from 'vitest/node'
import { ensurePostgres } from '../../../scripts/postgres.ts'

declare module 'vitest' {
  interface ProvidedContext {
    contractDatabase: string
  }
}

export default async function setUp(project: TestProject): Promise<() => Promise<void>> {
  const postgres = await ensurePostgres()
  const database = await postgres.createDatabase()
  project.provide('contractDatabase', database)
  return async () => {
    await postgres.dropDatabase(database)
    await postgres.close()
  }
}
