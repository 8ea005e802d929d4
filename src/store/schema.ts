/**
 * The IndexedDB layout, created and migrated by numbered steps, and opening it with clear errors.
 */

import { type DBSchema, type IDBPDatabase, openDB } from 'idb'
import { PadlockError } from '../errors.ts'
import { withPatience } from './patience.ts'
import type { StoreName } from './store.ts'

/** One record: `s` the sealed bytes, `g` keyed hash of its group, `o` order, `a` running number. */
export interface SealedRecord {
  readonly s: Uint8Array
  readonly g?: string
  readonly o?: Uint8Array<ArrayBuffer>
  readonly a?: number
}

type StoreSchema = {
  [Name in StoreName]: {
    key: string | number
    value: SealedRecord
    indexes: { group: string; order: [string, Uint8Array<ArrayBuffer>]; arrival: number }
  }
}

/** `meta` is the only store in clear: the fence, and the wrapped vault key. */
export interface PadlockSchema extends DBSchema, StoreSchema {
  meta: { key: string; value: unknown }
}

export type Database = IDBPDatabase<PadlockSchema>

/**
 * A database that has not begun to open by then waits for something that no event reports, such as
 * its own deletion, which another tab holds up.
 */
const openTimeoutMs = 15_000
/** Whoever closes may want to delete it, and waits for nothing that has stopped answering. */
const closePatienceMs = 15_000

/** Step n brings a database from version n to n + 1. A released step does not change. */
const migrations: readonly ((database: Database) => void)[] = [
  (database) => {
    database.createObjectStore('meta')
    const names = [
      'account',
      'installations',
      'sessions',
      'conversations',
      'messages',
      'outbox',
      'cursors',
      'seen',
      'parked',
      'setAside',
    ] as const
    for (const name of names) {
      const store = database.createObjectStore(name)
      if (name === 'installations' || name === 'sessions') store.createIndex('group', 'g')
      if (name === 'messages' || name === 'conversations') store.createIndex('order', ['g', 'o'])
      if (name === 'messages') store.createIndex('arrival', 'a', { unique: true })
    }
  },
  (database) => {
    for (const name of ['sent', 'recovery', 'owed', 'revocations'] as const)
      database.createObjectStore(name)
  },
  (database) => {
    database.createObjectStore('unverified')
  },
  (database) => {
    database.createObjectStore('news')
  },
  (database) => {
    database.createObjectStore('accounts')
  },
]

/** The version of this release's databases. */
export const schemaVersion = migrations.length

/** The name of a DOMException, by which IndexedDB's failures differ. */
export const nameOf = (error: unknown): string =>
  error instanceof Error || error instanceof DOMException ? error.name : ''

/** Translates what IndexedDB throws; everything unknown is `storage_failed`. */
export const storageError = (error: unknown): PadlockError => {
  if (error instanceof PadlockError) return error
  const name = nameOf(error)
  if (name === 'QuotaExceededError') return new PadlockError('storage_full', { cause: error })
  if (name === 'VersionError') return new PadlockError('storage_too_new', { cause: error })
  if (name === 'SecurityError' || name === 'NotAllowedError') {
    return new PadlockError('storage_unavailable', { cause: error })
  }
  return new PadlockError('storage_failed', { cause: error })
}

/**
 * Closes the database, and waits until the browser has let go of it: in WebKit, a worker that is
 * terminated before that holds it open as long as the page lives, so that it cannot be deleted.
 */
export const closeDatabase = async (database: Database): Promise<void> => {
  const letGo = async () => {
    try {
      // It begins when all others have ended. Without a request it ends at once.
      await database.transaction(database.objectStoreNames, 'readwrite').done
    } catch {
      // Closed already.
    }
    database.close()
    // Answered in order. Firefox has it since 126.
    await indexedDB.databases?.()
  }
  await withPatience(letGo(), () => true, closePatienceMs).catch(() => undefined)
  database.close()
}

/**
 * Opens the database, creating or migrating it.
 *
 * @throws PadlockError storage_unavailable, storage_too_new, storage_blocked, storage_full, storage_failed
 */
export const openDatabase = async (name: string, onClosing: () => void): Promise<Database> => {
  if (typeof indexedDB === 'undefined') throw new PadlockError('storage_unavailable')
  let blocked: (error: PadlockError) => void = () => undefined
  const whenBlocked = new Promise<never>((_, reject) => {
    blocked = reject
  })
  const timer = setTimeout(() => blocked(new PadlockError('storage_blocked')), openTimeoutMs)
  const open = () =>
    openDB<PadlockSchema>(name, schemaVersion, {
      upgrade: (database, from) => {
        clearTimeout(timer)
        for (const migrate of migrations.slice(from)) migrate(database)
      },
      blocked: () => blocked(new PadlockError('storage_blocked')),
      // A newer release wants to migrate, or the data is being deleted: give way.
      blocking: onClosing,
      terminated: onClosing,
    })
  let opening: Promise<Database> | undefined
  try {
    // It may throw at once if site data is blocked.
    opening = open()
    return await Promise.race([opening, whenBlocked])
  } catch (error) {
    opening?.then(
      (database) => database.close(),
      () => undefined,
    )
    // In private windows, Firefox before 115 has no databases.
    if (nameOf(error) === 'InvalidStateError') {
      throw new PadlockError('storage_unavailable', { cause: error })
    }
    throw storageError(error)
  } finally {
    clearTimeout(timer)
  }
}

/** A transaction that reads. Its end is nobody's: what it was for reports the failure. */
export const reading = (database: Database, names: readonly StoreName[]) => {
  const transaction = database.transaction(names, 'readonly')
  transaction.done.catch(() => undefined)
  return transaction
}
