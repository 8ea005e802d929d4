/** A real PgBouncer before a PostgreSQL, for tests: Debian's package, installed if missing. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chownSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { installDebianPackages, runAsRoot } from './debian-packages.ts'
import { freePort } from './free-port.ts'
import { leashed } from './leash.ts'
import { findUser } from './postgres.ts'

const program = '/usr/sbin/pgbouncer'

/** Without this, Debian's package starts one of its own. */
const keepDebianFromStartingOne = (): Promise<boolean> =>
  runAsRoot(
    'sh',
    '-c',
    'mkdir -p /etc/systemd/system && cd /etc/systemd/system && ' +
      '{ [ -e pgbouncer.service ] || ln -s /dev/null pgbouncer.service; }',
  )

/** Installs PgBouncer if needed; returns one sentence if that fails, nothing if it is there. */
export const installPgBouncer = async (): Promise<string | undefined> => {
  if (existsSync(program)) return undefined
  console.log('installing pgbouncer')
  if (existsSync('/usr/bin/apt-get') && (await keepDebianFromStartingOne())) {
    await installDebianPackages(['pgbouncer'])
  }
  return existsSync(program)
    ? undefined
    : 'The PostgreSQL tests need pgbouncer: install that package, and run this again.'
}

export interface PgBouncer {
  /** The database, through it. */
  readonly url: string
  close(): Promise<void>
}

/** Starts one that leads to this database and shares few connections among its clients. */
export const startPgBouncer = async (
  database: string,
  mode: 'session' | 'transaction',
): Promise<PgBouncer> => {
  const { hostname, port, username, password, pathname } = new URL(database)
  const user = findUser()
  const folder = mkdtempSync(join(tmpdir(), 'padlock-pgbouncer-'))
  const own = await freePort()
  const users = join(folder, 'users')
  const settings = join(folder, 'pgbouncer.ini')
  writeFileSync(users, `"${username}" "${password}"\n`)
  writeFileSync(
    settings,
    [
      '[databases]',
      `* = host=${hostname} port=${port}`,
      '[pgbouncer]',
      'listen_addr = 127.0.0.1',
      `listen_port = ${own}`,
      'unix_socket_dir =',
      'auth_type = scram-sha-256',
      `auth_file = ${users}`,
      `pool_mode = ${mode}`,
      // As a server with few connections has it: everybody waits for everybody's.
      `default_pool_size = ${mode === 'transaction' ? 3 : 60}`,
      'ignore_startup_parameters = statement_timeout,lock_timeout,idle_in_transaction_session_timeout',
    ].join('\n'),
  )
  if (user.uid !== undefined && user.gid !== undefined) {
    for (const path of [folder, users, settings]) chownSync(path, user.uid, user.gid)
  }
  const [command = '', ...args] = leashed('KILL', [program, settings])
  const child = spawn(command, args, { ...user, cwd: folder, stdio: ['ignore', 'ignore', 'pipe'] })
  const lines: string[] = []
  const ready = new Promise<void>((resolve, reject) => {
    createInterface({ input: child.stderr }).on('line', (line) => {
      lines.push(line)
      if (line.includes('process up')) resolve()
    })
    child.once('error', reject)
    child.once('exit', () => reject(new Error(`PgBouncer ended: ${lines.slice(-3).join(' ')}`)))
  })
  const close = async () => {
    if (child.exitCode === null && child.signalCode === null) {
      const ended = once(child, 'exit')
      child.kill('SIGKILL')
      await ended
    }
    rmSync(folder, { recursive: true, force: true })
  }
  try {
    await ready
  } catch (error) {
    await close()
    throw error
  }
  return { url: `postgres://${username}:${password}@127.0.0.1:${own}${pathname}`, close }
}
