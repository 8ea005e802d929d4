/** Databases as a person's backup would treat them: copied as they are, key and all. */

const done = <T>(request: IDBRequest<T>): Promise<T> =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result)
    request.onerror = () => reject(request.error)
  })

/** Copies a closed database under a new name, which must be free. */
export const copyDatabase = async (from: string, to: string): Promise<void> => {
  const source = await done(indexedDB.open(from))
  const opening = indexedDB.open(to, source.version)
  opening.onupgradeneeded = () => {
    for (const name of source.objectStoreNames) {
      const old = source.transaction(name).objectStore(name)
      const store = opening.result.createObjectStore(name)
      for (const index of old.indexNames) {
        const { keyPath, unique } = old.index(index)
        store.createIndex(index, keyPath, { unique })
      }
    }
  }
  const target = await done(opening)
  for (const name of source.objectStoreNames) {
    const old = source.transaction(name).objectStore(name)
    const [keys, values] = await Promise.all([done(old.getAllKeys()), done(old.getAll())])
    const store = target.transaction(name, 'readwrite').objectStore(name)
    for (const [at, key] of keys.entries()) await done(store.put(values[at], key))
  }
  source.close()
  target.close()
}
