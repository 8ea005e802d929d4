/**
 * A project of `projects/` as a user would have it: in its own folder outside the checkout, with
 * its bundler, and the packed SDK as its one dependency.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
} from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { freePort } from '../../scripts/free-port.ts'
import { leashed } from '../../scripts/leash.ts'

const execute = promisify(execFile)
const here = import.meta.dirname

/** Outside the checkout, beside the tools that build the wasm, so that another clone finds it too. */
const cacheDir = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'padlock/bundlers')

/** Without what an outer npm would steer an inner one by. */
const cleanEnvironment = (): NodeJS.ProcessEnv => ({
  ...Object.fromEntries(
    Object.entries(process.env).filter(
      ([name]) => !/^npm_(?!config_registry)/i.test(name) && name !== 'NODE_ENV',
    ),
  ),
  // Each would ask its maker whether there is a newer one, or tell how it is used.
  NEXT_TELEMETRY_DISABLED: '1',
  PARCEL_WORKERS: '1',
  CI: '1',
})

/** Installs a project's bundler once for each lock file; returns its node_modules, if it has one. */
const installBundler = async (project: string): Promise<string | undefined> => {
  const source = join(here, 'projects', project)
  if (!existsSync(join(source, 'package-lock.json'))) return undefined
  const lock = readFileSync(join(source, 'package-lock.json'))
  const digest = createHash('sha256').update(lock).digest('hex').slice(0, 16)
  const target = join(cacheDir, `${project}-${digest}`)
  if (!existsSync(target)) {
    mkdirSync(cacheDir, { recursive: true })
    const fresh = mkdtempSync(join(cacheDir, `${project}-`))
    for (const name of ['package.json', 'package-lock.json']) {
      copyFileSync(join(source, name), join(fresh, name))
    }
    const args = ['ci', '--prefer-offline', '--no-audit', '--loglevel=error']
    try {
      await execute('npm', args, { cwd: fresh, env: cleanEnvironment(), maxBuffer: 16 * 2 ** 20 })
    } catch (error) {
      rmSync(fresh, { recursive: true })
      throw error
    }
    // Complete or not there at all; whoever was faster is as good.
    if (existsSync(target)) rmSync(fresh, { recursive: true })
    else renameSync(fresh, target)
  }
  return join(target, 'node_modules')
}

/** Copies a big folder by hard links where the disk allows it. */
const linkFolder = async (from: string, to: string): Promise<void> => {
  await execute('cp', ['-al', from, to]).catch(() => {
    rmSync(to, { recursive: true, force: true })
    cpSync(from, to, { recursive: true, verbatimSymlinks: true })
  })
}

export interface BundlerProject {
  readonly dir: string
  /** Runs one command of its `.bin` to its end. @throws with what it printed when it fails */
  run(command: readonly string[]): Promise<void>
  /** Starts a server on a free port; resolves with its address once it answers. */
  serve(command: readonly string[]): Promise<string>
  /** Ends what runs and removes the folder. */
  delete(): Promise<void>
}

/** @param tarball what `npm pack` made of the SDK. */
export const createBundlerProject = async (
  project: string,
  tarball: string,
): Promise<BundlerProject> => {
  const modules = await installBundler(project)
  const dir = realpathSync(mkdtempSync(join(tmpdir(), `padlock-${project}-`)))
  const source = join(here, 'projects', project)
  if (existsSync(source)) cpSync(source, dir, { recursive: true })
  copyFileSync(join(here, 'conversation.js'), join(dir, 'conversation.js'))
  if (modules !== undefined) await linkFolder(modules, join(dir, 'node_modules'))
  // As npm unpacks a package that depends on nothing; that it does is tested elsewhere.
  const installed = join(dir, 'node_modules/padlock-sdk')
  mkdirSync(installed, { recursive: true })
  await execute('tar', ['-xzf', tarball, '-C', installed, '--strip-components=1'])

  const servers: ChildProcess[] = []
  const bin = join(dir, 'node_modules/.bin')
  const path = [bin, dirname(process.execPath), process.env.PATH ?? ''].join(delimiter)
  const env = { ...cleanEnvironment(), PATH: path }
  return {
    dir,
    run: async ([command = '', ...args]) => {
      await execute(join(bin, command), args, { cwd: dir, env, maxBuffer: 16 * 2 ** 20 }).catch(
        (error: { stdout?: string; stderr?: string }) => {
          throw new Error(
            `${command} failed\n${error.stdout ?? ''}${error.stderr ?? String(error)}`,
          )
        },
      )
    },
    serve: async (command) => {
      const port = await freePort()
      const [name = '', ...rest] = command.map((word) => word.replace('PORT', String(port)))
      const [program = '', ...args] = leashed('KILL', [join(bin, name), ...rest])
      const server = spawn(program, args, { cwd: dir, env, detached: true })
      servers.push(server)
      const url = `http://127.0.0.1:${port}/`
      await untilAnswered(server, url)
      return url
    },
    delete: async () => {
      await Promise.all(servers.map(stop))
      rmSync(dir, { recursive: true, force: true, maxRetries: 3 })
    },
  }
}

/** @throws with what the server printed when it ends before it answers. */
const untilAnswered = async (server: ChildProcess, url: string): Promise<void> => {
  let printed = ''
  const ended = new Promise<never>((_, reject) => {
    server.once('error', reject)
    server.once('exit', (code) => reject(new Error(`the server ended with ${code}\n${printed}`)))
  })
  ended.catch(() => undefined)
  for (const output of [server.stdout, server.stderr]) {
    output?.on('data', (bytes) => {
      printed += String(bytes)
    })
  }
  for (;;) {
    const answers = await fetch(url, { method: 'HEAD' }).then(
      () => true,
      () => false,
    )
    if (answers) return
    // No two servers say alike that they are ready.
    await Promise.race([sleep(100), ended])
  }
}

const stop = async (server: ChildProcess): Promise<void> => {
  if (server.pid === undefined || server.exitCode !== null || server.signalCode !== null) return
  const ended = new Promise((resolve) => server.once('exit', resolve))
  try {
    process.kill(-server.pid, 'SIGKILL')
  } catch {
    // The group has ended.
  }
  await ended
}
