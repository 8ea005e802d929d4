/**
 * The PostgreSQL store: any number of processes on one database, none of them special. A batch of
 * requests is one transaction: lock the topics it rests on, load, decide in memory, write in bulk.
 */
import type pg from 'pg'
import { ClockWatch } from '../clock-watch.ts'
import { GroupCommitStore, type StoreOptions } from '../group-commit.ts'
import type { DatabaseCalls, Operation, Outcome } from '../operations.ts'
import { publishRequest } from '../publishing.ts'
import { type Reads, readByName } from '../store.ts'
import { type ClaimResult, claimPrekeys, readStocks } from './claims.ts'
import { type Reading, readClock, readTimes } from './database-clock.ts'
import { checkDurability } from './durability.ts'
import { History } from './history.ts'
import { Hosts } from './hosts.ts'
import { LoadedLedger, MissingState } from './ledger.ts'
import { KnownTopics, loadState, loadStocks } from './loading.ts'
import { migrate } from './migrate.ts'
import { Needs } from './needs.ts'
import { bytesStored, readOccupancy } from './occupancy.ts'
import { readPage } from './pages.ts'
import { sharesSessions } from './pooler.ts'
import {
  isAboutValues,
  isConflict,
  isReadOnly,
  makePatientPool,
  openWays,
  runTransaction,
  type Session,
  type Ways,
} from './session.ts'
import { sweep } from './sweep.ts'
import { ringOthers, Tail } from './tail.ts'
import { type Changes, Writer } from './writer.ts'
import { writeLedger } from './writing.ts'

export interface PostgresOptions {
  /** postgres://user:password@host:port/database, with several hosts if one may take over from another. */
  readonly url: string
  /** Chains whose contract signatures can be asked about. */
  readonly chainIds?: readonly bigint[]
  /** How news of other processes come: by notification, or by polling, for engines without. */
  readonly doorbell?: 'notify' | 'poll'
  /** Maximum connections of this process, besides the one of the doorbell. */
  readonly connections?: number
  /** Called once if the database lost what was in it: from then on everything fails. */
  readonly onLost?: (reason: string) => void
}

/** How often a transaction with a conflict is tried. */
const conflictLimit = 5

type Publish = Extract<Operation, { kind: 'publish' }>
type ClaimOperation = Extract<Operation, { kind: 'claim' }>

/** @throws Error if the database cannot be reached, or was made by a newer release. */
export async function openPostgresCalls(options: PostgresOptions): Promise<DatabaseCalls> {
  const { url, chainIds = [], doorbell = 'notify', connections = 8, onLost } = options
  const hosts = new Hosts(url, !(await sharesSessions(url)))
  const patient = makePatientPool(hosts)
  const nodeId = await migrate(patient).finally(() => patient.end())
  const ways = openWays(hosts, connections)
  const pool = ways.main
  const watch = new ClockWatch()
  try {
    await checkDurability(pool)
    const history = new History(pool, nodeId, (reason) => onLost?.(reason))
    const database = new PostgresDatabase(pool, chainIds, await Writer.add(pool), {
      hosts,
      usesBell: doorbell === 'notify',
      history,
    })
    await database.tail.start()
    return {
      nodeId,
      clock: 'own',
      run: (operations, nowNs) => database.run(operations, nowNs),
      read: async (nowNs, name, args) => {
        history.assertWhole()
        return readByName(readsAt(ways, nowNs), name, args)
      },
      sweep: async (nowNs, retentionNs) => {
        await history.compare(database.tail.seen)
        await database.tail.forgetGone()
        return sweep(pool, database.writer, nowNs, retentionNs, watch)
      },
      onNews: (listener) => database.tail.onNews(listener),
      close: async () => {
        await database.tail.close()
        await ways.end()
      },
    }
  } catch (error) {
    await ways.end().catch(() => {})
    throw error
  }
}

/** The store on this thread: for tests and tools. @throws Error as `openPostgresCalls` */
export const openPostgresStore = async (
  options: PostgresOptions & StoreOptions,
): Promise<GroupCommitStore> =>
  new GroupCommitStore(await openPostgresCalls(options), options).readClock()

const readsAt = ({ main, readers }: Ways, nowNs: bigint): Reads => ({
  // Takes a lock that nobody else takes, which a server that only reads refuses: its connection is closed.
  takesWrites: () =>
    runTransaction(main, async (session) => {
      await session.query('SELECT 1 FROM meta WHERE name = $1 FOR SHARE', ['version'])
      return true
    }),
  page: (cursors, limit) => readPage(readers, cursors, limit),
  occupancy: () => readOccupancy(readers),
  async stock(installationId) {
    const stocks = await runTransaction(readers, (session) =>
      readStocks(session, [installationId], nowNs),
    )
    return stocks.get(installationId) ?? { installationId, oneTimeLeft: 0, newestCreatedNs: 0n }
  },
})

/** The number of this process's transaction was given out before. */
class WentBack extends Error {}

class PostgresDatabase {
  readonly tail: Tail
  readonly writer: Writer
  readonly #pool: pg.Pool
  readonly #connections: number
  readonly #history: History
  readonly #chainIds: readonly bigint[]
  readonly #usesBell: boolean
  readonly #known = new KnownTopics()

  constructor(
    pool: pg.Pool,
    chainIds: readonly bigint[],
    writer: Writer,
    given: { readonly hosts: Hosts; readonly usesBell: boolean; readonly history: History },
  ) {
    this.#history = given.history
    this.#connections = pool.options.max
    this.#pool = pool
    this.#chainIds = chainIds
    this.writer = writer
    this.#usesBell = given.usesBell
    this.tail = new Tail({ pool, own: writer.id, ...given })
  }

