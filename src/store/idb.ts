/** The store on IndexedDB: fenced transactions, and ordered reads. */

import type { Crypto } from '../crypto/crypto.ts'
import { PadlockError } from '../errors.ts'
import { collect, ReadBudget, rangeOf, skipPast } from './reading.ts'
import { type Found, type PhysicalKey, RecordVault } from './record-vault.ts'
import {
  closeDatabase,
  type Database,
  nameOf,
  openDatabase,
  type SealedRecord,
  storageError,
} from './schema.ts'
import {
  type AnyTable,
  type Key,
  type ListOptions,
  type Read,
  type Row,
  type Rows,
  type ScanOptions,
  type Step,
  type Store,
  type StoreName,
  storeNames,
  type Table,
} from './store.ts'
import { tables } from './tables.ts'
import { openVaultKey } from './vault-key.ts'

/** Records of one page of a table that has no numbers. */
const maxPage = 1_000
/** How many records one scan visits, so that a sparse group does not hold a long transaction. */
const maxScanned = 2_000
/**
 * Stores whose keys continue counting where the last opening stopped: a number is never used twice.
 */
const numbered: readonly StoreName[] = Object.values(tables)
  .filter(({ keyKind }) => keyKind === 'number')
  .map(({ store }) => store)

/** Where a record lies. */
interface Place {
  readonly store: StoreName
  readonly key: PhysicalKey
}

/** Thrown inside a transaction to run the step again; never leaves this file. */
class AddedBefore extends Error {
  readonly taken: Place
  /** Everything that the run wanted to add. */
  readonly added: readonly Place[]
  constructor(taken: Place, added: readonly Place[]) {
    super('The key is taken.')
    this.taken = taken
    this.added = added
  }
}

/**
 * Opens the database and takes over its fence: an earlier holder can no longer write.
 *
 * @param onLost called if the database is deleted, closed by the browser or needed by a newer release;
 *   perhaps more than once.
 * @throws PadlockError storage_unavailable, storage_too_new, storage_blocked, storage_full, storage_failed, storage_damaged
 */
export const openIdbStore = async (
  name: string,
  crypto: Crypto,
  onLost: () => void,
): Promise<Store> => {
  let database: Database | undefined
  const open = await openDatabase(name, () => {
    database?.close()
    onLost()
  })
  database = open
  try {
    const vault = new RecordVault(crypto, await openVaultKey(open))
    return new IdbStore(open, vault, await takeFence(open), await lastNumbers(open), onLost)
  } catch (error) {
    await closeDatabase(open)
    throw storageError(error)
  }
}

/** Raises the epoch; transactions of earlier holders then abort. */
const takeFence = async (database: Database): Promise<number> => {
  const transaction = database.transaction('meta', 'readwrite')
  // A failed transaction rejects this too; the first error is the one that is reported.
  transaction.done.catch(() => undefined)
  const before = await transaction.store.get('epoch')
  const epoch = (typeof before === 'number' ? before : 0) + 1
  await transaction.store.put(epoch, 'epoch')
  await transaction.done
  return epoch
}

const lastNumbers = async (database: Database): Promise<Map<StoreName, number>> => {
  const last = new Map<StoreName, number>()
  const transaction = reading(database, storeNames)
  for (const name of numbered) {
    const cursor = await transaction.objectStore(name).openKeyCursor(null, 'prev')
    if (typeof cursor?.key === 'number') last.set(name, cursor.key)
  }
  const arrival = await transaction
    .objectStore('messages')
    .index('arrival')
    .openKeyCursor(null, 'prev')
  if (typeof arrival?.key === 'number') last.set('messages', arrival.key)
  return last
}

/** A transaction that reads. Its end is nobody's: what it was for reports the failure. */
const reading = (database: Database, names: readonly StoreName[]) => {
  const transaction = database.transaction(names, 'readonly')
  transaction.done.catch(() => undefined)
  return transaction
}

class IdbStore implements Store {
  readonly #database: Database
  readonly #vault: RecordVault
  readonly #epoch: number
  readonly #numbers: Map<StoreName, number>
  readonly #onLost: () => void
  #isClosed = false

