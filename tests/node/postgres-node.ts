/** A node on a PostgreSQL, in this process, and what it says when the database is not the one it was. */
import { openPostgresStore, type PostgresOptions } from '../../node/src/store/postgres/postgres.ts'
import { serveInProcess } from '../../node/src/testing.ts'
import { nodeClient } from './support.ts'

/** @param open gets what closes it */
export async function startPostgresNode(options: PostgresOptions, open: (() => Promise<void>)[]) {
  const lost = Promise.withResolvers<string>()
  const store = await openPostgresStore({ connections: 4, onLost: lost.resolve, ...options })
  const node = serveInProcess(store)
  open.push(() => node.close())
  return { store, client: nodeClient(node.transport), lost: lost.promise }
}
