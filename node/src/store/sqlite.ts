/** The embedded store on this thread: for tests and tools. A node runs it on a thread of its own. */
import { type DatabaseCalls, SqliteStore, type SqliteStoreOptions } from './group-commit.ts'
import { SqliteDatabase } from './sqlite-database.ts'
import type { Store } from './store.ts'

/** @throws Error if the file cannot be opened, is in use, or was made by a newer release. */
export function openSqliteStore(options: SqliteStoreOptions): Store {
  const database = new SqliteDatabase(options)
  // `async`, so that what the database throws rejects.
  const calls: DatabaseCalls = {
    nodeId: database.nodeId,
    run: async (operations, nowNs) => database.run(operations, nowNs),
    page: async (cursors, limit) => database.page(cursors, limit),
    stock: async (installationId, nowNs) => database.stock(installationId, nowNs),
    sweep: async (nowNs) => database.sweep(nowNs),
    close: async () => database.close(),
  }
  return new SqliteStore(calls, options)
}
