/** Reads a whole table with running numbers, page by page. */

import type { Row, Store, Table } from '../../store/store.ts'

const pageSize = 500

/** All records of a table, oldest first. @throws PadlockError as `Store.scan` does */
export async function* scanAll<Value>(
  store: Store,
  table: Table<Value>,
): AsyncGenerator<Row<Value>> {
  for (let after = 0; ; ) {
    const { rows, lastNumber } = await store.scan(table, { after, limit: pageSize })
    yield* rows
    // A page may be empty before the end; only the number marks the end.
    if (lastNumber <= after) return
    after = lastNumber
  }
}
