/**
 * This process as a writer: it numbers its transactions and lists what they changed, so that the other
 * processes can tell their readers.
 */
import type pg from 'pg'
import { dayNs } from '../../clock.ts'
import { bytesOf, integerOf, required } from '../rows.ts'
import { clockText } from './database-clock.ts'
import { runStatement, type Session } from './session.ts'

/** What a transaction changed. */
export interface Changes {
  /** Each topic with the sequence before its first new envelope. */
  readonly topics: ReadonlyMap<string, bigint>
  readonly installations: readonly string[]
  /** The newest `node_ns` among them; 0 if there is none. */
  readonly newestNs: bigint
  /** What it stored, as `occupancy.ts` counts. */
  readonly bytes: bigint
}

/** A transaction in the list, and the node id of the data at that moment. */
export interface Listed {
  readonly number: bigint
  readonly nodeId: Uint8Array
}

/** A process not seen for so long is gone. */
const writerMemoryNs = 7n * dayNs

const listing = `
WITH next AS (UPDATE writer SET number = number + 1, seen_ns = ${clockText},
  newest_ns = greatest(newest_ns, $5), stored_bytes = stored_bytes + $6
  WHERE id = $1 RETURNING number)
INSERT INTO batch (writer, number, stored_ns, topics, after_sequences, installations)
SELECT $1, number, ${clockText}, $2, $3, $4 FROM next
RETURNING number, (SELECT value FROM meta WHERE name = 'node_id') AS node_id`

// With the number of its last transaction, whether this process heard of that or not: numbers go on.
const addAgain = `
INSERT INTO writer (id, number, seen_ns) OVERRIDING SYSTEM VALUE
SELECT $1, greatest($2, coalesce((SELECT max(number) FROM batch WHERE writer = $1), 0)), ${clockText}
ON CONFLICT (id) DO NOTHING`

export class Writer {
  readonly id: bigint

  private constructor(id: bigint) {
    this.id = id
  }

  static async add(pool: pg.Pool): Promise<Writer> {
    const [row] = await runStatement(
      pool,
      `INSERT INTO writer (number, seen_ns) VALUES (0, ${clockText}) RETURNING id`,
    )
    return new Writer(integerOf(required(row), 'id'))
  }

  /**
   * Numbers and lists a transaction, at its end; absent if it changed nothing.
   * @param latest the last number that this process knows of.
   */
  async list(
    session: Session,
    { topics, installations, newestNs, bytes }: Changes,
    latest: bigint,
  ): Promise<Listed | undefined> {
    if (topics.size === 0 && installations.length === 0) return undefined
    const after = [...topics.values()]
    const values = [this.id, [...topics.keys()], after, installations, newestNs, bytes]
    let [row] = await session.query(listing, values)
    if (row === undefined) {
      // The process slept so long that it was taken for gone.
      await session.query(addAgain, [this.id, latest])
      ;[row] = await session.query(listing, values)
    }
    const listed = required(row)
    return { number: integerOf(listed, 'number'), nodeId: bytesOf(listed, 'node_id') }
  }

  /** Says that this process is there, and forgets those that are gone. Waits for no transaction. */
  async beat(pool: pg.Pool): Promise<void> {
    await runStatement(
      pool,
      `UPDATE writer SET seen_ns = ${clockText} WHERE id IN
         (SELECT id FROM writer WHERE id = $1 FOR UPDATE SKIP LOCKED)`,
      [this.id],
    )
    // The newest time that any process gave out stays known, and what each stored.
    await runStatement(
      pool,
      `WITH gone AS (DELETE FROM writer WHERE id IN (SELECT id FROM writer
           WHERE id <> $1 AND seen_ns <= ${clockText} - $2 FOR UPDATE SKIP LOCKED)
         RETURNING newest_ns, stored_bytes)
       UPDATE writer SET newest_ns = greatest(newest_ns, (SELECT max(newest_ns) FROM gone)),
         stored_bytes = stored_bytes + (SELECT sum(stored_bytes) FROM gone)
       WHERE id = $1 AND EXISTS (SELECT FROM gone)`,
      [this.id, writerMemoryNs],
    )
  }
}
