/** Everything that lies in every database, read past the store, and a search through it. */

import { encodeHex, encodeUtf8 } from '../../src/protocol/bytes.ts'
import { request } from './request.ts'

export interface Marker {
  readonly name: string
  readonly bytes: Uint8Array
}

export const textMarker = (name: string, text: string): Marker => ({
  name,
  bytes: encodeUtf8(text),
})

/** Names of databases, stores and indexes, and all keys, index keys and values, one after the other. */
export const dumpDatabases = async (): Promise<Buffer> => {
  const parts: Uint8Array[] = []
  for (const { name } of await indexedDB.databases()) {
    if (name === undefined) continue
    const database = await request(indexedDB.open(name))
    flatten(name, parts)
    for (const storeName of database.objectStoreNames) {
      flatten(storeName, parts)
      const store = database.transaction(storeName).objectStore(storeName)
      flatten(await request(store.getAllKeys()), parts)
      flatten(await request(store.getAll()), parts)
      for (const indexName of store.indexNames) {
        flatten(indexName, parts)
        const asked = store.index(indexName).openKeyCursor()
        for (let cursor = await request(asked); cursor; cursor = await request(asked)) {
          flatten(cursor.key, parts)
          flatten(cursor.primaryKey, parts)
          cursor.continue()
        }
      }
    }
    database.close()
  }
  return Buffer.concat(parts)
}

/** What it cannot look into it refuses, so that nothing is passed over. */
const flatten = (value: unknown, parts: Uint8Array[]): void => {
  const separator = Uint8Array.of(0)
  if (value === undefined || value === null || typeof value === 'boolean') return
  if (typeof value === 'string' || typeof value === 'number' || typeof value === 'bigint') {
    parts.push(encodeUtf8(String(value)), separator)
  } else if (value instanceof ArrayBuffer) parts.push(new Uint8Array(value), separator)
  else if (ArrayBuffer.isView(value)) {
    parts.push(new Uint8Array(value.buffer, value.byteOffset, value.byteLength), separator)
  } else if (Array.isArray(value)) for (const item of value) flatten(item, parts)
  else if (value instanceof CryptoKey) {
    if (value.extractable) throw new Error('an extractable key lies in the database')
  } else if (Object.getPrototypeOf(value) === Object.prototype) {
    for (const [key, item] of Object.entries(value)) {
      flatten(key, parts)
      flatten(item, parts)
    }
  } else throw new Error(`cannot look into ${String(value)}`)
}

/** In base64 the same bytes look different at each of three places, but for the letters at the edges. */
const base64Forms = (bytes: Uint8Array): readonly string[] =>
  [0, 1, 2].map((shift) => {
    const text = Buffer.concat([new Uint8Array(shift), bytes]).toString('base64')
    const first = Math.ceil((shift * 4) / 3)
    const last = Math.floor(((shift + bytes.length) * 4) / 3)
    return text.slice(first, last)
  })

/** The forms in which a marker might lie there. */
export const formsOf = ({ bytes }: Marker): ReadonlyMap<string, Buffer> => {
  const base64 = base64Forms(bytes)
  const forms: [string, string][] = [
    ['hex', encodeHex(bytes)],
    ['upper-case hex', encodeHex(bytes).toUpperCase()],
    ...base64.map((text, shift): [string, string] => [`base64 + ${shift}`, text]),
    ...base64.map((text, shift): [string, string] => [
      `base64url + ${shift}`,
      text.replaceAll('+', '-').replaceAll('/', '_'),
    ]),
  ]
  return new Map([
    ['plain', Buffer.from(bytes)],
    ['UTF-16', Buffer.from(Buffer.from(bytes).toString('utf8'), 'utf16le')],
    ...forms.map(([name, text]): [string, Buffer] => [name, Buffer.from(text)]),
  ])
}

/** Where markers were found: names and forms; empty when none was. */
export const searchDump = (dump: Buffer, markers: readonly Marker[]): readonly string[] =>
  markers.flatMap((marker) =>
    [...formsOf(marker)]
      .filter(([, form]) => dump.includes(form))
      .map(([form]) => `${marker.name} as ${form}`),
  )
