/** The thread that the database of a node runs on: answers calls one by one, in their order. */
import { parentPort, workerData } from 'node:worker_threads'
import { SqliteDatabase, type SqliteOptions } from './sqlite-database.ts'
import type { Answer, Call } from './sqlite-thread.ts'

if (parentPort === null) throw new Error('sqlite-worker runs in a worker thread')
const port = parentPort
const answer = (message: Answer): void => port.postMessage(message)
const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : 'unknown')

try {
  const options: SqliteOptions = workerData
  const database = new SqliteDatabase(options)
  port.on('message', (call: Call) => {
    try {
      answer({ id: call.id, ok: true, value: perform(database, call) })
    } catch (error) {
      answer({ id: call.id, ok: false, reason: reasonOf(error) })
    }
  })
  answer({ id: 0, ok: true, value: database.nodeId })
} catch (error) {
  answer({ id: 0, ok: false, reason: reasonOf(error) })
}

function perform(database: SqliteDatabase, call: Call): unknown {
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
      database.close()
      // Nothing listens any more, so the thread ends once this call is answered.
      port.unref()
      return undefined
  }
}
