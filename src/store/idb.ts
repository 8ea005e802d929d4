/** The store on IndexedDB: opening it, and ordered reads. Its writes are `transactions.ts`. */

import type { Crypto } from '../crypto/crypto.ts'
import type { PadlockError } from '../errors.ts'
import { migrateRecords } from './migration.ts'
import { withPatience } from './patience.ts'
import { collect, mergePages, ReadBudget, rangeOf, skipPast } from './reading.ts'
import { type Found, type PhysicalKey, RecordVault } from './record-vault.ts'
import {
  closeDatabase,
  type Database,
  nameOf,
  openDatabase,
  reading,
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
  type StoreLoss,
  type StoreName,
  storeNames,
  type Table,
} from './store.ts'
import { tables } from './tables.ts'
import { Transactions } from './transactions.ts'
import { openVaultKey } from './vault-key.ts'

/** Records of one page of a table that has no numbers. */
const maxPage = 1_000
/** How many records one scan visits, so that a sparse group does not hold a long transaction. */
const maxScanned = 2_000
/** Stores whose keys are running numbers: each is used once, also if what it named was deleted. */
const numbered: readonly StoreName[] = Object.values(tables)
  .filter(({ keyKind }) => keyKind === 'number')
  .map(({ store }) => store)
/**
 * Each opening counts from above whatever earlier ones can have counted to. The fifteen digits of a
 * cursor are enough for three million openings.
 */
const numbersOfOpening = 2 ** 28

/**
 * Opens the database and takes over its fence: an earlier holder can no longer write.
 *
 * @param onLost called if the database is deleted, closed by the browser, needed by a newer release or
 *   stuck, or if a later holder has the fence; perhaps more than once.
 * @param onLostRecord called for a record that does not open, where the client does without it
 * @throws PadlockError storage_unavailable, storage_too_new, storage_blocked, storage_full, storage_failed, storage_damaged
 */
