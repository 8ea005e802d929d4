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

/** The part of a group's order that a list asks for. @param place where to go on from */
export const rangeOf = (
  group: string,
  { at, before, newestFirst }: ListOptions,
  place: Uint8Array<ArrayBuffer> | undefined,
): IDBKeyRange => {
  if (at) return IDBKeyRange.only([group, at])
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

/** A page of one group: `isEnd` if none comes after it. */
export type Page = Awaited<ReturnType<typeof collect>>

/** The pages of several groups as one, in the order of an index. */
export const mergePages = (pages: readonly Page[], limit: number, newestFirst: boolean): Page => {
  const [first, ...others] = pages
  if (first && others.length === 0) return first
  const sign = newestFirst ? -1 : 1
  const merged = pages.flatMap(({ found }) => found).sort((a, b) => sign * comparePlaces(a, b))
  // What a group has behind the end of its page is not known.
  const known = pages.flatMap(({ found, isEnd }) => {
    const last = found.at(-1)
    return isEnd || !last ? [] : [merged.indexOf(last) + 1]
  })
  const end = Math.min(limit, ...known)
  const isEnd = end >= merged.length && pages.every((page) => page.isEnd)
  return { found: merged.slice(0, end), isEnd }
}

const comparePlaces = (a: Found, b: Found): number =>
  compareBytes(a.record.o ?? nothing, b.record.o ?? nothing) || (a.key < b.key ? -1 : 1)

const nothing = new Uint8Array()

const compareBytes = (a: Uint8Array, b: Uint8Array): number => {
  const at = a.findIndex((byte, index) => byte !== b[index])
  return at < 0 ? a.length - b.length : (a[at] ?? 0) - (b[at] ?? 0)
}
