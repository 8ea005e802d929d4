/** Reads every database of the page through raw IndexedDB and searches all of it. */

export const done = <T>(request: IDBRequest<T>): Promise<T> =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result)
    request.onerror = () => reject(request.error)
  })

/** Everything in a value as text: strings as they are, bytes as one character each. */
const flatten = (value: unknown, into: string[]): void => {
  if (typeof value === 'string' || typeof value === 'number') into.push(String(value))
  else if (value instanceof ArrayBuffer) flatten(new Uint8Array(value), into)
  else if (ArrayBuffer.isView(value)) {
    const bytes = new Uint8Array(value.buffer, value.byteOffset, value.byteLength)
    into.push(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(''))
  } else if (Array.isArray(value)) for (const item of value) flatten(item, into)
  // The browser's own key object cannot be looked into by anyone.
  else if (typeof value === 'object' && value !== null && !(value instanceof CryptoKey)) {
    for (const [name, item] of Object.entries(value)) {
      into.push(name)
      flatten(item, into)
    }
  }
}

const dump = async (): Promise<readonly string[]> => {
  const all: string[] = []
  for (const { name } of await indexedDB.databases()) {
    if (name === undefined) continue
    all.push(name)
    const database = await done(indexedDB.open(name))
    for (const storeName of database.objectStoreNames) {
      const store = database.transaction(storeName).objectStore(storeName)
      all.push(storeName, ...store.indexNames)
      flatten(await done(store.getAllKeys()), all)
      flatten(await done(store.getAll()), all)
    }
    database.close()
  }
  return all
}

const encodingsOf = (text: string): readonly string[] => {
  const bytes = new TextEncoder().encode(text)
  const binary = Array.from(bytes, (byte) => String.fromCharCode(byte)).join('')
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
  // Base64 of bytes in the middle of others begins at any of three places: search what is sure.
  const base64 = [0, 1, 2].map((skip) => btoa(' '.repeat(skip) + binary).slice(4, -4))
  const url = base64.map((part) => part.replaceAll('+', '-').replaceAll('/', '_'))
  const half = Array.from(text, (character) => `${character}\0`).join('')
  return [text, text.toLowerCase(), binary, hex, half, ...base64, ...url]
}

export const findInDatabases = async (markers: readonly string[]): Promise<readonly string[]> => {
  const all = await dump()
  return markers.filter((marker) =>
    encodingsOf(marker).some((form) => all.some((text) => text.includes(form))),
  )
}

export const plant = async (text: string): Promise<void> => {
  const request = indexedDB.open('planted')
  request.onupgradeneeded = () => request.result.createObjectStore('clear')
  const database = await done(request)
  const store = database.transaction('clear', 'readwrite').objectStore('clear')
  await done(store.put({ bytes: new TextEncoder().encode(`before ${text} after`) }, 1))
  database.close()
}

/** Overwrites the wrapped key of a database with something else. */
export const damage = async (database: string): Promise<void> => {
  const opened = await done(indexedDB.open(database))
  const meta = opened.transaction('meta', 'readwrite').objectStore('meta')
  await done(meta.put('no key', 'vault'))
  opened.close()
}
