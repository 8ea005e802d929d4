/** A connection to PostgreSQL: queries, transactions, and what its errors mean. */
import { hash } from 'node:crypto'
import pg from 'pg'
import type { Row } from '../rows.ts'
import type { Hosts } from './hosts.ts'

export interface Session {
  /** The statement is prepared once for each connection, if its session keeps it. */
  query(text: string, values?: readonly unknown[]): Promise<readonly Row[]>
}

const types = new pg.TypeOverrides()
types.setTypeParser(pg.types.builtins.INT8, BigInt)

/** Time limits of a statement and of the wait for a lock; after them the request may be retried. */
const statementLimitMs = 30_000
const lockLimitMs = 10_000

/** For migrations: what they do takes as long as the tables are large. */
export const makePatientPool = (hosts: Hosts): pg.Pool =>
  poolTo(
    hosts,
    new pg.Pool({
      ...hosts.poolOptions,
      max: 1,
      types,
      application_name: 'padlock-node migration',
      connectionTimeoutMillis: 5_000,
      keepAlive: true,
    }),
  )

/**
 * The ways to the database: readers have one of their own, so that transactions, news of others and
 * readiness never wait for them.
 */
export interface Ways {
  readonly main: pg.Pool
  readonly readers: pg.Pool
  end(): Promise<void>
}

export function openWays(hosts: Hosts, connections: number): Ways {
  const readers = makePool(hosts, Math.max(1, Math.floor(connections / 2)))
  const main = makePool(hosts, Math.max(1, Math.ceil(connections / 2)))
  return {
    main,
    readers,
    async end() {
      await Promise.all([main.end(), readers.end()])
    },
  }
}

const makePool = (hosts: Hosts, connections: number): pg.Pool =>
  poolTo(
    hosts,
    new pg.Pool({
      ...hosts.poolOptions,
      max: connections,
      types,
      application_name: 'padlock-node',
      connectionTimeoutMillis: 5_000,
      idleTimeoutMillis: 60_000,
      // None stays on a server that another one has taken over from.
      maxLifetimeSeconds: 600,
      keepAlive: true,
      statement_timeout: statementLimitMs,
      query_timeout: statementLimitMs + 5_000,
      lock_timeout: lockLimitMs,
      // A process that hangs in a transaction does not keep its locks for ever.
      idle_in_transaction_session_timeout: 60_000,
    }),
  )

const hostsOf = new WeakMap<pg.Pool, Hosts>()

function poolTo(hosts: Hosts, pool: pg.Pool): pg.Pool {
  hostsOf.set(pool, hosts)
  // An idle connection that breaks is replaced at the next use.
  pool.on('error', () => {})
  pool.on('connect', (client) => {
    client.on('error', () => {})
  })
  return pool
}

/**
 * A statement gets its name from its text, so a connection prepares and plans it once. The name is the
 * same in every process: through a pooler that was not noticed, another process's statement must not run.
 */
const names = new Map<string, string>()
export const nameOf = (text: string): string => {
  const known = names.get(text)
  if (known !== undefined) return known
  // PostgreSQL cuts names at 63 bytes.
  const name = `padlock_${hash('sha256', text, 'hex').slice(0, 40)}`
  names.set(text, name)
  return name
}

const sessionOf = (client: pg.ClientBase, keepsStatements: boolean): Session => ({
  async query(text, values = []) {
    const name = keepsStatements ? { name: nameOf(text) } : {}
    const { rows } = await client.query<Row>({ ...name, text, values: [...values] })
    return rows
  },
})

/** A connection of the pool, to the next server if this one does not answer or only reads. */
async function connect(pool: pg.Pool): Promise<pg.PoolClient> {
  const hosts = hostsOf.get(pool)
  for (let tries = 1; ; tries += 1) {
    const url = hosts?.url ?? ''
    try {
      return await pool.connect()
    } catch (error) {
      if (hosts === undefined || tries >= hosts.count) throw error
      hosts.leave(url)
    }
  }
}

/** Runs one statement on any connection. */
export async function runStatement(
  pool: pg.Pool,
  text: string,
  values: readonly unknown[] = [],
): Promise<readonly Row[]> {
  return useClient(pool, ({ session }) => session.query(text, values))
}

/**
 * Runs a step in a transaction, which stores everything or nothing. READ COMMITTED, so that a read
 * after the wait for a lock sees what the lock protects.
 */
export async function runTransaction<T>(
  pool: pg.Pool,
  step: (session: Session) => Promise<T>,
): Promise<T> {
  return useClient(pool, async ({ client, session }) => {
    await client.query('BEGIN ISOLATION LEVEL READ COMMITTED')
    try {
      const result = await step(session)
      await client.query('COMMIT')
      return result
    } catch (error) {
      await client.query('ROLLBACK').catch(() => {})
      throw error
    }
  })
}

async function useClient<T>(
  pool: pg.Pool,
  use: (one: { readonly client: pg.PoolClient; readonly session: Session }) => Promise<T>,
): Promise<T> {
  const client = await connect(pool)
  const session = sessionOf(client, hostsOf.get(pool)?.keepsStatements ?? true)
  let broken = true
  try {
    const result = await use({ client, session })
    broken = false
    return result
  } catch (error) {
    broken = !(error instanceof pg.DatabaseError) || isAboutServer(error)
    throw error
  } finally {
    // After anything but an error of the database, the state of the connection is unknown; and the next
    // connection may lead to a server that has taken over.
    client.release(broken)
  }
}

// Of connections (08), of a server that takes no more (53), that shuts down or starts (57P), or that only
// reads (25006).
const isAboutServer = ({ code = '' }: pg.DatabaseError): boolean =>
  /^(?:08|53|57P|25006)/.test(code)

/** Whether the server only reads: it is a replica now, or was told to. Nothing was stored. */
export const isReadOnly = (error: unknown): boolean =>
  error instanceof pg.DatabaseError && error.code === '25006'

/** Whether two transactions conflicted, so that a retry works. */
export const isConflict = (error: unknown): boolean =>
  error instanceof pg.DatabaseError && (error.code === '40001' || error.code === '40P01')

/** Whether the database refused the values themselves: alone they fail again, others do not. */
export const isAboutValues = (error: unknown): boolean =>
  error instanceof pg.DatabaseError && /^2[23]/.test(error.code ?? '')
