/**
 * A database under check, as it was at one moment. Both engines understand the statements of the
 * check; this interface hides where they differ.
 */
import type { Row } from '../rows.ts'

/** What the database says of itself. */
export interface SelfDescription {
  /** Absent if it has none of the right length. */
  readonly nodeId: Uint8Array | undefined
  /** The version of its tables. */
  readonly schemaVersion: number
  /** Problems found before a row is read. With any, reading on makes no sense. */
  readonly problems: readonly string[]
}

export interface CheckSource {
  /** Checks the file itself, if there is one, and its tables. To be called first. */
  describe(): Promise<SelfDescription>
  /**
   * The rows of a statement, some hundred at a time. Statements may call a function `sha256`.
   * @throws Error if the database cannot be read on.
   */
  rows(statement: string): AsyncIterable<readonly Row[]>
  /** Whether retention drops old envelopes of a topic in any order, which leaves gaps for a while. */
  readonly dropsInAnyOrder: boolean
  close(): Promise<void>
}

/** Rows in memory at a time. */
export const chunkRows = 500
