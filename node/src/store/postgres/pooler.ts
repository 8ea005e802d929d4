/**
 * Notices a pooler in transaction mode between this process and the database. It gives each
 * transaction whatever session of the server is free, so nothing outlives a transaction: no prepared
 * statement, and no LISTEN.
 */
import { connectToAny } from './hosts.ts'

/** How often both connections ask: another one may take a session in between. */
const rounds = 4

/** Whether two connections to this database are ever with one session, or one with two. */
export async function sharesSessions(url: string): Promise<boolean> {
  const limitMs = 5_000
  const config = {
    application_name: 'padlock-node start',
    connectionTimeoutMillis: limitMs,
    query_timeout: limitMs,
  }
  const first = await connectToAny(url, config)
  const second = await connectToAny(url, config).catch(async (error: unknown) => {
    await first.end()
    throw error
  })
  const clients = [first, second]
  try {
    const sessions = clients.map(() => new Set<unknown>())
    for (let round = 0; round < rounds; round += 1) {
      for (const [at, client] of clients.entries()) {
        const { rows } = await client.query('SELECT pg_backend_pid() AS pid')
        sessions[at]?.add(rows[0]?.pid)
      }
    }
    const all = new Set(sessions.flatMap((some) => [...some]))
    return all.size < clients.length || sessions.some(({ size }) => size > 1)
  } finally {
    await Promise.all(clients.map((client) => client.end().catch(() => {})))
  }
}
