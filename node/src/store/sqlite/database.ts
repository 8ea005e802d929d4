/**
 * The embedded database: one SQLite file, every call synchronous, on the thread that opened it.
 *
 * WAL with synchronous=FULL: an acknowledged commit is on disk. The file is locked for this process,
 * because the process that commits also feeds the live streams.
 */
import { randomBytes } from 'node:crypto'
import { DatabaseSync } from 'node:sqlite'
import { nodeIdBytes } from '../../../../src/protocol/limits.ts'
import { systemClock } from '../../clock.ts'
import { ClockWatch } from '../clock-watch.ts'
import type { DatabaseCalls, Operation, Outcome } from '../operations.ts'
import { publishRequest } from '../publishing.ts'
import { bytesOf, integerOf, required } from '../rows.ts'
import { type Claim, type Reads, readByName } from '../store.ts'
import { OnlineBackup } from './backup.ts'
import { backupSocketOf, takeBackupRequests } from './backup-socket.ts'
import { FreePages } from './free-pages.ts'
import { SqliteLedger } from './ledger.ts'
import { SqlitePages } from './pages.ts'
import { SqlitePrekeys } from './prekeys.ts'
import { Readings } from './readings.ts'
import { schemaSteps } from './schema.ts'
import { prepare } from './statement.ts'
import { SqliteSweep } from './sweep.ts'

export interface SqliteOptions {
  /** A path, or ':memory:'. */
  readonly file: string
  /** Chains whose contract signatures can be asked about. */
  readonly chainIds?: readonly bigint[]
}

/** @throws Error if the file cannot be opened, is in use, or was made by a newer release. */
export function openSqliteCalls(options: SqliteOptions): DatabaseCalls {
  const database = new SqliteDatabase(options)
  const { copy } = database
  const watch = new ClockWatch()
  const stopTaking =
    options.file === ':memory:' ? () => {} : takeBackupRequests(backupSocketOf(options.file), copy)
  return {
    nodeId: database.nodeId,
    run: (operations, givenNs) =>
      copy.between(() => {
        const nowNs = givenNs ?? systemClock()
        return { outcomes: database.run(operations, nowNs), nowNs }
      }),
    read: (nowNs, name, args) => readByName(database.readsAt(nowNs), name, args),
    sweep: (givenNs, retentionNs) =>
      copy.between(() => {
        const nowNs = givenNs ?? systemClock()
        if (givenNs === undefined) watch.assertBelieved(nowNs, database.sweptNs ?? nowNs)
        return database.sweep(nowNs, retentionNs)
      }),
    close: async () => {
      stopTaking()
      await copy.stop()
      database.close()
    },
  }
}

// An installation that cannot exist: looking for it costs one index probe.
const nobody = 'A'.repeat(43)

export class SqliteDatabase {
  /** 16 random bytes, made with the file. */
  readonly nodeId: Uint8Array
  /** Copies the database while it is in use; all writes go `between` its steps. */
  readonly copy: OnlineBackup
  readonly #database: DatabaseSync
  readonly #chainIds: readonly bigint[]
  readonly #prekeys: SqlitePrekeys
  readonly #ledger: SqliteLedger
  readonly #file: string
  readonly #pages: SqlitePages
  readonly #readings: Readings
  readonly #sweep: SqliteSweep
  readonly #freePages: FreePages

  /** @throws Error if the file cannot be opened, is in use, or was made by a newer release. */
  constructor(options: SqliteOptions) {
    this.#chainIds = options.chainIds ?? []
    this.#file = options.file
    const database = new DatabaseSync(options.file)
    this.#database = database
    try {
      // Before the first access: then WAL needs no shared memory, and a second process is refused.
      database.exec('PRAGMA locking_mode = EXCLUSIVE')
      FreePages.prepareFile(database)
      database.exec('PRAGMA journal_mode = WAL')
      database.exec('PRAGMA synchronous = FULL')
      database.exec('PRAGMA cache_size = -65536')
      migrate(database)
      this.nodeId = readNodeId(database)
    } catch (error) {
      database.close()
      throw error
    }
    this.copy = new OnlineBackup(database)
    this.#prekeys = new SqlitePrekeys(database)
    this.#ledger = new SqliteLedger(database, this.#prekeys)
    this.#pages = new SqlitePages(database)
    this.#readings = new Readings(database)
    this.#sweep = new SqliteSweep(database, this.#prekeys, this.#readings)
    this.#freePages = new FreePages(database)
  }

