/** `padlock-node check`: verifies sequences, digests and signatures of everything that is stored. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { dayNs } from '../clock.ts'
import { checkDatabase } from '../store/check/check.ts'
import { openPostgresSource } from '../store/check/postgres-source.ts'
import type { CheckSource } from '../store/check/source.ts'
import { openSqliteSource } from '../store/check/sqlite-source.ts'
import {
  CommandError,
  defaultData,
  fromEnvironment,
  postgresUrl,
  printable,
  readOptions,
  runCommand,
} from './command-line.ts'
import { printReport } from './report.ts'

export const usage = `padlock-node check: verifies everything that a node stored

Usage: padlock-node check [--data <folder> | --file <file> | --database <url>]

  --data <folder>   the data of a stopped node (default: PADLOCK_DATA, else ./padlock-data)
  --file <file>     a file that padlock-node backup made
  --database <url>  a PostgreSQL database; nodes may run meanwhile (default: PADLOCK_DATABASE)
  --retention-days <number>
                    how long the nodes keep messages (default: PADLOCK_RETENTION_DAYS, else 60);
                    a node sweeps PostgreSQL in any order, so older gaps are not problems
  --help            print this

Reads only. Checks numbers, times, digests and sizes of every envelope, the signatures of wallets and
installations on contact and revoked topics, the signature of every prekey, and the tables against the
topics. Signatures of contract accounts are counted, not checked: only their chain can check them.
Exit code 0 if all is well, 1 if not. The check needs little memory and, for the tables of large nodes,
some room in the folder for temporary files (SQLITE_TMPDIR).`

const progressIntervalMs = 5_000

export const run = (argv: readonly string[]): Promise<number> =>
  runCommand('check', async () => {
    const options = readOptions(argv, {
      data: { type: 'string' },
      file: { type: 'string' },
      database: { type: 'string' },
      'retention-days': { type: 'string' },
      help: { type: 'boolean' },
    })
    if (options.help) {
      console.log(usage)
      return 0
    }
    const given = [options.data, options.file, options.database].filter((one) => one !== undefined)
    if (given.length > 1) throw new CommandError('give only one of --data, --file and --database.')
    const days = options['retention-days'] ?? (process.env.PADLOCK_RETENTION_DAYS || '60')
    if (!/^\d{1,6}$/.test(days)) throw new CommandError('--retention-days must be a whole number.')
    const { what, source } = await open(options)
    const startedMs = performance.now()
    let reportedMs = startedMs
    try {
      const report = await checkDatabase(source, {
        retentionNs: BigInt(days) * dayNs,
        onProgress: (envelopes) => {
          if (performance.now() - reportedMs < progressIntervalMs) return
          reportedMs = performance.now()
          console.error(`${envelopes} envelopes read`)
        },
      })
      printReport(what, report)
      const seconds = (performance.now() - startedMs) / 1_000
      console.log(`${'took'.padEnd(14)}${seconds.toFixed(1)} s`)
      return report.problemCount === 0 ? 0 : 1
    } finally {
      await source.close()
    }
  })

async function open(options: {
  readonly data?: string | undefined
  readonly file?: string | undefined
  readonly database?: string | undefined
}): Promise<{ readonly what: string; readonly source: CheckSource }> {
  const isFile = options.data !== undefined || options.file !== undefined
  const database = options.database ?? (isFile ? undefined : fromEnvironment.database)
  if (database !== undefined) {
    const what = printable(postgresUrl(database))
    return { what, source: await openPostgresSource(database) }
  }
  const data = options.data ?? fromEnvironment.data ?? defaultData
  const file = options.file ?? join(data, 'node.sqlite')
  if (!existsSync(file)) throw new CommandError(`${file} does not exist.`)
  try {
    return { what: file, source: openSqliteSource(file) }
  } catch (error) {
    if (!/database is locked/.test(error instanceof Error ? error.message : '')) throw error
    throw new CommandError(
      'a node runs on this data: stop it, or make a backup with padlock-node backup and check that.',
      { cause: error },
    )
  }
}