  /** The requests of a batch are independent: publishes go first, then claims. */
  async run(operations: readonly Operation[], givenNs: bigint | undefined) {
    const publishes = operations.filter((operation) => operation.kind === 'publish')
    const claims = operations.filter((operation) => operation.kind === 'claim')
    const clock = new BatchClock(givenNs)
    const outcomes = new Map<Operation, Outcome>()
    const keep = (asked: readonly Operation[], came: readonly Outcome[]): void => {
      for (const [at, operation] of asked.entries()) {
        outcomes.set(operation, came[at] ?? { kind: 'failed', reason: 'no answer' })
      }
    }
    keep(publishes, await this.#attempt(publishes, (some) => this.#publish(some, clock)))
    keep(claims, await this.#attempt(claims, (some) => this.#claim(some, clock)))
    const nowNs = clock.latestNs ?? (await runTransaction(this.#pool, readClock))
    return {
      outcomes: operations.map(
        (operation): Outcome => outcomes.get(operation) ?? { kind: 'failed', reason: 'lost' },
      ),
      nowNs,
    }
  }

  async #attempt<O extends Operation>(
    operations: readonly O[],
    step: (operations: readonly O[]) => Promise<readonly Outcome[]>,
  ): Promise<readonly Outcome[]> {
    if (operations.length === 0) return []
    for (let tries = 1; ; tries += 1) {
      try {
        return await step(operations)
      } catch (error) {
        if (isConflict(error) && tries < conflictLimit) continue
        // What was known to be there is not: it is written, or noticed, at the next try.
        if (error instanceof MissingState && tries < conflictLimit) {
          this.#known.forget()
          continue
        }
        // Each try closes a connection to a server that has become a replica.
        if (isReadOnly(error) && tries <= this.#connections) continue
        // Nobody knows whether it was stored; if it was, the list brings it to this process's
        // readers too.
        this.tail.ring()
        // A request that storage cannot take must not fail the others of its batch.
        if (isAboutValues(error) && operations.length > 1) {
          const parts: Outcome[] = []
          for (const one of operations) parts.push(...(await this.#attempt([one], step)))
          return parts
        }
        const reason = error instanceof Error ? error.message : 'unknown'
        return operations.map(() => ({ kind: 'failed', reason }))
      }
    }
  }

  async #publish(operations: readonly Publish[], clock: BatchClock): Promise<readonly Outcome[]> {
    const needs = new Needs()
    for (const { envelopes, statuses } of operations) {
      for (const [at, one] of envelopes.entries()) needs.add(one, statuses?.get(at))
    }
    const written = new Set<string>()
    const outcomes = await this.#store(async (session) => {
      const state = await loadState(session, needs, this.#known)
      // Read under the locks, so that it is later than everything stored before.
      const { nowNs, newestNs } = await clock.read(session)
      await loadStocks(session, needs, state, nowNs)
      const before = new Map([...state.topics].map(([name, { sequence }]) => [name, sequence]))
      const ledger = new LoadedLedger(state)
      const outcomes = operations.map((operation) =>
        publishRequest(ledger, operation, { nowNs, newestNs, chainIds: this.#chainIds }),
      )
      await writeLedger(session, ledger, state)
      const topics = new Map(ledger.rows.map(({ topic }) => [topic, before.get(topic) ?? 0n]))
      for (const topic of topics.keys()) written.add(topic)
      const bytes = bytesStored(ledger.rows.map(({ message }) => message?.length ?? 0))
      const changes = { topics, installations: [], newestNs: ledger.newestNs, bytes }
      return { result: outcomes, changes }
    })
    this.#known.add(written)
    return outcomes
  }

  #claim(operations: readonly ClaimOperation[], clock: BatchClock): Promise<readonly Outcome[]> {
    return this.#store(async (session) => {
      const now = async () => (await clock.read(session)).nowNs
      const claimed: ClaimResult = await claimPrekeys(session, operations, now)
      return {
        result: claimed.outcomes,
        changes: { topics: new Map(), installations: claimed.shrunk, newestNs: 0n, bytes: 0n },
      }
    })
  }

  /** Runs a step in a transaction that is listed for the other processes, and rings their bells. */
  async #store<T>(
    step: (session: Session) => Promise<{ readonly result: T; readonly changes: Changes }>,
  ): Promise<T> {
    this.#history.assertWhole()
    const latest = this.tail.seen.get(this.writer.id) ?? 0n
    const { result, number } = await runTransaction(this.#pool, async (session) => {
      const { result, changes } = await step(session)
      const listed = await this.writer.list(session, changes, latest)
      if (listed !== undefined) this.#history.assertSame(listed.nodeId)
      // Nothing of it is committed.
      if (listed !== undefined && listed.number <= latest) throw new WentBack()
      return { result, number: listed?.number }
    }).catch((error: unknown) => {
      if (error instanceof WentBack) return this.#history.fail()
      throw error
    })
    if (number !== undefined) {
      this.tail.onOwnCommit(number)
      // A notification that gets lost only delays: nothing waits for it.
      if (this.#usesBell) void ringOthers(this.#pool, this.writer.id).catch(() => {})
    }
    return result
  }
}

/** The times of a batch: the database's, or a given one. */
class BatchClock {
  readonly #givenNs: bigint | undefined
  latestNs: bigint | undefined

  constructor(givenNs: bigint | undefined) {
    this.#givenNs = givenNs
  }

  async read(session: Session): Promise<Reading> {
    const { nowNs, newestNs } = await readTimes(session)
    this.latestNs = this.#givenNs ?? nowNs
    return { nowNs: this.latestNs, newestNs }
  }
}
