/** What one read of the database may cost, and where in an index it begins. */

import { equalBytes } from '../protocol/bytes.ts'
import type { Found, PhysicalKey } from './record-vault.ts'
import type { SealedRecord } from './schema.ts'
import type { ListOptions } from './store.ts'

/** How many bytes one read decrypts; one record is always read. */
const maxReadBytes = 8 * 1024 * 1024

/** What a read may still decrypt: records, and their bytes. */
export class ReadBudget {
  #records: number
  #bytes = maxReadBytes

  constructor(records: number) {
    this.#records = records
  }

  get isSpent(): boolean {
    return this.#records <= 0
  }

  takes({ s }: SealedRecord): boolean {
    const isFirst = this.#bytes === maxReadBytes
    // Other code that writes to the database may leave anything there; the vault names it.
    const bytes = s instanceof Uint8Array ? s.length : 0
    if (this.isSpent || (!isFirst && bytes > this.#bytes)) return false
    this.#records -= 1
    this.#bytes -= bytes
    return true
  }
}

/** The part of an `idb` cursor that is used here, whatever its store or index. */
export interface CursorLike {
  readonly direction: IDBCursorDirection
  readonly key: IDBValidKey
  readonly primaryKey: PhysicalKey
  readonly value: SealedRecord
  continue(): Promise<CursorLike | null>
  continuePrimaryKey(key: IDBValidKey, primaryKey: PhysicalKey): Promise<CursorLike | null>
}

/** The part of a group's order that a list asks for. */
export const rangeOf = (
  group: string,
  { at, before, past, newestFirst }: ListOptions,
): IDBKeyRange => {
  if (at) return IDBKeyRange.only([group, at])
  const place = past?.place
  if (place && newestFirst) return IDBKeyRange.bound([group], [group, place])
  // Arrays sort behind bytes, so this is behind every place.
  return IDBKeyRange.bound(place ? [group, place] : [group], [group, before ?? []], false, true)
}

/**
 * Moves a cursor behind a record, which may be gone. Records at one place lie in the order of their
 * keys.
 */
export const skipPast = async (
  opening: CursorLike | null,
  key: PhysicalKey | undefined,
  place: Uint8Array | undefined,
): Promise<CursorLike | null> => {
  const isAhead = ({ direction, primaryKey, value }: CursorLike): boolean =>
    key !== undefined &&
    (direction === 'prev' ? primaryKey >= key : primaryKey <= key) &&
    (!place || (value.o !== undefined && equalBytes(value.o, place)))
  if (!opening || key === undefined || !isAhead(opening)) return opening
  const there =
    opening.primaryKey === key ? opening : await opening.continuePrimaryKey(opening.key, key)
  return there?.primaryKey === key ? there.continue() : there
}

/** Records up to a limit, as far as one read goes. `isEnd`: none comes after them. */
export const collect = async (opening: CursorLike | null, limit: number) => {
  const found: Found[] = []
  const budget = new ReadBudget(limit)
  let cursor = opening
  while (cursor && budget.takes(cursor.value)) {
    found.push({ key: cursor.primaryKey, record: cursor.value })
    cursor = await cursor.continue()
  }
  return { found, isEnd: !cursor }
}
