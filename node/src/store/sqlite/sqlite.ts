/** The embedded store on this thread: for tests and tools. A node runs it on a thread of its own. */
import { GroupCommitStore, type StoreOptions } from '../group-commit.ts'
import type { Store } from '../store.ts'
import { openSqliteCalls, type SqliteOptions } from './database.ts'

/** @throws Error as `openSqliteCalls` */
export const openSqliteStore = (options: SqliteOptions & StoreOptions): Store =>
  new GroupCommitStore(openSqliteCalls(options), options)
