/**
 * A database as the service sees it, on whatever thread it runs. Requests that arrive during a
 * transaction wait and share the next one (group commit), so that one write to disk serves many.
 */
import { setImmediate as nextTurn } from 'node:timers/promises'
import { type Clock, systemClock } from '../clock.ts'
import type { SignatureStatus } from '../rules/signature-status.ts'
import { CommitFeed } from './commit-feed.ts'
import { defaultRetentionNs } from './lifetimes.ts'
import { DatabaseClock } from './node-clock.ts'
import type { DatabaseCalls, Operation, Outcome } from './operations.ts'
import {
  type Claim,
  type ClaimLimits,
  type Commit,
  type Interest,
  type NewEnvelope,
  type PublishOutcome,
  type ReadAnswers,
  type ReadArgs,
  type ReadName,
  ReadsByName,
  type Store,
  StoreFailure,
} from './store.ts'

export interface StoreOptions {
  /** Node time; by default the database's, which several processes share. */
  readonly clock?: Clock
  /** Chains whose contract signatures can be asked about. */
  readonly chainIds?: readonly bigint[]
  /** How long inboxes keep their envelopes. */
  readonly retentionNs?: bigint
  /** Called when old data could not be dropped; it is tried again every minute. */
  readonly onSweepFailure?: (reason: string) => void
}

/** Bounds of one transaction: further requests wait for the next. */
const batchLimitOperations = 1_000
const batchLimitBytes = 32 * 1024 * 1024
/** Envelopes and claimed installations: each locks, reads and writes some rows. */
const batchLimitItems = 5_000
/** Bounds of the queue: beyond them requests are refused and may be retried. */
const queueLimitOperations = 20_000
const queueLimitBytes = 256 * 1024 * 1024

const sweepIntervalMs = 60_000

interface Waiting {
  readonly operation: Operation
  readonly bytes: number
  readonly items: number
  readonly resolve: (outcome: Outcome) => void
}

export class GroupCommitStore extends ReadsByName implements Store {
  readonly nodeId: Uint8Array
  readonly chainIds: readonly bigint[]
  readonly clock: Clock
  readonly #calls: DatabaseCalls
  readonly #givenClock: Clock | undefined
  readonly #retentionNs: bigint
  readonly #feed: CommitFeed
  readonly #databaseClock: DatabaseClock | undefined
  readonly #sweeper: NodeJS.Timeout
  #sweeping: Promise<void> | undefined
  #queue: Waiting[] = []
  #queueBytes = 0
  #writing: Promise<void> | undefined
  #closed = false

