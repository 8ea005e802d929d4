/** The packages of this checkout as they are published: packed, for tests to install. */
import { execFile } from 'node:child_process'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'

const execute = promisify(execFile)
const checkout = resolve(import.meta.dirname, '../..')

export interface Packed {
  readonly file: string
  /** Paths inside the package. */
  readonly contents: readonly string[]
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

/** Packs a package of this checkout, by its folder, into another folder. */
export const pack = async (folder: string, into: string): Promise<Packed> => {
  const printed = await npm(join(checkout, folder), 'pack', '--json', '--pack-destination', into)
  const parsed: unknown = JSON.parse(printed)
  const [entry] = (Array.isArray(parsed) ? parsed : Object.values(parsed ?? {})) as {
    filename: string
    files: readonly { path: string }[]
  }[]
  if (!entry) throw new Error(`npm pack told nothing about ${folder}`)
  return { file: join(into, entry.filename), contents: entry.files.map(({ path }) => path) }
}

/** Packs the SDK of this checkout, which must be built. */
export const packSdk = (into: string): Promise<Packed> => pack('.', into)
