/**
 * A database that is being checked, as it was at one moment. Both engines understand the statements
 * of the check as they are; what differs between them is here.
 */
import type { Row } from '../rows.ts'

/** What the database says of itself. */
export interface SelfDescription {
  /** Absent: it has none of the right length. */
  readonly nodeId: Uint8Array | undefined
  /** Of its tables. */
  readonly schemaVersion: number
  /** What is wrong before a row is looked at. With any, reading on makes no sense. */
  readonly problems: readonly string[]
}

export interface CheckSource {
  /** Checks the file itself, if there is one, and its tables. To be called first. */
  describe(): Promise<SelfDescription>
  /**
   * The rows of a statement, some hundred at a time. There is a function `sha256` in it.
   * @throws Error if the database cannot be read on.
   */
  rows(statement: string): AsyncIterable<readonly Row[]>
  /** Whether retention takes old envelopes of a topic in any order, so that some gaps are its doing. */
  readonly dropsInAnyOrder: boolean
  close(): Promise<void>
}

/** How many rows are at hand at once. */
export const chunkRows = 500
