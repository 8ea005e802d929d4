/**
 * Notices that the database lost transactions that were there: after a fail-over to a server that was
 * behind, or a restore under running nodes. The proof is a writer whose number is lower than it was.
 *
 * Then sequence numbers are given out again, and clients would skip what comes under them. So the data
 * gets a new node id, by which clients notice and read from the beginning (docs/protocol.md section 5), and this
 * process must end: what it remembers of the database is no longer true.
 */
import { randomBytes } from 'node:crypto'
import type pg from 'pg'
import { nodeIdBytes } from '../../../../src/protocol/limits.ts'
import { booleanOf, bytesOf, required } from '../rows.ts'
import { runStatement } from './session.ts'

/** This process knows of a history that the database does not have. */
class HistoryLost extends Error {
  override readonly name = 'HistoryLost'
}

const wentBack = 'the database lost transactions that were acknowledged, and has a new node id now'
const renewed = 'the database has another node id than before'

const ask = `
SELECT (SELECT value FROM meta WHERE name = 'node_id') AS node_id, EXISTS (
  SELECT 1 FROM unnest($1::bigint[], $2::bigint[]) AS seen (id, number)
  JOIN writer ON writer.id = seen.id WHERE writer.number < seen.number) AS went_back`

export class History {
  readonly #pool: pg.Pool
  readonly #nodeId: Uint8Array
  readonly #onLost: (reason: string) => void
  #lost: string | undefined

  constructor(pool: pg.Pool, nodeId: Uint8Array, onLost: (reason: string) => void) {
    this.#pool = pool
    this.#nodeId = nodeId
    this.#onLost = onLost
  }

  /** @throws HistoryLost if it is lost */
  assertWhole(): void {
    if (this.#lost !== undefined) throw new HistoryLost(this.#lost)
  }

  /**
   * Compares what this process saw of all writers with what the database has.
   * @throws HistoryLost
   */
  async compare(seen: ReadonlyMap<bigint, bigint>): Promise<void> {
    this.assertWhole()
    const values = [[...seen.keys()], [...seen.values()]]
    const row = required((await runStatement(this.#pool, ask, values))[0])
    if (booleanOf(row, 'went_back')) await this.fail()
    this.assertSame(bytesOf(row, 'node_id'))
  }

  /** @throws HistoryLost if this is not the node id that the process started with */
  assertSame(nodeId: Uint8Array): void {
    if (!Buffer.from(nodeId).equals(this.#nodeId)) this.#end(renewed)
  }

  /** Gives the data a new node id, unless another process did. @throws HistoryLost always */
  async fail(): Promise<never> {
    await runStatement(
      this.#pool,
      `UPDATE meta SET value = $1 WHERE name = 'node_id' AND value = $2`,
      [randomBytes(nodeIdBytes), Buffer.from(this.#nodeId)],
    )
    return this.#end(wentBack)
  }

  #end(reason: string): never {
    const isNews = this.#lost === undefined
    this.#lost = reason
    if (isNews) this.#onLost(reason)
    throw new HistoryLost(reason)
  }
}
