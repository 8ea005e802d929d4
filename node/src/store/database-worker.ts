/** The thread that the database of a node runs on: answers calls and reports news. */
import { parentPort, workerData } from 'node:worker_threads'
import type { Answer, Call, DatabaseSource, Method, MethodArgs } from './database-thread.ts'
import { openPostgresCalls } from './postgres/postgres.ts'
import { openSqliteCalls } from './sqlite/database.ts'

if (parentPort === null) throw new Error('database-worker runs in a worker thread')
const port = parentPort
const answer = (message: Answer): void => port.postMessage(message)
const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : 'unknown')

/** Ends the thread, and with it the node, by an error that nothing catches. */
const endThread = (reason: string): void => {
  setImmediate(() => {
    throw new Error(reason)
  })
}

type Database = { readonly [M in Method]: (...args: MethodArgs[M]) => Promise<unknown> }

async function perform<M extends Method>(
  database: Database,
  { id, method, args }: Call<M>,
): Promise<void> {
  try {
    answer({ id, ok: true, value: await database[method](...args) })
  } catch (error) {
    answer({ id, ok: false, reason: reasonOf(error) })
  }
  // Without a listener the thread ends once this call is answered.
  if (method === 'close') port.unref()
}

try {
  const source: DatabaseSource = workerData
  const database =
    source.kind === 'sqlite'
      ? openSqliteCalls(source)
      : await openPostgresCalls({ ...source, onLost: endThread })
  database.onNews?.((news) => answer({ id: 'news', news }))
  port.on('message', (call: Call) => void perform(database, call))
  answer({ id: 0, ok: true, value: database.nodeId })
} catch (error) {
  answer({ id: 0, ok: false, reason: reasonOf(error) })
}
