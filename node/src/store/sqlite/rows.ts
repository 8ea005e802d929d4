/** Reads the values of SQLite rows with their types checked: a wrong one is a damaged database. */
import type { DatabaseSync, SQLInputValue, SQLOutputValue } from 'node:sqlite'

export type Row = Readonly<Record<string, SQLOutputValue>>

const unexpected = (column: string): TypeError => new TypeError(`unexpected value in ${column}`)

/** An INTEGER, as bigint: times do not fit a number. */
export function integerOf(row: Row, column: string): bigint {
  const value = row[column]
  if (typeof value !== 'bigint') throw unexpected(column)
  return value
}

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

/** A prepared statement, with integers as bigint. */
export interface Statement {
  get(...values: SQLInputValue[]): Row | undefined
  all(...values: SQLInputValue[]): readonly Row[]
  /** How many rows changed. */
  run(...values: SQLInputValue[]): number
}

export function prepare(database: DatabaseSync, sql: string): Statement {
  const statement = database.prepare(sql)
  statement.setReadBigInts(true)
  return {
    get: (...values) => statement.get(...values),
    all: (...values) => statement.all(...values),
    run: (...values) => Number(statement.run(...values).changes),
  }
}

/** The row of a statement that always has one. */
export function required(row: Row | undefined): Row {
  if (row === undefined) throw new TypeError('a statement that returns a row returned none')
  return row
}
