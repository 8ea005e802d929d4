/**
 * Gives restored data a new node id. Clients know a node by its id: at a new one they
 * publish again what may be missing, and read from the beginning (docs/protocol.md section 10).
 */
import { randomBytes } from 'node:crypto'
import type { DatabaseSync } from 'node:sqlite'
import { setTimeout } from 'node:timers/promises'
import pg from 'pg'
import { nodeIdBytes } from '../../../src/protocol/limits.ts'
import { connectToAny } from '../store/postgres/hosts.ts'
import { bytesOf } from '../store/rows.ts'
import { prepare } from '../store/sqlite/statement.ts'
import { CommandError } from './command-line.ts'

export interface RenewedId {
  readonly before: Uint8Array
  readonly now: Uint8Array
}

const noNode = () => new CommandError('this is not the database of a node: it has no node id.')

export function renewSqliteId(database: DatabaseSync): RenewedId {
  const row = prepare(database, `SELECT value FROM meta WHERE name = 'node_id'`).get()
  if (row === undefined) throw noNode()
  const now = Uint8Array.from(randomBytes(nodeIdBytes))
  prepare(database, `UPDATE meta SET value = ? WHERE name = 'node_id'`).run(now)
  return { before: bytesOf(row, 'value'), now }
}

/** The server drops a node's connections a moment after the node has stopped. */
const waitMs = 100
const maxWaits = 20

const hasNodes = async (client: pg.Client): Promise<boolean> => {
  const nodes = await client.query(
    `SELECT 1 FROM pg_stat_activity
     WHERE datname = current_database() AND application_name = 'padlock-node'`,
  )
  return nodes.rows.length > 0
}

/** @throws CommandError while nodes are connected: they would go on under the old id. */
export async function renewPostgresId(url: string): Promise<RenewedId> {
  const client = await connectToAny(url, { connectionTimeoutMillis: 5_000 })
  try {
    for (let waits = 0; await hasNodes(client); waits += 1) {
      if (waits === maxWaits) {
        throw new CommandError('nodes run on this database: stop all of them first.')
      }
      await setTimeout(waitMs)
    }
    await client.query('BEGIN')
    const known = await client.query<{ value: unknown }>(
      `SELECT value FROM meta WHERE name = 'node_id' FOR UPDATE`,
    )
    const before = known.rows[0]?.value
    if (!(before instanceof Uint8Array)) throw noNode()
    const now = randomBytes(nodeIdBytes)
    await client.query(`UPDATE meta SET value = $1 WHERE name = 'node_id'`, [now])
    await client.query('COMMIT')
    return { before, now }
  } catch (error) {
    if (error instanceof pg.DatabaseError && error.code === '42P01') throw noNode()
    throw error
  } finally {
    await client.end()
  }
}

export function printRenewed({ before, now }: RenewedId): void {
  console.log(`node id    ${Buffer.from(now).toString('hex')}`)
  console.log(`before     ${Buffer.from(before).toString('hex')}`)
  console.log(`Clients notice the new id when they connect: they publish their own bundle and revocations
again if they are missing here, renew their prekeys, and read everything from the beginning. What was
acknowledged after the backup and is not in it comes back only where its sender still holds it.`)
}