  constructor(
    database: Database,
    vault: RecordVault,
    epoch: number,
    numbers: Map<StoreName, number>,
    onLost: () => void,
  ) {
    this.#database = database
    this.#vault = vault
    this.#epoch = epoch
    this.#numbers = numbers
    this.#onLost = onLost
  }

  nextNumber(table: AnyTable): number {
    const next = (this.#numbers.get(table.store) ?? 0) + 1
    this.#numbers.set(table.store, next)
    return next
  }

  async get<Value>(table: Table<Value>, key: Key): Promise<Row<Value> | undefined> {
    const physical = this.#vault.key(table, key)
    const record = await this.#guard(() => this.#database.get(table.store, physical))
    return record && this.#vault.open(table, [{ key: physical, record }])[0]
  }

  async list<Value>(table: Table<Value>, options: ListOptions): Promise<readonly Row<Value>[]> {
    const group = this.#vault.group(table, options.group)
    const { past } = options
    const found = await this.#guard(async () => {
      const store = reading(this.#database, [table.store]).objectStore(table.store)
      const isOrdered = table.store === 'messages' || table.store === 'conversations'
      const index = store.index(isOrdered ? 'order' : 'group')
      const range = isOrdered ? rangeOf(group, options) : IDBKeyRange.only(group)
      const direction = options.newestFirst ? 'prev' : 'next'
      const opening = await index.openCursor(range, direction)
      const key = past && this.#vault.key(table, past.key)
      return collect(await skipPast(opening, key, past?.place), options.limit)
    })
    return this.#vault.open(table, found)
  }

