/** Reads the values of database rows with their types checked: a wrong one is a damaged database. */

/** A row of either engine: integers are bigint, bytes `Uint8Array`. */
export type Row = Readonly<Record<string, unknown>>

const unexpected = (column: string): TypeError => new TypeError(`unexpected value in ${column}`)

/** An integer, as bigint: times do not fit a number. */
export function integerOf(row: Row, column: string): bigint {
  const value = row[column]
  if (typeof value !== 'bigint') throw unexpected(column)
  return value
}

/** An integer, or undefined for NULL. */
export const nullableIntegerOf = (row: Row, column: string): bigint | undefined =>
  row[column] === null ? undefined : integerOf(row, column)

export function textOf(row: Row, column: string): string {
  const value = row[column]
  if (typeof value !== 'string') throw unexpected(column)
  return value
}

export function bytesOf(row: Row, column: string): Uint8Array {
  const value = row[column]
  if (!(value instanceof Uint8Array)) throw unexpected(column)
  return value
}

/** PostgreSQL only: SQLite has integers for it. */
export function booleanOf(row: Row, column: string): boolean {
  const value = row[column]
  if (typeof value !== 'boolean') throw unexpected(column)
  return value
}

/** A text[] or bigint[] column of PostgreSQL, each item as text. */
export function textsOf(row: Row, column: string): readonly string[] {
  const value = row[column]
  if (!Array.isArray(value)) throw unexpected(column)
  return value.map(String)
}

/** The row of a statement that always has one. */
export function required(row: Row | undefined): Row {
  if (row === undefined) throw new TypeError('a statement that returns a row returned none')
  return row
}
