/** The thread that the database of a node runs on: answers calls and reports news. */
import { parentPort, workerData } from 'node:worker_threads'
import type { Answer, Call, DatabaseSource } from './database-thread.ts'
import type { DatabaseCalls } from './operations.ts'
import { openPostgresCalls } from './postgres/postgres.ts'
import { openSqliteCalls } from './sqlite/sqlite.ts'

if (parentPort === null) throw new Error('database-worker runs in a worker thread')
const port = parentPort
const answer = (message: Answer): void => port.postMessage(message)
const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : 'unknown')

async function perform(database: DatabaseCalls, call: Call): Promise<void> {
  try {
    answer({ id: call.id, ok: true, value: await resultOf(database, call) })
  } catch (error) {
    answer({ id: call.id, ok: false, reason: reasonOf(error) })
  }
  // Nothing listens any more, so the thread ends once this call is answered.
  if (call.method === 'close') port.unref()
}

function resultOf(database: DatabaseCalls, call: Call): Promise<unknown> {
  switch (call.method) {
    case 'run':
      return database.run(...call.args)
    case 'page':
      return database.page(...call.args)
    case 'stock':
      return database.stock(...call.args)
    case 'sweep':
      return database.sweep(...call.args)
    case 'close':
      return database.close()
  }
}

try {
  const source: DatabaseSource = workerData
  const database =
    source.kind === 'sqlite' ? openSqliteCalls(source) : await openPostgresCalls(source)
  database.onNews?.((news) => answer({ id: 'news', news }))
  port.on('message', (call: Call) => void perform(database, call))
  answer({ id: 0, ok: true, value: database.nodeId })
} catch (error) {
  answer({ id: 0, ok: false, reason: reasonOf(error) })
}