  async *pages<Value>(table: Table<Value>): AsyncGenerator<readonly Row<Value>[]> {
    for (let after: PhysicalKey | undefined; ; ) {
      const range = after === undefined ? undefined : IDBKeyRange.lowerBound(after, true)
      const found = await this.#guard(async () => {
        const store = reading(this.#database, [table.store]).objectStore(table.store)
        return collect(await store.openCursor(range), maxPage)
      })
      const last = found.at(-1)
      if (!last) return
      after = last.key
      yield this.#vault.open(table, found)
    }
  }

  async all<Value>(table: Table<Value>): Promise<readonly Row<Value>[]> {
    const rows: Row<Value>[] = []
    for await (const page of this.pages(table)) rows.push(...page)
    return rows
  }

  async scan<Value>(
    table: Table<Value>,
    options: ScanOptions,
  ): Promise<{ readonly rows: readonly Row<Value>[]; readonly lastNumber: number }> {
    const range = IDBKeyRange.lowerBound(options.after, true)
    const group = options.group === undefined ? undefined : this.#vault.group(table, options.group)
    let lastNumber = options.after
    const found: Found[] = []
    await this.#guard(async () => {
      const store = reading(this.#database, [table.store]).objectStore(table.store)
      const opening =
        table.store === 'messages'
          ? store.index('arrival').openCursor(range)
          : store.openCursor(range)
      let cursor = await opening
      const budget = new ReadBudget(options.limit)
      for (let seen = 0; cursor && !budget.isSpent && seen < maxScanned; seen += 1) {
        const isOfGroup = group === undefined || cursor.value.g === group
        if (isOfGroup && !budget.takes(cursor.value)) break
        if (typeof cursor.key === 'number') lastNumber = cursor.key
        if (isOfGroup) {
          found.push({ key: cursor.primaryKey, record: cursor.value, number: lastNumber })
        }
        cursor = await cursor.continue()
      }
    })
    return { rows: this.#vault.open(table, found), lastNumber }
  }

  async transaction<Result>(
    reads: readonly Read[],
    step: (rows: Rows) => Step<Result>,
    durability: 'relaxed' | 'strict' = 'relaxed',
  ): Promise<Result> {
    const existing = new Set<string>()
    for (;;) {
      try {
        return await this.#advanceOnce(reads, step, existing, durability)
      } catch (error) {
        // Each run finds at least one more taken key, so this ends.
        if (!(error instanceof AddedBefore) || existing.has(placeName(error.taken))) {
          throw this.#failure(error)
        }
        existing.add(placeName(error.taken))
        for (const place of await this.#findTaken(error.added)) existing.add(placeName(place))
      }
    }
  }

  close(): Promise<void> {
    this.#isClosed = true
    return closeDatabase(this.#database)
  }

  /** All at once: otherwise a batch seen before would run again once for each of its records. */
  async #findTaken(places: readonly Place[]): Promise<readonly Place[]> {
    return this.#guard(async () => {
      const transaction = reading(this.#database, storeNames)
      const keys = await Promise.all(
        places.map(({ store, key }) => transaction.objectStore(store).getKey(key)),
      )
      return places.filter((_, at) => keys[at] !== undefined)
    })
  }

  async #advanceOnce<Result>(
    reads: readonly Read[],
    step: (rows: Rows) => Step<Result>,
    existing: ReadonlySet<string>,
    durability: 'relaxed' | 'strict',
  ): Promise<Result> {
    // Without reads, the step runs before the transaction, so its stores are known.
    const early = reads.length === 0 ? this.#run(step, new Map(), existing) : undefined
    const scope = early ? [...new Set(early.writes.map((write) => write.table.store))] : storeNames
    const transaction = this.#database.transaction(['meta', ...scope], 'readwrite', { durability })
    // A failed transaction rejects this too; the first error is the one that is reported.
    transaction.done.catch(() => undefined)
    try {
      const fence = transaction.objectStore('meta').get('epoch')
      // When the fence aborts, every later request of the transaction fails.
      const fenced = fence.then((epoch) => {
        if (epoch !== this.#epoch) throw new PadlockError('leadership_lost')
      })
      fenced.catch(() => undefined)
      let done = early
      if (!done) {
        const values = await Promise.all(
          reads.map(async (read) => {
            const key = this.#vault.key(read.table, read.key)
            return [
              placeName({ store: read.table.store, key }),
              await transaction.objectStore(read.table.store).get(key),
            ] as const
          }),
        )
        done = this.#run(step, new Map(values), existing)
      }
      const added = done.sealed.flatMap(({ write, key }) =>
        write.kind === 'add' ? [{ store: write.table.store, key }] : [],
      )
      const writes = done.sealed.map(async ({ write, key, record }) => {
        const store = transaction.objectStore(write.table.store)
        if (write.kind === 'delete' || !record) await store.delete(key)
        else if (write.kind === 'put') await store.put(record, key)
        else {
          await store.add(record, key).catch((error: unknown) => {
            throw nameOf(error) === 'ConstraintError'
              ? new AddedBefore({ store: write.table.store, key }, added)
              : error
          })
        }
      })
      await Promise.all([fenced, ...writes])
      await transaction.done
      return done.result
    } catch (error) {
      try {
        transaction.abort()
      } catch {
        // It has ended already.
      }
      // The transaction reports what ended it, such as a full disk; the requests that failed with
      // it do not.
      throw nameOf(error) === 'AbortError' ? (transaction.error ?? error) : error
    }
  }

  #run<Result>(
    step: (rows: Rows) => Step<Result>,
    found: ReadonlyMap<string, SealedRecord | undefined>,
    existing: ReadonlySet<string>,
  ) {
    const rows: Rows = {
      get: (table, key) => {
        const physical = this.#vault.key(table, key)
        const place = placeName({ store: table.store, key: physical })
        // If it counted as absent, a record that was not read would be overwritten.
        if (!found.has(place)) throw new PadlockError('internal')
        const record = found.get(place)
        return record && this.#vault.open(table, [{ key: physical, record }])[0]
      },
      exists: (table, key) =>
        existing.size > 0 &&
        existing.has(placeName({ store: table.store, key: this.#vault.key(table, key) })),
    }
    const { writes, result } = step(rows)
    return { writes, result, sealed: this.#vault.seal(writes) }
  }

  async #guard<T>(run: () => Promise<T>): Promise<T> {
    try {
      return await run()
    } catch (error) {
      throw this.#failure(error)
    }
  }

  /** Translates a failure. A connection that the browser has closed never works again. */
  #failure(error: unknown): PadlockError {
    if (nameOf(error) === 'InvalidStateError' && !this.#isClosed) this.#onLost()
    return storageError(error)
  }
}

const placeName = ({ store, key }: Place): string => `${store} ${key}`
