/**
 * Counts the pages of the file that hold nothing any more, and gives them back to the file system, a few at a
 * time. Some stay: what comes next goes there. Files of releases before this one keep all of theirs: only a
 * VACUUM changes how a file is made.
 */
import { statfsSync } from 'node:fs'
import { dirname } from 'node:path'
import type { DatabaseSync } from 'node:sqlite'
import { integerOf, required } from '../rows.ts'
import type { Occupancy } from '../store.ts'
import { prepare, type Statement } from './statement.ts'

/** Two mebibytes: some milliseconds. */
const pagesAtOnce = 512n
/** Free pages that stay, and at least a tenth of the file. */
const keptPages = 1_024n
/** What `PRAGMA auto_vacuum` says of a file that can give pages back. */
const incremental = 2n

export class FreePages {
  readonly #database: DatabaseSync
  readonly #free: Statement
  readonly #all: Statement
  readonly #pageBytes: number
  readonly #canShrink: boolean

  /** Says how a new file is to be made; another one is not written to, as its disk may be full. */
  static prepareFile(database: DatabaseSync): void {
    const pages = prepare(database, 'PRAGMA page_count').get()
    if (integerOf(required(pages), 'page_count') === 0n) {
      database.exec('PRAGMA auto_vacuum = INCREMENTAL')
    }
  }

  constructor(database: DatabaseSync) {
    this.#database = database
    this.#free = prepare(database, 'PRAGMA freelist_count')
    this.#all = prepare(database, 'PRAGMA page_count')
    this.#pageBytes = Number(
      integerOf(required(prepare(database, 'PRAGMA page_size').get()), 'page_size'),
    )
    const kind = prepare(database, 'PRAGMA auto_vacuum').get()
    this.#canShrink = integerOf(required(kind), 'auto_vacuum') === incremental
  }

  /** What the file holds, and how much more it may: free pages come first, then the file system. */
  occupancy(file: string): Occupancy {
    const free = Number(integerOf(required(this.#free.get()), 'freelist_count')) * this.#pageBytes
    const all = Number(integerOf(required(this.#all.get()), 'page_count')) * this.#pageBytes
    if (file === ':memory:') return { usedBytes: all - free }
    const { bavail, bsize } = statfsSync(dirname(file))
    return { usedBytes: all - free, freeBytes: free + bavail * bsize }
  }

  /** @returns whether there are more to give back. */
  giveBack(): boolean {
    if (!this.#canShrink) return false
    const tenth = integerOf(required(this.#all.get()), 'page_count') / 10n
    const surplus =
      integerOf(required(this.#free.get()), 'freelist_count') -
      (tenth > keptPages ? tenth : keptPages)
    if (surplus <= 0n) return false
    this.#database.exec(
      `PRAGMA incremental_vacuum(${surplus < pagesAtOnce ? surplus : pagesAtOnce})`,
    )
    return surplus > pagesAtOnce
  }
}
