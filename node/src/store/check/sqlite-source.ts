/**
 * A SQLite file that no node has open, read only: a stopped node's data, or a backup. The log that a
 * killed node left is read too.
 */
import { hash } from 'node:crypto'
import { existsSync, rmSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { nodeIdBytes } from '../../../../src/protocol/limits.ts'
import { bytesOf, integerOf, type Row } from '../rows.ts'
import { schemaSteps } from '../sqlite/schema.ts'
import { prepare } from '../sqlite/statement.ts'
import { type CheckSource, chunkRows, type SelfDescription } from './source.ts'

/** @throws Error if the file cannot be read, is not a database, or is in use by a node. */
export function openSqliteSource(file: string): CheckSource {
  const sharedMemory = `${file}-shm`
  const hadSharedMemory = existsSync(sharedMemory)
  const hadLog = existsSync(`${file}-wal`)
  const database = new DatabaseSync(file, { readOnly: true })
  const tidy = (): void => {
    database.close()
    // A reader creates these files and, as it may not write, cannot remove them.
    if (!hadSharedMemory) rmSync(sharedMemory, { force: true })
    if (!hadLog) rmSync(`${file}-wal`, { force: true })
  }
  try {
    database.exec('PRAGMA cache_size = -65536')
    database.function('sha256', { deterministic: true }, (bytes) =>
      bytes instanceof Uint8Array ? hash('sha256', bytes, 'buffer') : null,
    )
    // One state from here on, and no node can start meanwhile.
    database.exec('BEGIN')
    prepare(database, 'SELECT COUNT(*) FROM sqlite_schema').get()
  } catch (error) {
    tidy()
    throw error
  }
  return {
    dropsInAnyOrder: false,
    describe: async () => describe(database),
    async *rows(statement) {
      const prepared = database.prepare(statement)
      prepared.setReadBigInts(true)
      let chunk: Row[] = []
      for (const row of prepared.iterate()) {
        chunk.push(row)
        if (chunk.length < chunkRows) continue
        yield chunk
        chunk = []
      }
      yield chunk
    },
    close: async () => tidy(),
  }
}

function describe(database: DatabaseSync): SelfDescription {
  const version = prepare(database, 'PRAGMA user_version').get()
  const schemaVersion = version === undefined ? 0 : Number(integerOf(version, 'user_version'))
  const unread = { nodeId: undefined, schemaVersion }
  if (schemaVersion > schemaSteps.length) {
    return { ...unread, problems: ['the data was written by a newer release; check it with that'] }
  }
  if (schemaVersion < schemaSteps.length) {
    return { ...unread, problems: ['the data is of an older release; a node brings it forward'] }
  }
  const damage = prepare(database, 'PRAGMA integrity_check(20)')
    .all()
    .map((row) => String(row.integrity_check))
    .filter((line) => line !== 'ok')
  if (damage.length > 0) {
    return { ...unread, problems: damage.map((line) => `the file is damaged: ${line}`) }
  }
  if (schemaOf(database) !== freshSchema()) {
    return { ...unread, problems: ['the tables or indexes are not those that a node makes'] }
  }
  const row = prepare(database, `SELECT value FROM meta WHERE name = 'node_id'`).get()
  const nodeId = row === undefined ? undefined : bytesOf(row, 'value')
  return {
    schemaVersion,
    problems: [],
    nodeId: nodeId?.length === nodeIdBytes ? nodeId : undefined,
  }
}

function schemaOf(database: DatabaseSync): string {
  const rows = prepare(
    database,
    `SELECT type, name, tbl_name, sql FROM sqlite_schema
     WHERE name NOT LIKE 'sqlite_stat%' ORDER BY type, name`,
  ).all()
  return JSON.stringify(rows)
}

function freshSchema(): string {
  const database = new DatabaseSync(':memory:')
  try {
    for (const step of schemaSteps) database.exec(step)
    return schemaOf(database)
  } finally {
    database.close()
  }
}
