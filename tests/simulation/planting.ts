/** Puts secrets everywhere, so that the search shows that it would find them. */
import { DatabaseSync } from 'node:sqlite'
import { PadlockError } from '../../src/errors.ts'
import { request } from '../store/request.ts'
import type { Evidence } from './evidence.ts'

/** As careless code would: raw, in hex, in base64, as text. */
export const plantSecrets = async (
  evidence: Evidence,
  database: string,
  nodeFile: string,
): Promise<void> => {
  const { key, session, plaintext, name } = evidence.secrets.samples
  const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')
  const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString('base64')
  const text = (bytes: Uint8Array) => Buffer.from(bytes).toString()

  console.log(`key ${hex(key)} session ${base64(session)} ${text(plaintext)} ${text(name)}`)
  const cause = new Error(`cannot use ${base64(key)}`, { cause: new Error(hex(session)) })
  const details = { topic: `message-${text(name)}` }
  evidence.addError(new PadlockError('internal', { message: text(plaintext), details, cause }))
  const message = `${hex(key)} ${base64(session)} ${text(plaintext)} ${text(name)}`
  const warnings = [{ code: 'internal', message, count: 1 } as const]
  evidence.addEvent({ kind: 'status', status: { state: 'live', warnings } })

  const open = await request(indexedDB.open(database))
  const meta = open.transaction('meta', 'readwrite').objectStore('meta')
  await request(meta.put({ key, session: [session] }, text(name)))
  await request(meta.put(text(plaintext), 'planted'))
  open.close()

  const node = new DatabaseSync(nodeFile)
  node.exec('CREATE TABLE planted (value BLOB)')
  const insert = node.prepare('INSERT INTO planted VALUES (?)')
  insert.run(key)
  insert.run(plaintext)
  node.close()
}
