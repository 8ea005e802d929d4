/**
 * A file that is there whole or not at all: written in a folder of its own beside its place, synced,
 * and given its name last. What lies at that name already is never touched.
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

/** Who is to write the file, if it is not this process's user. */
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
  const taken = new CommandError(`${place} exists already; nothing was written over.`)
  if (existsSync(target)) throw taken
  if (!existsSync(dirname(target))) throw new CommandError(`${dirname(target)} is not there.`)
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
        `what was written is not to be seen at ${place}: does the node have a private /tmp?`,
      )
    }
    if (uid === 0 && writer !== undefined) chownSync(file, 0, 0)
    chmodSync(file, 0o600)
    sync(file)
    try {
      // Unlike a rename it fails if somebody took the name meanwhile.
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
