/**
 * What the clock said when envelopes were stored. Retention goes by it, and not by the times that
 * envelopes carry: after one under a clock far ahead these stand still until the clock has caught up.
 */
import type { DatabaseSync } from 'node:sqlite'
import { minuteNs } from '../../clock.ts'
import { integerOf } from '../rows.ts'
import { prepare, type Statement } from './statement.ts'

const everyNs = 60n * minuteNs

export class Readings {
  readonly #newest: Statement
  readonly #add: Statement
  readonly #all: Statement
  readonly #forget: Statement
  #latestNs: bigint | undefined

  constructor(database: DatabaseSync) {
    const sql = (text: string): Statement => prepare(database, text)
    this.#newest = sql('SELECT MAX(id) AS id FROM envelope')
    this.#add = sql('INSERT OR REPLACE INTO reading (id, clock_ns) VALUES (?, ?)')
    this.#all = sql('SELECT id, clock_ns FROM reading WHERE id > ? ORDER BY id')
    this.#forget = sql('DELETE FROM reading WHERE id <= ?')
    const latest = sql('SELECT clock_ns FROM reading ORDER BY id DESC LIMIT 1').get()
    this.#latestNs = latest === undefined ? undefined : integerOf(latest, 'clock_ns')
  }

  /** To be called in a transaction that stored envelopes, at its end. */
  note(nowNs: bigint): void {
    const latestNs = this.#latestNs
    if (latestNs !== undefined && nowNs - latestNs < everyNs && latestNs - nowNs < everyNs) return
    const row = this.#newest.get()
    if (row === undefined || row.id === null) return
    this.#add.run(integerOf(row, 'id'), nowNs)
    this.#latestNs = nowNs
  }

  /** Its transaction was undone. */
  forgetLatest(): void {
    this.#latestNs = undefined
  }

  /**
   * Up to which envelope all were stored before this time. What the clock said is not believed where that is
   * later than now, and where it is earlier than what it said before.
   */
  lastBefore(untilNs: bigint, nowNs: bigint, from: bigint): bigint {
    let to = from
    let latestNs = 0n
    for (const row of this.#all.all(from)) {
      const clockNs = integerOf(row, 'clock_ns')
      if (clockNs > nowNs) continue
      if (clockNs > latestNs) latestNs = clockNs
      if (latestNs > untilNs) break
      to = integerOf(row, 'id')
    }
    return to
  }

  /** Those of dropped envelopes. */
  drop(to: bigint): void {
    this.#forget.run(to)
  }
}
