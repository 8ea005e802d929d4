/**
 * The kill test, as long as you like: nodes are killed at random while clients work at full rate.
 *
 *     node scripts/kill.ts --store sqlite --kills 200 --seed 7
 *     node scripts/kill.ts --store postgres --kills 100
 */
import { parseArgs } from 'node:util'
import { killOnPostgres } from '../tests/kill/postgres.ts'
import { showReport } from '../tests/kill/report.ts'
import { killOnSqlite } from '../tests/kill/sqlite.ts'

const usage = `usage: node scripts/kill.ts [options]

  --store <kind>    sqlite (default), or postgres: three nodes, and a server that crashes
                    after every fifth kill
  --doorbell <how>  notify (default) or poll: how nodes on one PostgreSQL learn of each other's commits
  --faults <kind>   with postgres: crash (default), or network: slow, silent, cut or stalled after each kill,
                    between clients and a node, or between nodes and PostgreSQL
  --kills <number>  how often a node is killed (default: 200)
  --seed <number>   repeats the choices of a run, not the machine's timing (default: any)
  --main <file>     the node's entry (default: its sources)`

const fail = (sentence: string): never => {
  console.error(`${sentence}\n${usage}`)
  process.exit(1)
}

const readOptions = () => {
  try {
    return parseArgs({
      options: {
        kills: { type: 'string', default: '200' },
        seed: { type: 'string', default: `${Math.floor(Math.random() * 2 ** 31)}` },
        doorbell: { type: 'string', default: 'notify' },
        faults: { type: 'string', default: 'crash' },
        store: { type: 'string', default: 'sqlite' },
        main: { type: 'string' },
      },
    }).values
  } catch (error) {
    return fail(error instanceof Error ? error.message : String(error))
  }
}

const readCount = (name: string, text: string): number =>
  /^\d{1,9}$/.test(text) ? Number(text) : fail(`--${name} needs a number, not "${text}"`)

const { kills, seed, store, doorbell, faults, main } = readOptions()
const failsNetwork = faults === 'network'
const options = {
  kills: readCount('kills', kills),
  seed: readCount('seed', seed),
  log: (line: string) => console.log(line),
  ...(main === undefined ? {} : { main }),
}
if (store !== 'sqlite' && store !== 'postgres') {
  fail(`--store needs sqlite or postgres, not "${store}"`)
}
console.log(`seed ${options.seed}`)
const startMs = performance.now()
const report =
  store === 'postgres'
    ? await killOnPostgres({
        ...options,
        crashEvery: failsNetwork ? 1 : 5,
        failsNetwork,
        args: ['--doorbell', doorbell],
      })
    : await killOnSqlite(options)
console.log(showReport(report))
console.log(`${((performance.now() - startMs) / 1000).toFixed(0)} s, seed ${options.seed}`)
process.exit(report.problems.length === 0 ? 0 : 1)
