/**
 * Transactions that write: fenced, so that a superseded engine commits nothing, and run again when a
 * record that must be new is there already. Failures come out as the browser says them.
 */

import { PadlockError } from '../errors.ts'
import { withPatience } from './patience.ts'
import type { PhysicalKey, RecordVault } from './record-vault.ts'
import { type Database, nameOf, reading, type SealedRecord } from './schema.ts'
import { type Read, type Rows, type Step, type StoreName, storeNames, type Write } from './store.ts'

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

/** What a run of a step decided, ready to be written. */
interface Planned<Result> {
  readonly writes: readonly Write[]
  readonly sealed: ReturnType<RecordVault['seal']>
  readonly result: Result
}

const writing = (
  database: Database,
  names: readonly StoreName[],
  durability: 'relaxed' | 'strict',
) => {
  const transaction = database.transaction(['meta', ...names], 'readwrite', { durability })
  // A failed transaction rejects this too; the first error is the one that is reported.
  transaction.done.catch(() => undefined)
  return transaction
}

export class Transactions {
  readonly #database: Database
  readonly #vault: RecordVault
  readonly #epoch: number
  readonly #onStuck: () => void

  /**
   * @param epoch the fence that this opener took
   * @param onStuck called when the database does not say whether it committed
   */
  constructor(database: Database, vault: RecordVault, epoch: number, onStuck: () => void) {
    this.#database = database
    this.#vault = vault
    this.#epoch = epoch
    this.#onStuck = onStuck
  }

  async run<Result>(
    reads: readonly Read[],
    step: (rows: Rows) => Step<Result>,
    durability: 'relaxed' | 'strict',
    writesTo: readonly StoreName[] = storeNames,
  ): Promise<Result> {
    const existing = new Set<string>()
    for (;;) {
      try {
        return await this.#runOnce(reads, step, existing, durability, writesTo)
      } catch (error) {
        // Each run finds at least one more taken key, so this ends.
        if (!(error instanceof AddedBefore) || existing.has(placeName(error.taken))) throw error
        existing.add(placeName(error.taken))
        for (const place of await this.#findTaken(error.added)) existing.add(placeName(place))
      }
    }
  }

  /** All at once: otherwise a batch seen before would run again once for each of its records. */
  async #findTaken(places: readonly Place[]): Promise<readonly Place[]> {
    const transaction = reading(this.#database, storeNames)
    const keys = await Promise.all(
      places.map(({ store, key }) => transaction.objectStore(store).getKey(key)),
    )
    return places.filter((_, at) => keys[at] !== undefined)
  }

  async #runOnce<Result>(
    reads: readonly Read[],
    step: (rows: Rows) => Step<Result>,
    existing: ReadonlySet<string>,
    durability: 'relaxed' | 'strict',
    writesTo: readonly StoreName[],
  ): Promise<Result> {
    // Without reads, the step runs before the transaction, so its stores are known.
    const early = reads.length === 0 ? this.#runStep(step, new Map(), existing) : undefined
    const scope = early
      ? early.writes.map((write) => write.table.store)
      : [...writesTo, ...reads.map(({ table }) => table.store)]
    const transaction = writing(this.#database, [...new Set(scope)], durability)
    const work = this.#perform(transaction, reads, step, existing, early)
    return withPatience(work, () => {
      try {
        transaction.abort()
        return true
      } catch {
        // It is being committed: whether it was, only the next opening shows.
        this.#onStuck()
        return false
      }
    })
  }

  async #perform<Result>(
    transaction: ReturnType<typeof writing>,
    reads: readonly Read[],
    step: (rows: Rows) => Step<Result>,
    existing: ReadonlySet<string>,
    early: Planned<Result> | undefined,
  ): Promise<Result> {
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
        done = this.#runStep(step, new Map(values), existing)
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

  #runStep<Result>(
    step: (rows: Rows) => Step<Result>,
    found: ReadonlyMap<string, SealedRecord | undefined>,
    existing: ReadonlySet<string>,
  ): Planned<Result> {
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
}

const placeName = ({ store, key }: Place): string => `${store} ${key}`
