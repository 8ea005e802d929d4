/**
 * A copy of a SQLite database while it is in use, by SQLite's own backup: what is written meanwhile
 * through the same connection goes into the copy too, so that it never begins again and is, at its
 * end, the database as it is at that moment.
 *
 * SQLite copies nothing while a transaction writes, so under full load it would never get on
 * (seen: seconds without a page, then an error). Writing therefore waits for the step that is under
 * way, some milliseconds, and is done between steps.
 */
import { close, fdatasync, openSync, rmSync } from 'node:fs'
import { backup, type DatabaseSync } from 'node:sqlite'
import { promisify } from 'node:util'

/** How much there is to copy, in pages, and how much of it is left; what is written adds to both. */
export interface BackupProgress {
  readonly totalPages: number
  readonly remainingPages: number
}

/** 4 MiB: as long as a transaction of some hundred envelopes takes. */
const pagesAStep = 1_024
/** The disk is asked to write after so many, so that the last step has little left to wait for. */
const pagesASync = 8_192

export class OnlineBackup {
  readonly #database: DatabaseSync
  #waiting: (() => void)[] = []
  #running: Promise<void> | undefined
  /** A step may be under way. */
  #stepping = false
  #stopped = false

  constructor(database: DatabaseSync) {
    this.#database = database
  }

  /** Does something that writes: now, or between two steps of a copy. In the order of the calls. */
  between<T>(work: () => T): Promise<T> {
    return new Promise((resolve, reject) => {
      const perform = (): void => {
        try {
          resolve(work())
        } catch (error) {
          reject(error)
        }
      }
      if (!this.#stepping) perform()
      else this.#waiting.push(perform)
    })
  }

  /**
   * Copies everything into a new file that only this user may read. What was committed before the
   * call is in it.
   * @param onProgress may throw, which ends the copy.
   * @throws Error if the file exists or cannot be written, another copy is under way, or `stop` was
   * called; then the file is gone again.
   */
  async copyTo(file: string, onProgress: (progress: BackupProgress) => void): Promise<void> {
    if (this.#stopped) throw new Error('the node is stopping')
    if (this.#running !== undefined) throw new Error('another backup is under way')
    const running = this.#copy(file, onProgress)
    this.#running = running
    try {
      await running
    } finally {
      this.#running = undefined
    }
  }

  /** Ends a copy that is under way; resolves once nothing of it touches the database any more. */
  async stop(): Promise<void> {
    this.#stopped = true
    await this.#running?.catch(() => {})
  }

  async #copy(file: string, onProgress: (progress: BackupProgress) => void): Promise<void> {
    // Made here and not by SQLite, so that nobody else can read it at any time, and nothing that is
    // there is written over. Closed last: closing a file drops the locks that SQLite has on it.
    const handle = openSync(file, 'wx', 0o600)
    let syncing: Promise<void> | undefined
    let unsyncedPages = 0
    try {
      await this.#step(file, (progress) => {
        unsyncedPages += pagesAStep
        if (syncing === undefined && unsyncedPages >= pagesASync) {
          unsyncedPages = 0
          syncing = promisify(fdatasync)(handle)
            // SQLite itself syncs at the end, and says what is wrong.
            .catch(() => {})
            .finally(() => {
              syncing = undefined
            })
        }
        onProgress(progress)
      })
    } catch (error) {
      rmSync(file, { force: true })
      rmSync(`${file}-journal`, { force: true })
      throw error
    } finally {
      await syncing
      await promisify(close)(handle)
    }
  }

  async #step(file: string, onProgress: (progress: BackupProgress) => void): Promise<void> {
    this.#stepping = true
    try {
      await backup(this.#database, file, {
        rate: pagesAStep,
        progress: (progress: BackupProgress) => {
          if (this.#stopped) throw new Error('the node is stopping')
          this.#workOff()
          onProgress(progress)
        },
      })
    } finally {
      this.#stepping = false
      this.#workOff()
    }
  }

  #workOff(): void {
    const waiting = this.#waiting
    this.#waiting = []
    for (const perform of waiting) perform()
  }
}
