/** Stores on fake-indexeddb, and the database beneath them as any other code sees it. */
import 'fake-indexeddb/auto'
import { onTestFinished } from 'vitest'
import { PadlockError } from '../../src/errors.ts'
import { openIdbStore } from '../../src/store/idb.ts'
import type { Row, Store, Write } from '../../src/store/store.ts'
import { add, put, tables } from '../../src/store/tables.ts'
import { freshDatabase, loadTestCrypto } from '../support/engine.ts'
import { request } from './request.ts'

const crypto = await loadTestCrypto()

export const openStore = async (
  database: string,
  onLost: Parameters<typeof openIdbStore>[2] = () => undefined,
  onLostRecord?: Parameters<typeof openIdbStore>[3],
): Promise<Store> => {
  const store = await openIdbStore(database, crypto, onLost, onLostRecord)
  onTestFinished(() => store.close())
  return store
}

export const aStore = async (): Promise<{ readonly store: Store; readonly database: string }> => {
  const database = freshDatabase()
  return { database, store: await openStore(database) }
}

/** Writes without reading. */
export const write = (store: Store, ...writes: readonly Write[]): Promise<void> =>
  store.transaction([], () => ({ writes, result: undefined }))

export const cursor = (topic: string, sequence: bigint): Write =>
  put(tables.cursors, topic, { topic, sequence })

export const outboxRow = (number: number, messageId = `message ${number}`): Write =>
  put(tables.outbox, number, { messageId })

export const conversation = (id: string, lastMessageMs: bigint): Write =>
  put(tables.conversations, id, { conversationId: id, peer: `peer of ${id}`, lastMessageMs })

export const aMessage = (id: string, conversationId: string, nodeNs: bigint, composedNs = 1n) => ({
  messageId: id,
  conversationId,
  nodeNs,
  composedNs,
  content: new TextEncoder().encode(`content of ${id}`),
})

/** A new message of node time `nodeNs`, with the next running number. */
export const message = (store: Store, id: string, conversationId: string, nodeNs: bigint): Write =>
  add(tables.messages, id, aMessage(id, conversationId, nodeNs), store.nextNumber(tables.messages))

export const idsOf = (rows: readonly Row<{ readonly messageId: string }>[]): readonly string[] =>
  rows.map(({ value }) => value.messageId)

export const codeOf = async (call: Promise<unknown>): Promise<string> => {
  try {
    await call
    return 'no error'
  } catch (error) {
    if (error instanceof PadlockError) return error.code
    throw error
  }
}

export { request }

/** The database without the store, at whatever version it has; closed when the test ends. */
export const openRaw = async (database: string, version?: number): Promise<IDBDatabase> => {
  const raw = await request(indexedDB.open(database, version))
  onTestFinished(() => raw.close())
  return raw
}

/** Does something to the database that no store would do. */
export const tamper = async (
  database: string,
  stores: readonly string[],
  change: (transaction: IDBTransaction) => Promise<void>,
): Promise<void> => {
  const raw = await request(indexedDB.open(database))
  const transaction = raw.transaction([...stores], 'readwrite')
  const done = new Promise<void>((resolve, reject) => {
    transaction.oncomplete = () => resolve()
    transaction.onabort = () => reject(transaction.error)
  })
  await change(transaction)
  await done
  raw.close()
}