export const openIdbStore = async (
  name: string,
  crypto: Crypto,
  onLost: (why: StoreLoss) => void,
  onLostRecord?: (failure: PadlockError) => void,
): Promise<Store> => {
  let database: Database | undefined
  const open = await openDatabase(name, () => {
    database?.close()
    onLost('storage_lost')
  })
  database = open
  const begin = async () => {
    const vault = new RecordVault(crypto, await openVaultKey(open), onLostRecord)
    const epoch = await takeFence(open)
    return { vault, epoch, numbers: await lastNumbers(open, epoch) }
  }
  try {
    const { vault, epoch, numbers } = await withPatience(begin(), () => true)
    await migrateRecords(open, vault)
    return new IdbStore(open, vault, epoch, numbers, onLost)
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

/** The number before the first that this opening may use, of each store. */
const lastNumbers = async (database: Database, epoch: number): Promise<Map<StoreName, number>> => {
  const least = (epoch - 1) * numbersOfOpening
  const last = new Map<StoreName, number>()
  const atLeast = (name: StoreName, key: unknown) =>
    last.set(name, typeof key === 'number' ? Math.max(key, least) : least)
  const transaction = reading(database, storeNames)
  for (const name of numbered) {
    const cursor = await transaction.objectStore(name).openKeyCursor(null, 'prev')
    atLeast(name, cursor?.key)
  }
  const arrival = await transaction
    .objectStore('messages')
    .index('arrival')
    .openKeyCursor(null, 'prev')
  atLeast('messages', arrival?.key)
  return last
}

const openObjectStore = (database: Database, name: StoreName) =>
  reading(database, [name]).objectStore(name)

class IdbStore implements Store {
  readonly #database: Database
  readonly #vault: RecordVault
  readonly #transactions: Transactions
  readonly #numbers: Map<StoreName, number>
  readonly #onLost: (why: StoreLoss) => void
  /** Of this turn. */
  readonly #open = new Map<StoreName, ReturnType<typeof openObjectStore>>()
  #isClosed = false

  constructor(
    database: Database,
    vault: RecordVault,
    epoch: number,
    numbers: Map<StoreName, number>,
    onLost: (why: StoreLoss) => void,
  ) {
    this.#database = database
    this.#vault = vault
    this.#transactions = new Transactions(database, vault, epoch, () => onLost('storage_lost'))
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
    const record = await this.#read(async () => this.#openNow(table.store).get(physical))
    return record && this.#vault.open(table, [{ key: physical, record }])[0]
  }

  /** What is asked for in one turn shares a transaction: opening one costs more than a record. */
  #openNow(name: StoreName): ReturnType<typeof openObjectStore> {
    let open = this.#open.get(name)
    if (!open) {
      open = openObjectStore(this.#database, name)
      this.#open.set(name, open)
      queueMicrotask(() => this.#open.delete(name))
    }
    return open
  }

  async list<Value>(table: Table<Value>, options: ListOptions): Promise<readonly Row<Value>[]> {
    const named = typeof options.group === 'string' ? [options.group] : options.group
    const groups = named.map((group) => this.#vault.group(table, group))
    const { past, newestFirst = false, limit } = options
    let place = past?.place
    let key = past && this.#vault.key(table, past.key)
    for (;;) {
      const { found } = await this.#read(async () => {
        const store = openObjectStore(this.#database, table.store)
        const isOrdered = table.store === 'messages' || table.store === 'conversations'
        const index = store.index(isOrdered ? 'order' : 'group')
        const pages = groups.map(async (group) => {
          const range = isOrdered ? rangeOf(group, options, place) : IDBKeyRange.only(group)
          const opening = await index.openCursor(range, newestFirst ? 'prev' : 'next')
          return collect(await skipPast(opening, key, place), limit)
        })
        return mergePages(await Promise.all(pages), limit, newestFirst)
      })
      const rows = this.#vault.open(table, found)
      const last = found.at(-1)
      // Only an empty page is the end, so one of nothing but lost records is passed over.
      if (rows.length > 0 || !last) return rows
      key = last.key
      place = last.record.o
    }
  }

  async *pages<Value>(table: Table<Value>, group?: string): AsyncGenerator<readonly Row<Value>[]> {
    const ofGroup = group === undefined ? undefined : this.#vault.group(table, group)
    for (let after: PhysicalKey | undefined, isEnd = false; !isEnd; ) {
      const page = await this.#read(async () => {
        const store = openObjectStore(this.#database, table.store)
        const opening =
          ofGroup === undefined
            ? await store.openCursor(
                after === undefined ? null : IDBKeyRange.lowerBound(after, true),
              )
            : await skipPast(await store.index('group').openCursor(ofGroup), after, undefined)
        return collect(opening, maxPage)
      })
      isEnd = page.isEnd
      after = page.found.at(-1)?.key
      if (page.found.length > 0) yield this.#vault.open(table, page.found)
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
    await this.#read(async () => {
      const store = openObjectStore(this.#database, table.store)
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

  transaction<Result>(
    reads: readonly Read[],
    step: (rows: Rows) => Step<Result>,
    durability: 'relaxed' | 'strict' = 'relaxed',
    writesTo?: readonly StoreName[],
  ): Promise<Result> {
    return this.#guard(() => this.#transactions.run(reads, step, durability, writesTo))
  }

  close(): Promise<void> {
    this.#isClosed = true
    return closeDatabase(this.#database)
  }

  #read<T>(run: () => Promise<T>): Promise<T> {
    return this.#guard(() => withPatience(run(), () => true))
  }

  async #guard<T>(run: () => Promise<T>): Promise<T> {
    try {
      return await run()
    } catch (error) {
      throw this.#failure(error)
    }
  }

  /** Translates a failure, and tells of one after which nothing works any more. */
  #failure(error: unknown): PadlockError {
    const failure = storageError(error)
    if (this.#isClosed) return failure
    // The browser has closed the connection.
    if (nameOf(error) === 'InvalidStateError') this.#onLost('storage_lost')
    if (failure.code === 'leadership_lost') this.#onLost('leadership_lost')
    return failure
  }
}
