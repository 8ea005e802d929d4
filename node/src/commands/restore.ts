/**
 * `padlock-node restore`: a backup becomes the data of a node, under a new node id, so that clients
 * notice that what they published since may be missing.
 */
import { chmodSync, constants, copyFileSync, existsSync, mkdirSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { checkDatabase } from '../store/check/check.ts'
import { openSqliteSource } from '../store/check/sqlite-source.ts'
import {
  CommandError,
  defaultData,
  fromEnvironment,
  postgresUrl,
  readOptions,
  runCommand,
} from './command-line.ts'
import { placeNewFile } from './new-file.ts'
import { printRenewed, type RenewedId, renewPostgresId, renewSqliteId } from './renew-id.ts'
import { printReport } from './report.ts'

export const usage = `padlock-node restore: makes a node's data from a backup

Usage: padlock-node restore --from <file> [--data <folder>]
       padlock-node restore --renew-id [--data <folder> | --database <url>]

  --from <file>     a file that padlock-node backup made; it stays as it is
  --data <folder>   where the node's data goes: a folder that is empty or not there yet
                    (default: PADLOCK_DATA, else ./padlock-data)
  --renew-id        only give the data a new node id: after pg_restore, or when a folder came back
                    from a snapshot of a disk
  --database <url>  the PostgreSQL database to renew the id of (default: PADLOCK_DATABASE)
  --help            print this

The command checks the file first, as padlock-node check does, and writes nothing if anything is wrong.
It always renews the node id: by it clients notice that this node may lack what they published.`

export const run = (argv: readonly string[]): Promise<number> =>
  runCommand('restore', async () => {
    const options = readOptions(argv, {
      from: { type: 'string' },
      data: { type: 'string' },
      database: { type: 'string' },
      'renew-id': { type: 'boolean' },
      help: { type: 'boolean' },
    })
    if (options.help) {
      console.log(usage)
      return 0
    }
    const data = options.data ?? fromEnvironment.data ?? defaultData
    if (options['renew-id'] === true) {
      if (options.from !== undefined) throw new CommandError('--from renews the id by itself.')
      const database = options.database ?? (options.data ? undefined : fromEnvironment.database)
      printRenewed(
        database === undefined ? renewFolder(data) : await renewPostgresId(postgresUrl(database)),
      )
      return 0
    }
    if (options.database !== undefined) {
      throw new CommandError(
        'a PostgreSQL database is brought back with pg_restore; then run padlock-node restore ' +
          '--renew-id --database <url>.',
      )
    }
    if (options.from === undefined) throw new CommandError('--from <file> is missing. Try --help.')
    return restore(options.from, data)
  })

function renewFolder(data: string) {
  const file = join(data, 'node.sqlite')
  if (!existsSync(file)) throw new CommandError(`${data} holds no data of a node.`)
  const database = new DatabaseSync(file)
  try {
    database.exec('PRAGMA locking_mode = EXCLUSIVE; PRAGMA synchronous = FULL')
    return renewSqliteId(database)
  } finally {
    database.close()
  }
}

async function restore(from: string, data: string): Promise<number> {
  if (!existsSync(from)) throw new CommandError(`${from} does not exist.`)
  if (existsSync(data) && readdirSync(data).length > 0) {
    throw new CommandError(`${data} is not empty: nothing was written.`)
  }
  if (existsSync(`${from}-wal`)) {
    throw new CommandError(
      `${from} is not a backup: a part of it is in ${from}-wal. Make a backup of that folder with ` +
        `padlock-node backup.`,
    )
  }
  const source = openSqliteSource(from)
  const report = await checkDatabase(source).finally(() => source.close())
  if (report.problemCount > 0) {
    printReport(from, report)
    throw new CommandError('the backup is damaged: nothing was written.')
  }
  mkdirSync(data, { recursive: true, mode: 0o700 })
  let renewed: RenewedId | undefined
  await placeNewFile(join(data, 'node.sqlite'), async (file) => {
    // File systems that can share blocks copy nothing.
    copyFileSync(from, file, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE)
    // The backup may be read-only.
    chmodSync(file, 0o600)
    const database = new DatabaseSync(file)
    try {
      // Before the file gets its name, so that no node ever starts on it with the old id.
      renewed = renewSqliteId(database)
    } finally {
      database.close()
    }
  })
  console.log(`data       ${data}`)
  if (renewed !== undefined) printRenewed(renewed)
  return 0
}
