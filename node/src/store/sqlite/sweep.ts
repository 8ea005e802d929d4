/**
 * Drops old data, a little at a time (docs/protocol.md sections 5 and 11). Rows are stored in the
 * order of time, so a mark of how far the sweep came is enough and no index is needed.
 */
import type { DatabaseSync } from 'node:sqlite'
import { uploadMemoryNs } from '../lifetimes.ts'
import { sweepLimit } from '../operations.ts'
import { bytesOf, integerOf } from '../rows.ts'
import type { SqlitePrekeys } from './prekeys.ts'
import type { Readings } from './readings.ts'
import { prepare, type Statement } from './statement.ts'

export class SqliteSweep {
  readonly #prekeys: SqlitePrekeys
  readonly #readings: Readings
  readonly #forgetUploads: Statement
  readonly #mark: Statement
  readonly #setMark: Statement
  readonly #next: Statement
  readonly #dropInbox: Statement
  readonly #swept: Statement
  readonly #setSwept: Statement
  /** What was stored last when the file was opened: this process's own clock says nothing against itself. */
  readonly #storedNs: bigint | undefined

  constructor(database: DatabaseSync, prekeys: SqlitePrekeys, readings: Readings) {
    this.#prekeys = prekeys
    this.#readings = readings
    const sql = (text: string): Statement => prepare(database, text)
    // The newest row stays: otherwise SQLite would reuse its id, below the mark.
    this.#forgetUploads = sql(
      `DELETE FROM envelope WHERE id IN (SELECT id FROM envelope
       WHERE message IS NULL AND node_ns <= ? AND id < (SELECT MAX(id) FROM envelope)
       ORDER BY node_ns LIMIT ?)`,
    )
    this.#mark = sql(`SELECT value FROM meta WHERE name = 'retention_mark'`)
    this.#setMark = sql(`INSERT OR REPLACE INTO meta (name, value) VALUES ('retention_mark', ?)`)
    this.#swept = sql(`SELECT value FROM meta WHERE name = 'swept_ns'`)
    this.#setSwept = sql(`INSERT OR REPLACE INTO meta (name, value) VALUES ('swept_ns', ?)`)
    const newest = sql('SELECT node_ns FROM envelope ORDER BY id DESC LIMIT 1').get()
    this.#storedNs = newest === undefined ? undefined : integerOf(newest, 'node_ns')
    this.#next = sql(
      `SELECT id, node_ns FROM envelope
       WHERE id > ? AND id < (SELECT MAX(id) FROM envelope) ORDER BY id LIMIT ?`,
    )
    this.#dropInbox = sql(
      `DELETE FROM envelope WHERE id > ? AND id <= ? AND EXISTS
       (SELECT 1 FROM topic WHERE topic.id = envelope.topic AND topic.name GLOB 'message-*')`,
    )
  }

  /** When data was dropped last, or else stored before this process began; absent if there was none. */
  get sweptNs(): bigint | undefined {
    const swept = this.#swept.get()
    return swept === undefined
      ? this.#storedNs
      : Buffer.from(bytesOf(swept, 'value')).readBigInt64BE()
  }

  /** To be called in a transaction. @returns whether there is more. */
  run(nowNs: bigint, retentionNs: bigint): boolean {
    this.#setSwept.run(bytesOfNumber(nowNs))
    const keysAreLeft = this.#prekeys.sweep(nowNs)
    const uploads = this.#forgetUploads.run(nowNs - uploadMemoryNs, sweepLimit)
    const messagesAreLeft = this.#dropMessages(nowNs - retentionNs, nowNs)
    return keysAreLeft || uploads === sweepLimit || messagesAreLeft
  }

  /** The topics keep their latest sequences, so no sequence is reused. */
  #dropMessages(untilNs: bigint, nowNs: bigint): boolean {
    const row = this.#mark.get()
    const from = row === undefined ? 0n : Buffer.from(bytesOf(row, 'value')).readBigInt64BE()
    const surely = this.#readings.lastBefore(untilNs, nowNs, from)
    let to = from
    let count = 0
    for (const next of this.#next.all(from, sweepLimit)) {
      const id = integerOf(next, 'id')
      if (integerOf(next, 'node_ns') > untilNs && id > surely) break
      to = id
      count += 1
    }
    if (to === from) return false
    this.#dropInbox.run(from, to)
    this.#setMark.run(bytesOfNumber(to))
    this.#readings.drop(to)
    return count === sweepLimit
  }
}

function bytesOfNumber(value: bigint): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeBigInt64BE(value)
  return bytes
}
