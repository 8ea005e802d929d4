/**
 * The kill test on PostgreSQL: three node processes on one database, one of them killed each time,
 * and now and then the server under all of them crashes, or the network between them and it fails.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { ensurePostgres } from '../../scripts/postgres.ts'
import { TcpProxy } from '../node/tcp-proxy.ts'
import type { Random } from './caller.ts'
import { type KillOptions, type KillReport, runKillTest } from './run.ts'

export interface PostgresKillOptions extends Pick<KillOptions, 'seed' | 'kills' | 'main' | 'log'> {
  /** After every so many kills the server crashes; a server of `DATABASE_URL` never does. */
  readonly crashEvery: number
  /** Instead of a crash, the network to the server is cut, delayed, or swallows everything. */
  readonly failsNetwork?: boolean
  /** More of the nodes' arguments. */
  readonly args?: readonly string[]
}

export async function killOnPostgres(options: PostgresKillOptions): Promise<KillReport> {
  const { crashEvery, failsNetwork = false, args = [], ...others } = options
  const postgres = await ensurePostgres()
  let network: TcpProxy | undefined
  try {
    const database = await postgres.createDatabase()
    network = await TcpProxy.start(new URL(database))
    const crash = async (random: Random) => {
      await postgres.stop('immediate')
      // From less than anybody waits to longer than they like to.
      await sleep(random.below(1_500))
      await postgres.start()
    }
    const cause = failsNetwork ? failuresOf(network) : crash
    const report = await runKillTest({
      ...others,
      nodes: 3,
      args: ['--database', failsNetwork ? network.through(database) : database, ...args],
      ...((postgres.isOurs || failsNetwork) && { outage: { every: crashEvery, cause } }),
    })
    await postgres.dropDatabase(database)
    return report
  } finally {
    await network?.close()
    await postgres.close()
  }
}

/** One failure after another, each for some time: slow, silent, cut. */
function failuresOf(network: TcpProxy): (random: Random) => Promise<void> {
  const failures = [{ delayMs: 150 }, 'black hole', 'cut'] as const
  let next = 0
  return async (random) => {
    network.become(failures[next % failures.length] ?? 'cut')
    next += 1
    await sleep(500 + random.below(2_000))
    // What was swallowed makes a connection useless, and TCP would end it too.
    network.become('cut')
    network.become('whole')
  }
}
