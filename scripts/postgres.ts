/**
 * A real PostgreSQL for tests and benches: Debian's package, installed if missing, and its own
 * cluster in a temporary folder, on the loopback interface, with every commit on disk. With
 * `DATABASE_URL` they use that server instead, and nothing is installed or started.
 */
import {
  type ChildProcess,
  type ExecFileSyncOptions,
  execFileSync,
  spawn,
} from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { chownSync, existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { createInterface } from 'node:readline'
import pg from 'pg'
import { installDebianPackages, isRoot, runAsRoot } from './debian-packages.ts'
import { freePort } from './free-port.ts'
import { leashed } from './leash.ts'

export interface Postgres {
  /** The superuser's connection string, to a database that tests do not touch. */
  readonly url: string
  /** False for that of `DATABASE_URL`, which is never stopped. */
  readonly isOurs: boolean
  /**
   * `fast` ends sessions and writes a checkpoint; `immediate` is a crash of the server: it writes
   * nothing more, and the next start recovers from the log.
   * @throws Error with `DATABASE_URL`: that server belongs to someone else.
   */
  stop(mode: 'fast' | 'immediate'): Promise<void>
  /** On the same port and data as before; returns once it accepts connections. */
  start(): Promise<void>
  /** The connection string of a new, empty database. */
  createDatabase(): Promise<string>
  /** Ends every session on it and drops it; does nothing if it is already gone. */
  dropDatabase(url: string): Promise<void>
  /** Stops the server and removes its folder; databases on a `DATABASE_URL` stay. */
  close(): Promise<void>
}

/** The folder of initdb and postgres: Debian's newest, else the one in PATH. */
const findPrograms = (): string | undefined => {
  const debian = '/usr/lib/postgresql'
  const versions = existsSync(debian) ? readdirSync(debian) : []
  const folders = versions
    .sort((a, b) => Number(b) - Number(a))
    .map((version) => join(debian, version, 'bin'))
  return [...folders, ...(process.env.PATH ?? '').split(delimiter)].find(
    (folder) => existsSync(join(folder, 'initdb')) && existsSync(join(folder, 'postgres')),
  )
}

/** Without this, Debian's package starts its own cluster on the usual port. */
const keepDebianFromStartingOne = (): Promise<boolean> =>
  runAsRoot(
    'sh',
    '-c',
    'mkdir -p /etc/postgresql-common && cd /etc/postgresql-common && ' +
      '{ [ -e createcluster.conf ] || echo "create_main_cluster = false" > createcluster.conf; }',
  )

/** Installs PostgreSQL if needed; returns one sentence if that fails, nothing if it is there. */
export const installPostgres = async (): Promise<string | undefined> => {
  if (process.env.DATABASE_URL || findPrograms() !== undefined) return undefined
  console.log('installing postgresql-15')
  if (existsSync('/usr/bin/apt-get') && (await keepDebianFromStartingOne())) {
    await installDebianPackages(['postgresql-15'])
  }
  return findPrograms() === undefined
    ? 'The PostgreSQL tests need postgresql-15: install that package, or set DATABASE_URL, and run this again.'
    : undefined
}

/**
 * A server to create databases on; `close` it when done. It ends when this process does.
 * @throws Error with a message for the person who started this.
 */
export const ensurePostgres = async (): Promise<Postgres> => {
  const given = process.env.DATABASE_URL
  if (given) return { ...databasesOf(given), ...notOurs }
  const missing = await installPostgres()
  const programs = findPrograms()
  if (missing !== undefined || programs === undefined) throw new Error(missing)
  return startCluster(programs)
}

const notOurs = {
  isOurs: false,
  stop: () => Promise.reject(new Error('the server of DATABASE_URL is not stopped by tests')),
  start: async () => {},
  close: async () => {},
}

/** Creates and drops databases on a server. */
const databasesOf = (url: string) => {
  const runOnServer = async (sql: string) => {
    const client = new pg.Client({ connectionString: url })
    await client.connect()
    try {
      await client.query(sql)
    } finally {
      await client.end()
    }
  }
  return {
    url,
    createDatabase: async () => {
      const name = `padlock_${randomBytes(8).toString('hex')}`
      await runOnServer(`CREATE DATABASE ${name}`)
      const created = new URL(url)
      created.pathname = name
      return created.href
    },
    dropDatabase: async (created: string) => {
      const name = pg.escapeIdentifier(new URL(created).pathname.slice(1))
      await runOnServer(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`)
    },
  }
}

/** The user that the server runs as: initdb and postgres refuse root. */
export const findUser = (): { uid?: number; gid?: number } => {
  if (!isRoot) return {}
  for (const name of ['postgres', 'nobody']) {
    try {
      const id = (flag: string) =>
        Number(execFileSync('id', [flag, name], { stdio: ['ignore', 'pipe', 'ignore'] }))
      return { uid: id('-u'), gid: id('-g') }
    } catch {
      // The next one.
    }
  }
  throw new Error('PostgreSQL does not run as root, and there is no user "nobody" either.')
}

const startCluster = async (programs: string): Promise<Postgres> => {
  const password = randomBytes(16).toString('hex')
  const server = await makeServer(programs, (data, folder, options) => {
    const passwordFile = join(folder, 'password')
    writeFileSync(passwordFile, password, { mode: 0o644 })
    execFileSync(
      join(programs, 'initdb'),
      [
        ...['-D', data, '-U', 'padlock', '--pwfile', passwordFile, '-A', 'scram-sha-256'],
        // initdb's files are worth nothing after a power cut; the server syncs what it writes.
        ...['-E', 'UTF8', '--locale=C', '--no-sync'],
      ],
      { ...options, stdio: ['ignore', 'ignore', 'pipe'] },
    )
    rmSync(passwordFile)
  })
  return clusterOf(server, `postgres://padlock:${password}@127.0.0.1:${server.port}/postgres`)
}

/**
 * A replica of a server of ours, which only reads until it is promoted. It follows a little behind.
 * @throws Error with `DATABASE_URL`: nobody knows whether that server may be copied.
 */
export const startReplica = async ({ url, isOurs }: Postgres): Promise<Postgres> => {
  const programs = findPrograms()
  if (!isOurs || programs === undefined) throw new Error('only a server of ours is copied')
  const server = await makeServer(programs, (data, _, options) => {
    const args = ['-d', url, '-D', data, '-X', 'stream', '-c', 'fast', '-R', '--no-sync']
    execFileSync(join(programs, 'pg_basebackup'), args, {
      ...options,
      stdio: ['ignore', 'ignore', 'pipe'],
    })
  })
  const own = new URL(url)
  own.port = `${server.port}`
  return clusterOf(server, own.href)
}

type Server = Awaited<ReturnType<typeof makeServer>>

const clusterOf = ({ start, stop, close }: Server, url: string): Postgres => ({
  ...databasesOf(url),
  isOurs: true,
  start,
  stop,
  close,
})

/** Starts a server on the data that `fill` puts into a new folder. */
const makeServer = async (
  programs: string,
  fill: (data: string, folder: string, options: ExecFileSyncOptions) => void,
) => {
  const user = findUser()
  const folder = mkdtempSync(join(tmpdir(), 'padlock-postgres-'))
  if (user.uid !== undefined && user.gid !== undefined) chownSync(folder, user.uid, user.gid)
  const data = join(folder, 'data')
  // This user cannot enter a checkout in root's home.
  const options = { ...user, cwd: folder, env: { ...process.env, LC_ALL: 'C', TZ: 'UTC' } }

  let running: ChildProcess | undefined
  const removeFolder = () => rmSync(folder, { recursive: true, force: true })
  const endNow = () => {
    running?.kill('SIGQUIT')
    removeFolder()
  }
  process.once('exit', endNow)

  const port = await freePort()
  const start = async () => {
    const postgres = [
      ...[join(programs, 'postgres'), '-D', data, '-p', `${port}`, '-k', folder],
      ...['-c', 'listen_addresses=127.0.0.1', '-c', 'fsync=on', '-c', 'max_connections=200'],
    ]
    const [command = '', ...args] = leashed('QUIT', postgres)
    const child = spawn(command, args, { ...options, stdio: ['ignore', 'ignore', 'pipe'] })
    running = child
    await untilReady(child)
  }
  const stop = async (mode: 'fast' | 'immediate') => {
    const ending = running
    running = undefined
    if (ending === undefined || ending.exitCode !== null || ending.signalCode !== null) return
    const ended = once(ending, 'exit')
    ending.kill(mode === 'fast' ? 'SIGINT' : 'SIGQUIT')
    await ended
  }
  const close = async () => {
    await stop('immediate')
    process.off('exit', endNow)
    removeFolder()
  }
  try {
    fill(data, folder, options)
    await start()
  } catch (error) {
    await close()
    throw error
  }
  return { port, start, stop, close }
}

/** Resolves when the server says that it accepts connections; rejects with its last output. */
const untilReady = (child: ChildProcess): Promise<void> =>
  new Promise((resolve, reject) => {
    const last: string[] = []
    child.once('error', reject)
    child.once('exit', () => {
      reject(new Error(`PostgreSQL ended before it took connections: ${last.join(' ')}`))
    })
    if (child.stderr === null) return
    // Read to the end, or the server would block on its full log pipe.
    createInterface({ input: child.stderr }).on('line', (line) => {
      last.push(line)
      if (last.length > 5) last.shift()
      if (/database system is ready to accept (read-only )?connections/.test(line)) resolve()
    })
  })
