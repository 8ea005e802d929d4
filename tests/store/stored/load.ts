/**
 * Databases as earlier releases wrote them, each with the messages that must be readable afterwards,
 * and putting one back into IndexedDB. This file imports nothing and `loadStored` uses nothing
 * outside itself, so that it can be run in a page too.
 */

/** One database with its records as they were, sealed; by release beside this file. */
export interface StoredDatabase {
  readonly release: string
  readonly schemaVersion: number
  readonly database: string
  /** The account, with its EIP-55 checksum. */
  readonly address: string
  /** A throw-away wallet: the account's private key in hex. */
  readonly wallet: { readonly privateKey: string }
  /** The indexes of each object store. */
  readonly indexes: Readonly<Record<string, readonly StoredIndex[]>>
  /** The records of each object store, in the order of their keys. */
  readonly stores: Readonly<Record<string, readonly StoredRecord[]>>
  readonly expected: {
    /** The installation whose database it is. */
    readonly installationId: string
    /** Those with the newest messages first. */
    readonly conversations: readonly ExpectedConversation[]
  }
}

interface StoredIndex {
  readonly name: string
  readonly keyPath: string | string[]
  readonly unique: boolean
}

/** In values, `$bytes` is a Uint8Array and `$buffer` an ArrayBuffer in base64, `$aesGcm` a key as JWK. */
interface StoredRecord {
  readonly key: string | number
  readonly value: unknown
}

interface ExpectedConversation {
  readonly id: string
  /** The other account, with its EIP-55 checksum; the own one in a note to self. */
  readonly peer: string
  readonly createdAtMs: number
  /** Null if there is no message. */
  readonly lastMessageAtMs: number | null
  /** As history shows them, oldest first. */
  readonly messages: readonly ExpectedMessage[]
}

interface ExpectedMessage {
  readonly id: string
  readonly sender: string
  readonly senderInstallation: string
  readonly content: string
  readonly state: string
  readonly composedNs: string
  /** "0" while it is pending. */
  readonly nodeNs: string
  /** Its running number, which is its cursor as well. */
  readonly arrival: number
}

/** Makes the database as it was, under its own name, which must be free, and closes it. */
export const loadStored = async (
  json: StoredDatabase,
  factory: IDBFactory = indexedDB,
): Promise<void> => {
  const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
    typeof value === 'object' && value !== null
  const isJwk = (value: unknown): value is JsonWebKey => isObject(value) && value.kty === 'oct'
  const decode = (base64: string) =>
    Uint8Array.from(atob(base64), (character) => character.charCodeAt(0))
  const revive = async (value: unknown): Promise<unknown> => {
    if (!isObject(value)) return value
    if (Array.isArray(value)) return Promise.all(value.map(revive))
    const { $bytes, $buffer, $aesGcm } = value
    if (typeof $bytes === 'string') return decode($bytes)
    if (typeof $buffer === 'string') return decode($buffer).buffer
    if (isJwk($aesGcm)) {
      return crypto.subtle.importKey('jwk', $aesGcm, 'AES-GCM', false, ['encrypt', 'decrypt'])
    }
    const fields = Object.entries(value).map(async ([name, field]) => [name, await revive(field)])
    return Object.fromEntries(await Promise.all(fields))
  }

  // All before the transaction, which would end while a key is imported.
  const records = await Promise.all(
    Object.entries(json.stores).flatMap(([store, rows]) =>
      rows.map(async ({ key, value }) => ({ store, key, value: await revive(value) })),
    ),
  )
  const database = await new Promise<IDBDatabase>((resolve, reject) => {
    const opening = factory.open(json.database, json.schemaVersion)
    let isNew = false
    opening.onupgradeneeded = ({ oldVersion }) => {
      isNew = oldVersion === 0
      if (!isNew) return opening.transaction?.abort()
      for (const name of Object.keys(json.stores)) {
        const store = opening.result.createObjectStore(name)
        for (const { name: index, keyPath, unique } of json.indexes[name] ?? []) {
          store.createIndex(index, keyPath, { unique })
        }
      }
    }
    opening.onsuccess = () => {
      if (isNew) return resolve(opening.result)
      opening.result.close()
      reject(new Error(`There is a database ${json.database} already.`))
    }
    opening.onerror = () => reject(opening.error)
  })
  try {
    await new Promise<void>((resolve, reject) => {
      const transaction = database.transaction(Object.keys(json.stores), 'readwrite')
      for (const { store, key, value } of records) transaction.objectStore(store).put(value, key)
      transaction.oncomplete = () => resolve()
      transaction.onabort = () => reject(transaction.error)
    })
  } finally {
    database.close()
  }
}
