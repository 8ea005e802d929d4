/** The files that checks read: those that git tracks or would track, never ignored ones. */
import { execFileSync } from 'node:child_process'
import { existsSync, lstatSync, readdirSync } from 'node:fs'
import { join, resolve } from 'node:path'

/** The checkout that contains these scripts. */
export const root = resolve(import.meta.dirname, '..')

/** Where checks keep disposable files; below node_modules, so never packed or tracked. */
export const cacheDir = join(root, 'node_modules/.cache/padlock')

/** Paths, relative to the checkout, of all files that are tracked or new and not ignored. */
export const listSourceFiles = (): string[] =>
  execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 64 * 2 ** 20,
  })
    .split('\0')
    .filter((path) => path !== '' && existsSync(join(root, path)))
    .filter((path) => lstatSync(join(root, path)).isFile())
    .sort()

/** Paths, relative to the checkout, of all files below `folder`; none when it does not exist. */
export const listFilesBelow = (folder: string): string[] => {
  if (!existsSync(join(root, folder))) return []
  return readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(root.length + 1))
    .sort()
}
