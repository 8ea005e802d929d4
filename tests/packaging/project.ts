/** The packages of this checkout as they are published: packed, and in an empty project. */
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
  /** Writes files, by paths relative to the project. */
  write(files: Readonly<Record<string, string>>): void
  /** Runs a program of Node's in the project and returns what it printed. */
  runNode(args: readonly string[]): Promise<string>
  delete(): void
}

/** Runs npm without the variables by which an outer npm would steer it. */
export const npm = async (cwd: string, ...args: string[]): Promise<string> => {
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

/** Packs a package of this checkout, by its folder, into another folder. It must be built. */
export const pack = async (folder: string, into: string): Promise<Packed> => {
  const printed = await npm(join(checkout, folder), 'pack', '--json', '--pack-destination', into)
  const parsed: unknown = JSON.parse(printed)
  const [entry] = (Array.isArray(parsed) ? parsed : Object.values(parsed ?? {})) as {
    filename: string
    files: readonly { path: string }[]
  }[]
  if (!entry) throw new Error(`npm pack reported nothing about ${folder}`)
  return { file: join(into, entry.filename), contents: entry.files.map(({ path }) => path) }
}

/** `name@version`, as this checkout has it. */
const ofThisCheckout = (name: string): string => {
  const manifest = readFileSync(join(checkout, 'package.json'), 'utf8')
  const version = new RegExp(`"${name}": "([^"]+)"`).exec(manifest)?.[1]
  if (version === undefined) throw new Error(`package.json names no version of ${name}`)
  return `${name}@${version}`
}

/** An empty project with the packed SDK, and with packages of this checkout's own list. */
export const createProject = async (others: readonly string[]): Promise<Project> => {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'padlock-packaging-')))
  const dir = join(folder, 'app')
  const write = (files: Readonly<Record<string, string>>): void => {
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(dirname(join(dir, path)), { recursive: true })
      writeFileSync(join(dir, path), text)
    }
  }
  const sdk = await pack('.', folder)
  write({ 'package.json': '{ "name": "app", "private": true, "type": "module" }\n' })
  const packages = [sdk.file, ...others.map(ofThisCheckout)]
  await npm(dir, 'install', '--prefer-offline', '--no-audit', ...packages)
  return {
    dir,
    sdk,
    write,
    runNode: async (args) => (await execute(process.execPath, args, { cwd: dir })).stdout,
    delete: () => rmSync(folder, { recursive: true, force: true }),
  }
}
