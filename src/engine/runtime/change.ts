/**
 * What a transaction changes: records to write, and the update of memory after the commit. Code
 * that plans writes returns a `Change`; the committer joins them, so that state and what it
 * produced are saved together, and memory never runs ahead of the store.
 */

import { PadlockError } from '../../errors.ts'
import type {
  AnyTable,
  Key,
  NotPromise,
  Read,
  Rows,
  Step,
  Store,
  WritableTable,
  Write,
} from '../../store/store.ts'
import { put } from '../../store/tables.ts'

export interface Change {
  readonly writes: readonly Write[]
  readonly updates?: readonly Update[]
  /** Brings memory up to date; runs once, after the commit. */
  committed?(): void
}

/** Writes that are computed within the transaction, from what the store holds then. */
export interface Update {
  readonly read?: Read
  /** Pure, as it runs again if an `add` among the writes finds its key taken. */
  writes(rows: Rows): readonly Write[]
  /** The tables that it writes to. */
  readonly to: readonly AnyTable[]
}

export const joinChanges = (...changes: readonly (Change | undefined)[]): Change => {
  const all = changes.filter((change) => change !== undefined)
  return {
    writes: all.flatMap(({ writes }) => writes),
    updates: all.flatMap(({ updates = [] }) => updates),
    committed: () => {
      for (const change of all) change.committed?.()
    },
  }
}

/** Changes fields of a record that others write too, such as `times`. The record must exist. */
export const recordUpdate = <Value, Init>(
  table: WritableTable<Value, Init>,
  key: Key,
  next: (value: Value) => Init,
): Change => ({
  writes: [],
  updates: [
    {
      read: { table, key },
      to: [table],
      writes: (rows) => {
        const row = rows.get(table, key)
        if (!row) throw new PadlockError('storage_damaged')
        return [put(table, key, next(row.value))]
      },
    },
  ],
})

/** Commits a change in its own transaction. @throws PadlockError as `Store.transaction` does */
export const commit = (
  store: Store,
  change: Change,
  durability?: 'relaxed' | 'strict',
): Promise<void> =>
  commitWith(store, change, [], () => ({ writes: [], result: undefined }), durability)

/**
 * Commits a change together with a step of the store: what the step reads, decides and writes, which is
 * in the tables that it reads.
 */
export const commitWith = async <Result>(
  store: Store,
  change: Change,
  reads: readonly Read[],
  step: (rows: Rows) => Step<NotPromise<Result>>,
  durability?: 'relaxed' | 'strict',
): Promise<Result> => {
  const { writes, updates = [] } = change
  const tables = [...writes.map(({ table }) => table), ...updates.flatMap(({ to }) => to)]
  const result = await store.transaction<Result>(
    [...reads, ...updates.flatMap(({ read }) => read ?? [])],
    (rows) => {
      const decided = step(rows)
      const updated = updates.flatMap((update) => update.writes(rows))
      return { writes: [...writes, ...updated, ...decided.writes], result: decided.result }
    },
    durability,
    tables.map(({ store: name }) => name),
  )
  change.committed?.()
  return result
}
