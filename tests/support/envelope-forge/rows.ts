/** What lies in a database row by row, still encrypted, and what became of it. */

import { encodeHex } from '../../../src/protocol/bytes.ts'
import { request } from '../../store/request.ts'

/** Rows by store and key, as text. */
export type Rows = ReadonlyMap<string, ReadonlyMap<string, string>>

const describe = (value: unknown): string =>
  JSON.stringify(value, (_, item) => {
    if (item instanceof ArrayBuffer) return encodeHex(new Uint8Array(item))
    if (ArrayBuffer.isView(item)) {
      return encodeHex(new Uint8Array(item.buffer, item.byteOffset, item.byteLength))
    }
    if (item instanceof CryptoKey) return 'key'
    return typeof item === 'bigint' ? String(item) : item
  })

/** Every row of every store; `name` may be open elsewhere. */
export const readRows = async (name: string): Promise<Rows> => {
  const database = await request(indexedDB.open(name))
  const stores = new Map<string, Map<string, string>>()
  for (const storeName of database.objectStoreNames) {
    const store = database.transaction(storeName).objectStore(storeName)
    const [keys, values] = await Promise.all([request(store.getAllKeys()), request(store.getAll())])
    stores.set(storeName, new Map(keys.map((key, at) => [describe(key), describe(values[at])])))
  }
  database.close()
  return stores
}

/** `messages +1` and the like, one for each store and way: + added, * written again, - removed. */
export const changesBetween = (before: Rows, after: Rows): readonly string[] => {
  const found: string[] = []
  for (const [store, rows] of after) {
    const old = before.get(store) ?? new Map<string, string>()
    const added = [...rows.keys()].filter((key) => !old.has(key)).length
    const again = [...rows].filter(([key, value]) => old.has(key) && old.get(key) !== value).length
    const removed = [...old.keys()].filter((key) => !rows.has(key)).length
    if (added > 0) found.push(`${store} +${added}`)
    if (again > 0) found.push(`${store} *${again}`)
    if (removed > 0) found.push(`${store} -${removed}`)
  }
  return found.sort()
}
