/**
 * The kill test on PostgreSQL: three node processes on one database, one of them killed each time,
 * and now and then the server under all of them crashes.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { ensurePostgres } from '../../scripts/postgres.ts'
import { type KillOptions, type KillReport, runKillTest } from './run.ts'

export interface PostgresKillOptions extends Pick<KillOptions, 'seed' | 'kills' | 'main' | 'log'> {
  /** After every so many kills the server crashes; a server of `DATABASE_URL` never does. */
  readonly crashEvery: number
  /** More of the nodes' arguments. */
  readonly args?: readonly string[]
}

export async function killOnPostgres(options: PostgresKillOptions): Promise<KillReport> {
  const { crashEvery, args = [], ...others } = options
  const postgres = await ensurePostgres()
  try {
    const database = await postgres.createDatabase()
    const report = await runKillTest({
      ...others,
      nodes: 3,
      args: ['--database', database, ...args],
      ...(postgres.isOurs && {
        outage: {
          every: crashEvery,
          cause: async (random) => {
            await postgres.stop('immediate')
            // From less than anybody waits to longer than they like to.
            await sleep(random.below(1_500))
            await postgres.start()
          },
        },
      }),
    })
    await postgres.dropDatabase(database)
    return report
  } finally {
    await postgres.close()
  }
}
