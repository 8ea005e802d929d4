/** A store whose transactions a test watches, delays or fails; all else is the real one's. */

import type { Store } from '../../src/store/store.ts'

/** @param transaction instead of the real store's. */
export const storeWithTransaction = (real: Store, transaction: Store['transaction']): Store => ({
  get: (table, key) => real.get(table, key),
  list: (table, options) => real.list(table, options),
  all: (table) => real.all(table),
  pages: (table, group) => real.pages(table, group),
  scan: (table, options) => real.scan(table, options),
  nextNumber: (table) => real.nextNumber(table),
  transaction,
  close: () => real.close(),
})
