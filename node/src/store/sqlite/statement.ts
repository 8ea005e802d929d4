/** Prepared statements of SQLite, with integers as bigint. */
import type { DatabaseSync, SQLInputValue } from 'node:sqlite'
import type { Row } from '../rows.ts'

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
    get: statement.get.bind(statement),
    all: statement.all.bind(statement),
    run: (...values) => Number(statement.run(...values).changes),
  }
}
