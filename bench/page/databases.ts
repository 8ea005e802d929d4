/**
 * Copies of whole databases, keys included: each repetition of a measurement starts from the same
 * state, and the node, which still has what the first one received, sends it again.
 */

const resultOf = <T>(request: IDBRequest<T>): Promise<T> =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result)
    request.onerror = () => reject(request.error)
  })

export const deleteDatabase = async (name: string): Promise<void> => {
  await resultOf(indexedDB.deleteDatabase(name))
}

/** Neither may be open. Replaces `to`. */
export const copyDatabase = async (from: string, to: string): Promise<void> => {
  await deleteDatabase(to)
  const source = await resultOf(indexedDB.open(from))
  const names = [...source.objectStoreNames]
  const reading = source.transaction(names, 'readonly')
  const layout = names.map((name) => {
    const store = reading.objectStore(name)
    const indexes = [...store.indexNames].map((index) => store.index(index))
    return {
      name,
      indexes: indexes.map(({ name, keyPath, unique }) => ({ name, keyPath, unique })),
    }
  })
  const opening = indexedDB.open(to, source.version)
  opening.onupgradeneeded = () => {
    for (const { name, indexes } of layout) {
      const store = opening.result.createObjectStore(name)
      for (const index of indexes) store.createIndex(index.name, index.keyPath, index)
    }
  }
  const target = await resultOf(opening)
  for (const name of names) {
    const store = source.transaction(name, 'readonly').objectStore(name)
    const [keys, values] = await Promise.all([
      resultOf(store.getAllKeys()),
      resultOf(store.getAll()),
    ])
    const transaction = target.transaction(name, 'readwrite')
    for (const [at, key] of keys.entries()) transaction.objectStore(name).put(values[at], key)
    await new Promise((resolve, reject) => {
      transaction.oncomplete = resolve
      transaction.onerror = reject
      transaction.onabort = reject
    })
  }
  source.close()
  target.close()
}
