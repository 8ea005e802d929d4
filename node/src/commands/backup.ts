/**
 * `padlock-node backup`: copies everything of a SQLite node into one file. A running node makes the
 * copy itself; the data of a stopped one is copied here.
 */
import { existsSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { type BackupProgress, OnlineBackup } from '../store/sqlite/backup.ts'
import {
  askForBackup,
  backupSocketOf,
  socketPathLimitBytes,
} from '../store/sqlite/backup-socket.ts'
import {
  CommandError,
  defaultData,
  fromEnvironment,
  postgresUrl,
  printable,
  readableBytes,
  readOptions,
  runCommand,
} from './command-line.ts'
import { placeNewFile } from './new-file.ts'

export const usage = `padlock-node backup: copies everything a node has into one file

Usage: padlock-node backup --to <file> [--data <folder>]

  --to <file>       the file to create; it must not exist yet
  --data <folder>   the node's data (default: PADLOCK_DATA, else ./padlock-data)
  --help            print this

The node may keep running: it makes the copy itself, a few megabytes at a time between writes, and the
copy has everything acknowledged before. The node's user must be able to write to the target folder.
The copy is checked for damage before it gets its name; no file is ever overwritten. Only its owner can
read it: it holds no message in clear, but shows who has which installations and how many envelopes.
Verify it with padlock-node check --file, bring it back with padlock-node restore.

Back up a node with its data in PostgreSQL with pg_dump; --database <url> prints how.`

export const run = (argv: readonly string[]): Promise<number> =>
  runCommand('backup', async () => {
    const options = readOptions(argv, {
      to: { type: 'string' },
      data: { type: 'string' },
      database: { type: 'string' },
      help: { type: 'boolean' },
    })
    if (options.help) {
      console.log(usage)
      return 0
    }
    const database = options.database ?? (options.data ? undefined : fromEnvironment.database)
    if (database !== undefined) throw new CommandError(postgresAdvice(postgresUrl(database)))
    const { to } = options
    if (to === undefined) throw new CommandError('--to <file> is missing. Try --help.')
    await backUp(options.data ?? fromEnvironment.data ?? defaultData, to)
    return 0
  })

const postgresAdvice = (url: string): string => {
  const shown = printable(url)
  return `this node keeps its data in PostgreSQL, which makes its own backups while nodes run:
  pg_dump --format=custom --no-owner --file=padlock.dump '${shown}'
To bring one back, into an empty database and with all nodes stopped:
  pg_restore --no-owner --exit-on-error --single-transaction --dbname='${shown}' padlock.dump
  padlock-node restore --renew-id --database '${shown}'`
}

async function backUp(data: string, to: string): Promise<void> {
  const source = join(data, 'node.sqlite')
  if (!existsSync(source)) throw new CommandError(`${data} holds no data of a node.`)
  const owner = statSync(source)
  const startedMs = performance.now()
  let how = ''
  await placeNewFile(
    to,
    async (file) => {
      how = (await copyFromNode(source, file)) ? 'by the running node' : 'of a stopped node'
      if (how === 'of a stopped node') await copyStopped(source, file)
      if (existsSync(file)) finish(file)
    },
    owner,
  )
  const seconds = (performance.now() - startedMs) / 1_000
  const size = readableBytes(statSync(to).size)
  console.log(`backup     ${to}`)
  console.log(`copied     ${how}, ${size} in ${seconds.toFixed(1)} s; no damage found`)
}

/** False if no node runs on this data. */
async function copyFromNode(source: string, file: string): Promise<boolean> {
  try {
    return await askForBackup(backupSocketOf(source), file, showProgress())
  } catch (error) {
    const message = error instanceof Error ? error.message : 'unknown'
    throw new CommandError(
      /EACCES|EPERM|EROFS|ENOENT/.test(message)
        ? `the running node cannot write there (${message}): choose a folder that its user, and its ` +
            `service unit, may write to.`
        : `the running node made no backup: ${message}.`,
      { cause: error },
    )
  }
}

async function copyStopped(source: string, file: string): Promise<void> {
  const database = new DatabaseSync(source)
  try {
    // The lock of a node, so that none starts meanwhile.
    database.exec('PRAGMA locking_mode = EXCLUSIVE')
    database.exec('BEGIN IMMEDIATE; COMMIT')
    await new OnlineBackup(database).copyTo(file, showProgress())
  } catch (error) {
    if (!/database is locked/.test(error instanceof Error ? error.message : '')) throw error
    const long = Buffer.byteLength(backupSocketOf(source)) > socketPathLimitBytes
    throw new CommandError(
      long
        ? 'a node runs on this data, but the path of its folder is too long for its socket: stop the node first.'
        : 'a node runs on this data and takes no requests for backups: stop it first.',
      { cause: error },
    )
  } finally {
    database.close()
  }
}

/** Makes it one file that needs no other, and checks its pages. */
function finish(file: string): void {
  const copy = new DatabaseSync(file)
  try {
    copy.exec('PRAGMA journal_mode = DELETE')
    // Checks every page, but not each index against its table: that takes minutes for large nodes,
    // and `padlock-node check` does it.
    const found = copy.prepare('PRAGMA quick_check(1)').get()?.quick_check
    if (found !== 'ok') throw new CommandError(`the copy is damaged: ${String(found)}.`)
  } finally {
    copy.close()
  }
}

function showProgress(): (progress: BackupProgress) => void {
  let reportedMs = performance.now()
  return ({ totalPages, remainingPages }) => {
    if (performance.now() - reportedMs < 5_000) return
    reportedMs = performance.now()
    console.error(`${Math.floor((100 * (totalPages - remainingPages)) / totalPages)} % copied`)
  }
}
