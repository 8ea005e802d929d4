/** Puts secrets everywhere, so that the search shows that it would find them. */
import { DatabaseSync } from 'node:sqlite'
import { PadlockError } from '../../src/errors.ts'
import { request } from '../store/request.ts'
import type { Evidence } from './evidence.ts'
import type { SecretClass } from './secrets.ts'

const textClasses: ReadonlySet<SecretClass> = new Set(['plaintext', 'address', 'installation'])

/** As careless code would, one of each class: raw, in hex, in base64, as text. */
export const plantSecrets = async (
  evidence: Evidence,
  database: string,
  nodeFile: string,
): Promise<void> => {
  const all = [...evidence.secrets.samples]
  const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')
  const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString('base64')
  const isText = (name: SecretClass) => textClasses.has(name)
  const told = (encode: (bytes: Uint8Array) => string) =>
    all.map(([name, bytes]) => (isText(name) ? Buffer.from(bytes).toString() : encode(bytes)))

  console.log(told(hex).join(' '))
  const cause = new Error('it cannot be used', { cause: new Error(told(base64).join(', ')) })
  const details = { topic: `message-${told(hex).join('-')}` }
  evidence.addError(new PadlockError('internal', { message: 'it failed', details, cause }))
  const warnings = [{ code: 'internal', message: told(base64).join(' '), count: 1 } as const]
  evidence.addEvent({ kind: 'status', status: { state: 'live', warnings } })

  const open = await request(indexedDB.open(database))
  const meta = open.transaction('meta', 'readwrite').objectStore('meta')
  for (const [name, bytes] of all) {
    if (isText(name)) await request(meta.put(1, Buffer.from(bytes).toString()))
    else await request(meta.put({ planted: [bytes] }, name))
  }
  open.close()

  const node = new DatabaseSync(nodeFile)
  node.exec('CREATE TABLE planted (value BLOB)')
  const insert = node.prepare('INSERT INTO planted VALUES (?)')
  for (const [, bytes] of all) insert.run(bytes)
  node.close()
}