  /**
   * Runs all operations in one transaction, so that one write to disk serves many requests. Each is
   * atomic by itself. Outcomes come in the same order, after everything is on disk.
   */
  run(operations: readonly Operation[], nowNs: bigint): readonly Outcome[] {
    try {
      return this.#transaction(() => {
        const outcomes = operations.map((operation) => this.#apply(operation, nowNs))
        if (outcomes.some(({ kind }) => kind === 'published')) this.#readings.note(nowNs)
        return outcomes
      })
    } catch (error) {
      // A request that storage cannot take must not fail the others of its batch.
      if (operations.length > 1) {
        return operations.flatMap((operation) => this.run([operation], nowNs))
      }
      return [{ kind: 'failed', reason: error instanceof Error ? error.message : 'unknown' }]
    }
  }

  /** `async`, so that what the database throws rejects. */
  readsAt(nowNs: bigint): Reads {
    return {
      page: async (cursors, limit) => this.#pages.page(cursors, limit),
      stock: async (installationId) => this.#prekeys.stock(installationId, nowNs),
      occupancy: async () => this.#freePages.occupancy(this.#file),
      // Its answer came from the file, and nobody else writes to that.
      takesWrites: async () => this.#prekeys.stock(nobody, nowNs).oneTimeLeft === 0,
    }
  }

  /** When data was dropped last, or else stored before this process began; absent if there was none. */
  get sweptNs(): bigint | undefined {
    return this.#sweep.sweptNs
  }

  /** Drops some of what is too old. @returns whether there is more. */
  sweep(nowNs: bigint, retentionNs: bigint): boolean {
    const isMore = this.#transaction(() => this.#sweep.run(nowNs, retentionNs))
    return this.#freePages.giveBack() || isMore
  }

  close(): void {
    this.#database.close()
  }

  #apply(operation: Operation, nowNs: bigint): Outcome {
    return operation.kind === 'publish'
      ? publishRequest(this.#ledger, operation, {
          nowNs,
          newestNs: this.#ledger.newestNs,
          chainIds: this.#chainIds,
        })
      : this.#claim(operation, nowNs)
  }

  #claim(operation: Extract<Operation, { kind: 'claim' }>, nowNs: bigint): Outcome {
    const claims: Claim[] = []
    const shrunk = new Set<string>()
    for (const installationId of operation.installationIds) {
      const { fallbackOnly, budget } = operation.limits ?? {}
      const isFallbackOnly = fallbackOnly?.has(installationId) === true
      const asked = { claimId: operation.claimId, installationId, isFallbackOnly, budget }
      const { claim, took } = this.#prekeys.claim(asked, nowNs)
      claims.push(claim)
      if (took) shrunk.add(installationId)
    }
    const stocks = [...shrunk].map((id) => this.#prekeys.stock(id, nowNs))
    return { kind: 'claimed', claims, stocks }
  }

  #transaction<T>(step: () => T): T {
    this.#database.exec('BEGIN IMMEDIATE')
    try {
      const result = step()
      this.#database.exec('COMMIT')
      return result
    } catch (error) {
      // A failed COMMIT or a full disk may have ended the transaction already.
      if (this.#database.isTransaction) this.#database.exec('ROLLBACK')
      this.#ledger.forget()
      this.#readings.forgetLatest()
      throw error
    }
  }
}

function migrate(database: DatabaseSync): void {
  const row = prepare(database, 'PRAGMA user_version').get()
  const version = row === undefined ? 0 : Number(integerOf(row, 'user_version'))
  if (version > schemaSteps.length) {
    throw new Error('the data was written by a newer release of padlock-node; update it')
  }
  for (const [index, step] of schemaSteps.entries()) {
    if (index < version) continue
    database.exec(`BEGIN IMMEDIATE; ${step}; PRAGMA user_version = ${index + 1}; COMMIT`)
  }
}

function readNodeId(database: DatabaseSync): Uint8Array {
  prepare(database, `INSERT OR IGNORE INTO meta (name, value) VALUES ('node_id', ?)`).run(
    randomBytes(nodeIdBytes),
  )
  const row = prepare(database, `SELECT value FROM meta WHERE name = 'node_id'`).get()
  return bytesOf(required(row), 'value')
}