  constructor(calls: DatabaseCalls, options: StoreOptions) {
    super()
    this.nodeId = calls.nodeId
    this.chainIds = options.chainIds ?? []
    this.#calls = calls
    this.#givenClock = options.clock
    if (calls.clock === 'own') this.#databaseClock = new DatabaseClock(systemClock())
    this.clock = options.clock ?? this.#databaseClock?.now ?? systemClock
    this.#retentionNs = options.retentionNs ?? defaultRetentionNs
    this.#feed = new CommitFeed(this)
    calls.onNews?.((news) => this.#feed.onNews(news))
    // Reads do not show what is too old and not swept yet, except on inboxes.
    this.#sweeper = setInterval(() => {
      this.sweep().catch((error: unknown) => options.onSweepFailure?.(reasonOf(error)))
    }, sweepIntervalMs)
    this.#sweeper.unref()
  }

  /** Asks the database what time it is; to be called once before use. @throws StoreFailure */
  async readClock(): Promise<this> {
    const { nowNs } = await this.#calls.run([], undefined).catch(asStoreFailure)
    this.#databaseClock?.set(nowNs)
    return this
  }

  /** Length of the queue. */
  get waiting(): number {
    return this.#queue.length
  }

  async publish(
    envelopes: readonly NewEnvelope[],
    statuses?: ReadonlyMap<number, SignatureStatus>,
  ): Promise<PublishOutcome> {
    let bytes = 0
    for (const { message } of envelopes) bytes += message.length
    const operation = { kind: 'publish', envelopes, ...(statuses && { statuses }) } as const
    const outcome = await this.#enqueue(operation, bytes)
    switch (outcome.kind) {
      case 'published':
        return { ok: true, receipts: outcome.receipts }
      case 'refused':
        return {
          ok: false,
          code: outcome.code,
          envelopeIndex: outcome.envelopeIndex,
          why: outcome.why,
        }
      case 'asks':
        return { ok: false, question: outcome.question, envelopeIndex: outcome.envelopeIndex }
      default:
        throw failureOf(outcome)
    }
  }

  async claim(
    claimId: Uint8Array,
    installationIds: readonly string[],
    limits?: ClaimLimits,
  ): Promise<readonly Claim[]> {
    const operation = {
      kind: 'claim',
      claimId,
      installationIds,
      ...(limits && { limits }),
    } as const
    const outcome = await this.#enqueue(operation, 0)
    if (outcome.kind === 'claimed') return outcome.claims
    throw failureOf(outcome)
  }

  protected async read<N extends ReadName>(name: N, args: ReadArgs[N]): Promise<ReadAnswers[N]> {
    this.#assertOpen()
    return this.#calls.read(this.clock(), name, args).catch(asStoreFailure)
  }

  watch(listener: (commit: Commit) => void, interest: Interest): () => void {
    return this.#feed.watch(listener, interest)
  }

  /** Sweeps in small steps; writes go between them. */
  sweep(): Promise<void> {
    this.#sweeping ??= this.#sweepAll().finally(() => {
      this.#sweeping = undefined
    })
    return this.#sweeping
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    clearInterval(this.#sweeper)
    await this.#writing
    await this.#sweeping?.catch(() => {})
    await this.#calls.close()
  }

  async #sweepAll(): Promise<void> {
    // However idle the store is, its clock is right but for what a minute brings.
    if (this.#databaseClock !== undefined) await this.readClock()
    while (!this.#closed && (await this.#calls.sweep(this.#givenClock?.(), this.#retentionNs))) {
      // Waiting writes go first.
      await nextTurn()
      await this.#writing
    }
  }

  #assertOpen(): void {
    if (this.#closed) throw new StoreFailure('the store is closed')
  }

  #enqueue(operation: Operation, bytes: number): Promise<Outcome> {
    return new Promise((resolve) => {
      this.#assertOpen()
      if (
        this.#queue.length >= queueLimitOperations ||
        (this.#queue.length > 0 && this.#queueBytes + bytes > queueLimitBytes)
      ) {
        throw new StoreFailure('too much waits to be stored')
      }
      this.#queue.push({ operation, bytes, items: itemsOf(operation), resolve })
      this.#queueBytes += bytes
      this.#writing ??= this.#write()
    })
  }

  async #write(): Promise<void> {
    // All requests of this turn of the event loop share the first transaction.
    await Promise.resolve()
    while (this.#queue.length > 0) {
      const batch = this.#takeBatch()
      const outcomes = await this.#runBatch(batch)
      this.#feed.onCommit(
        batch.map(({ operation }) => operation),
        outcomes,
      )
      for (const [index, { resolve }] of batch.entries()) {
        resolve(outcomes[index] ?? { kind: 'failed', reason: 'no answer' })
      }
    }
    this.#writing = undefined
  }

  #takeBatch(): readonly Waiting[] {
    let count = 0
    let bytes = 0
    let items = 0
    for (const waiting of this.#queue) {
      if (count === batchLimitOperations) break
      bytes += waiting.bytes
      items += waiting.items
      if (count > 0 && (bytes > batchLimitBytes || items > batchLimitItems)) break
      count += 1
    }
    const batch = this.#queue.slice(0, count)
    this.#queue = this.#queue.slice(count)
    for (const waiting of batch) this.#queueBytes -= waiting.bytes
    return batch
  }

  async #runBatch(batch: readonly Waiting[]): Promise<readonly Outcome[]> {
    try {
      const operations = batch.map(({ operation }) => operation)
      const { outcomes, nowNs } = await this.#calls.run(operations, this.#givenClock?.())
      this.#databaseClock?.set(nowNs)
      return outcomes
    } catch (error) {
      const reason = reasonOf(error)
      return batch.map(() => ({ kind: 'failed', reason }))
    }
  }
}

const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : 'unknown')

const itemsOf = (operation: Operation): number =>
  operation.kind === 'publish' ? operation.envelopes.length : operation.installationIds.length

const failureOf = (outcome: Outcome): StoreFailure =>
  new StoreFailure(outcome.kind === 'failed' ? outcome.reason : 'another kind of answer')

function asStoreFailure(error: unknown): never {
  throw new StoreFailure('the database did not answer', { cause: error })
}
