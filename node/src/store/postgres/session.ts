/** A connection to PostgreSQL: queries, transactions, and what its errors mean. */
import pg from 'pg'
import type { Row } from '../rows.ts'

export interface Session {
  /** Prepared once a connection. */
  query(text: string, values?: readonly unknown[]): Promise<readonly Row[]>
}

const types = new pg.TypeOverrides()
types.setTypeParser(pg.types.builtins.INT8, BigInt)

/** How long a statement, or the wait for a lock, may take: then the request is to be tried again. */
const statementLimitMs = 30_000
const lockLimitMs = 10_000

export const makePool = (url: string, connections: number): pg.Pool => {
  const pool = new pg.Pool({
    connectionString: url,
    max: connections,
    types,
    application_name: 'padlock-node',
    connectionTimeoutMillis: 5_000,
    idleTimeoutMillis: 60_000,
    keepAlive: true,
    statement_timeout: statementLimitMs,
    query_timeout: statementLimitMs + 5_000,
    lock_timeout: lockLimitMs,
    // A process that hangs in the middle does not hold its locks for ever.
    idle_in_transaction_session_timeout: 60_000,
  })
  // An idle connection that breaks is replaced at the next use.
  pool.on('error', () => {})
  pool.on('connect', (client) => {
    client.on('error', () => {})
  })
  return pool
}

/** Statements get their name from their text: prepared once a connection, planned once. */
const names = new Map<string, string>()
const nameOf = (text: string): string => {
  const known = names.get(text)
  if (known !== undefined) return known
  const name = `padlock_${names.size}`
  names.set(text, name)
  return name
}

const sessionOf = (client: pg.ClientBase): Session => ({
  async query(text, values = []) {
    const { rows } = await client.query<Row>({ name: nameOf(text), text, values: [...values] })
    return rows
  },
})

/** Runs one statement on any connection. */
export async function runStatement(
  pool: pg.Pool,
  text: string,
  values: readonly unknown[] = [],
): Promise<readonly Row[]> {
  const client = await pool.connect()
  return useClient(client, (session) => session.query(text, values))
}

/**
 * Runs a step in a transaction: everything of it is stored, or nothing. With READ COMMITTED, so that
 * what is read after a lock was waited for is what the lock protects.
 */
export async function runTransaction<T>(
  pool: pg.Pool,
  step: (session: Session) => Promise<T>,
): Promise<T> {
  const client = await pool.connect()
  return useClient(client, async (session) => {
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
  client: pg.PoolClient,
  use: (session: Session) => Promise<T>,
): Promise<T> {
  let broken = true
  try {
    const result = await use(sessionOf(client))
    broken = false
    return result
  } catch (error) {
    broken = !(error instanceof pg.DatabaseError)
    throw error
  } finally {
    // What state a connection is in after anything but an error of the database is not known.
    client.release(broken)
  }
}

/** Two transactions got in each other's way; the same again works. */
export const isConflict = (error: unknown): boolean =>
  error instanceof pg.DatabaseError && (error.code === '40001' || error.code === '40P01')

/** The database took offence at the values themselves: alone they fail too, others do not. */
export const isAboutValues = (error: unknown): boolean =>
  error instanceof pg.DatabaseError && /^2[23]/.test(error.code ?? '')
