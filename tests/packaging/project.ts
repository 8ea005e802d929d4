/**
 * An empty project in a temporary folder, with the packed packages installed into it as a stranger
 * would install them.
 */
import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { promisify } from 'node:util'

const execute = promisify(execFile)
const checkout = resolve(import.meta.dirname, '../..')

export interface Packed {
  readonly file: string
  /** Paths inside the package. */
  readonly contents: readonly string[]
}

export interface Project {
  readonly dir: string
  readonly sdk: Packed
  readonly node: Packed
  /** Writes files, by paths relative to the project. */
  write(files: Readonly<Record<string, string>>): void
  /** Runs a program of Node's in the project and returns what it printed. */
  runNode(args: readonly string[]): Promise<string>
  delete(): void
}

/** Runs npm without the variables by which an outer npm would steer it. */
const npm = async (cwd: string, ...args: string[]): Promise<string> => {
  const env = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^npm_(?!config_registry)/i.test(name)),
  )
  const { stdout } = await execute('npm', [...args, '--loglevel=error'], {
    cwd,
    env,
    maxBuffer: 16 * 2 ** 20,
  })
  return stdout
}

const pack = async (folder: string, into: string): Promise<Packed> => {
  const printed = await npm(join(checkout, folder), 'pack', '--json', '--pack-destination', into)
  const parsed: unknown = JSON.parse(printed)
  const [entry] = (Array.isArray(parsed) ? parsed : Object.values(parsed ?? {})) as {
    filename: string
    files: readonly { path: string }[]
  }[]
  if (!entry) throw new Error(`npm pack told nothing about ${folder}`)
  return { file: join(into, entry.filename), contents: entry.files.map(({ path }) => path) }
}

const readVersion = (name: string): string => {
  const manifest = readFileSync(join(checkout, 'package.json'), 'utf8')
  const version = new RegExp(`"${name}": "([^"]+)"`).exec(manifest)?.[1]
  if (version === undefined) throw new Error(`package.json names no version of ${name}`)
  return `${name}@${version}`
}

/** Packs the SDK of this checkout, which must be built. */
export const packSdk = (into: string): Promise<Packed> => pack('.', into)

/** Packs both packages of this checkout, which must be built, and installs them with `tools`. */
export const createProject = async (tools: readonly string[]): Promise<Project> => {
  const dir = realpathSync(mkdtempSync(join(tmpdir(), 'padlock-packaging-')))
  const packedDir = join(dir, 'packed')
  const appDir = join(dir, 'app')
  mkdirSync(packedDir)
  mkdirSync(appDir)
  const write = (files: Readonly<Record<string, string>>): void => {
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(dirname(join(appDir, path)), { recursive: true })
      writeFileSync(join(appDir, path), text)
    }
  }
  const sdk = await pack('.', packedDir)
  const node = await pack('node', packedDir)
  write({ 'package.json': '{ "name": "app", "private": true, "type": "module" }\n' })
  const versions = tools.map(readVersion)
  await npm(appDir, 'install', '--prefer-offline', '--no-audit', sdk.file, node.file, ...versions)
  return {
    dir: appDir,
    sdk,
    node,
    write,
    runNode: async (args) => (await execute(process.execPath, args, { cwd: appDir })).stdout,
    delete: () => rmSync(dir, { recursive: true, force: true }),
  }
}
