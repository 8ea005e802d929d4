/** The embedded store on this thread: for tests and tools. A node runs it on a thread of its own. */
import { systemClock } from '../../clock.ts'
import { GroupCommitStore, type StoreOptions } from '../group-commit.ts'
import type { DatabaseCalls } from '../operations.ts'
import type { Store } from '../store.ts'
import { backupSocketOf, takeBackupRequests } from './backup-socket.ts'
import { SqliteDatabase, type SqliteOptions } from './database.ts'

/** @throws Error if the file cannot be opened, is in use, or was made by a newer release. */
export const openSqliteStore = (options: SqliteOptions & StoreOptions): Store =>
  new GroupCommitStore(openSqliteCalls(options), options)

/** @throws Error as `openSqliteStore` */
export function openSqliteCalls(options: SqliteOptions): DatabaseCalls {
  const database = new SqliteDatabase(options)
  const { copy } = database
  const stopTaking =
    options.file === ':memory:' ? () => {} : takeBackupRequests(backupSocketOf(options.file), copy)
  // `async`, so that what the database throws rejects.
  return {
    nodeId: database.nodeId,
    run: (operations, givenNs) =>
      copy.between(() => {
        const nowNs = givenNs ?? systemClock()
        return { outcomes: database.run(operations, nowNs), nowNs }
      }),
    page: async (cursors, limit) => database.page(cursors, limit),
    stock: async (installationId, nowNs) => database.stock(installationId, nowNs),
    sweep: (nowNs, retentionNs) => copy.between(() => database.sweep(nowNs, retentionNs)),
    close: async () => {
      stopTaking()
      await copy.stop()
      database.close()
    },
  }
}
