/**
 * Writes a file that exists completely or not at all: in a temporary folder beside its place,
 * synced, and named last. An existing file of that name is never touched.
 */
import {
  chmodSync,
  chownSync,
  closeSync,
  existsSync,
  fsyncSync,
  linkSync,
  mkdtempSync,
  openSync,
  renameSync,
  rmSync,
} from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { CommandError } from './command-line.ts'

/** The user who writes the file, if not this process's. */
export interface Owner {
  readonly uid: number
  readonly gid: number
}

/**
 * Lets `write` fill a file and puts it in its place, readable for this user only.
 * @param writer another user who fills it: only root can let one.
 * @throws CommandError if something has that name; whatever `write` throws.
 */
export async function placeNewFile(
  place: string,
  write: (file: string) => Promise<void>,
  writer?: Owner,
): Promise<void> {
  const target = resolve(place)
  const taken = new CommandError(`${place} exists already; nothing was overwritten.`)
  if (existsSync(target)) throw taken
  if (!existsSync(dirname(target))) throw new CommandError(`${dirname(target)} does not exist.`)
  const folder = mkdtempSync(join(dirname(target), `.${basename(target)}.partial-`))
  try {
    const uid = process.getuid?.()
    if (writer !== undefined && uid === 0 && writer.uid !== 0) {
      chownSync(folder, writer.uid, writer.gid)
    }
    const file = join(folder, 'file')
    await write(file)
    if (!existsSync(file)) {
      throw new CommandError(
        `the copy does not appear at ${place}: does the node have a private /tmp?`,
      )
    }
    if (uid === 0 && writer !== undefined) chownSync(file, 0, 0)
    chmodSync(file, 0o600)
    sync(file)
    try {
      // Unlike a rename, a link fails if somebody took the name meanwhile.
      linkSync(file, target)
    } catch (error) {
      if (existsSync(target)) throw taken
      // A file system without hard links.
      if (!(error instanceof Error)) throw error
      renameSync(file, target)
    }
    sync(dirname(target))
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** Waits until the disk has a file, or the names in a folder. */
function sync(path: string): void {
  const handle = openSync(path, 'r')
  try {
    fsyncSync(handle)
  } finally {
    closeSync(handle)
  }
}
