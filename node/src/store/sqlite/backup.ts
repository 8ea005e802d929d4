/**
 * Copies a SQLite database in use, by SQLite's own backup. Writes through the same connection go
 * into the copy too, so it never starts over and at its end equals the database at that moment.
 *
 * SQLite copies nothing during a write transaction, so under full load a copy would make no
 * progress (seen: seconds without a page, then an error). Writes therefore wait for the running
 * step, some milliseconds, and run between steps.
 */
import { close, fdatasync, openSync, rmSync } from 'node:fs'
import { backup, type DatabaseSync } from 'node:sqlite'
import { promisify } from 'node:util'

/** How many pages there are to copy, and how many are left; writes add to both. */
export interface BackupProgress {
  readonly totalPages: number
  readonly remainingPages: number
}

/** 4 MiB: about as long as a transaction of some hundred envelopes. */
const pagesAStep = 1_024
/** The disk is synced after so many pages, so that the last step need not wait long. */
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

  /** Runs a write: now, or between two steps of a copy, in the order of the calls. */
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
   * Copies everything into a new file that only this user may read. The copy has everything committed
   * before the call.
   * @param onProgress may throw, which ends the copy.
   * @throws Error if the file exists or cannot be written, another copy is running, or `stop` was
   * called; the file is removed again.
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

  /** Ends a running copy; resolves once it no longer uses the database. */
  async stop(): Promise<void> {
    this.#stopped = true
    await this.#running?.catch(() => {})
  }

  async #copy(file: string, onProgress: (progress: BackupProgress) => void): Promise<void> {
    // Created here and not by SQLite, so that nobody else can ever read it and no file is
    // overwritten. Closed last: closing a file drops the locks that SQLite has on it.
    const handle = openSync(file, 'wx', 0o600)
    let syncing: Promise<void> | undefined
    let unsyncedPages = 0
    try {
      await this.#step(file, (progress) => {
        unsyncedPages += pagesAStep
        if (syncing === undefined && unsyncedPages >= pagesASync) {
          unsyncedPages = 0
          syncing = promisify(fdatasync)(handle)
            // SQLite syncs at the end and reports errors.
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
