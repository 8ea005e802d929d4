/**
 * The kill test on PostgreSQL: three node processes on one database, one of them killed each time,
 * and now and then the server under all of them crashes, or the network fails.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { ensurePostgres } from '../../scripts/postgres.ts'
import { TcpProxy } from '../node/tcp-proxy.ts'
import type { Random } from './caller.ts'
import { failuresOf } from './networks.ts'
import { type KillOptions, type KillReport, runKillTest } from './run.ts'

export interface PostgresKillOptions extends Pick<KillOptions, 'seed' | 'kills' | 'main' | 'log'> {
  /** After every so many kills the server crashes; a server of `DATABASE_URL` never does. */
  readonly crashEvery: number
  /** Instead of a crash, the network fails: to the server, or between clients and a node. */
  readonly failsNetwork?: boolean
  /** More of the nodes' arguments. */
  readonly args?: readonly string[]
}

const nodes = 3

export async function killOnPostgres(options: PostgresKillOptions): Promise<KillReport> {
  const { crashEvery, failsNetwork = false, args = [], ...others } = options
  const postgres = await ensurePostgres()
  const networks: TcpProxy[] = []
  try {
    const database = await postgres.createDatabase()
    for (let index = 0; index < nodes; index += 1) {
      networks.push(await TcpProxy.start(new URL(database)))
    }
    const crash = async (random: Random) => {
      await postgres.stop('immediate')
      // From less than anybody waits to longer than they like to.
      await sleep(random.below(1_500))
      await postgres.start()
      return 'outages of the database'
    }
    const cause = failsNetwork ? failuresOf(networks) : crash
    const report = await runKillTest({
      ...others,
      nodes,
      args: (index) => ['--database', networks[index]?.through(database) ?? database, ...args],
      ...((postgres.isOurs || failsNetwork) && { outage: { every: crashEvery, cause } }),
    })
    await postgres.dropDatabase(database)
    return report
  } finally {
    for (const network of networks) await network.close()
    await postgres.close()
  }
}
