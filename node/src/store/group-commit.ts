/**
 * The embedded store as the service sees it, on whatever thread the database runs. Requests that
 * arrive while a transaction is written wait and share the next one (group commit), so that one write
 * to disk serves many of them.
 */
import { type Clock, systemClock } from '../clock.ts'
import type { Operation, Outcome, SqliteOptions } from './sqlite-database.ts'
import {
  type Claim,
  type Commit,
  type Cursor,
  type NewEnvelope,
  type Page,
  type PageLimit,
  type PublishOutcome,
  type Stock,
  type Store,
  type StoredEnvelope,
  StoreFailure,
} from './store.ts'

/** The calls of a database, wherever it runs. Their answers come in the order of the calls. */
export interface DatabaseCalls {
  readonly nodeId: Uint8Array
  run(operations: readonly Operation[], nowNs: bigint): Promise<readonly Outcome[]>
  page(cursors: readonly Cursor[], limit: PageLimit): Promise<Page>
  stock(installationId: string, nowNs: bigint): Promise<Stock>
  sweep(nowNs: bigint): Promise<void>
  close(): Promise<void>
}

export interface SqliteStoreOptions extends SqliteOptions {
  readonly clock?: Clock
}

/** Bounds of one transaction: what comes after waits for the next. */
const batchLimitOperations = 1_000
const batchLimitBytes = 32 * 1024 * 1024
/** Bounds of what waits: beyond them requests are turned away, to be tried again. */
const queueLimitOperations = 20_000
const queueLimitBytes = 256 * 1024 * 1024

const sweepIntervalMs = 60_000

interface Waiting {
  readonly operation: Operation
  readonly bytes: number
  readonly settle: (outcome: Outcome) => void
}

export class SqliteStore implements Store {
  readonly nodeId: Uint8Array
  readonly chainIds: readonly bigint[]
  readonly #calls: DatabaseCalls
  readonly #clock: Clock
  readonly #listeners = new Set<(commit: Commit) => void>()
  readonly #sweeper: NodeJS.Timeout
  #queue: Waiting[] = []
  #queueBytes = 0
  #writing: Promise<void> | undefined
  #closed = false

  constructor(calls: DatabaseCalls, options: SqliteStoreOptions) {
    this.nodeId = calls.nodeId
    this.chainIds = options.chainIds ?? []
    this.#calls = calls
    this.#clock = options.clock ?? systemClock
    // What a sweep misses is not given out either: it only keeps the file small.
    this.#sweeper = setInterval(() => {
      calls.sweep(this.#clock()).catch(() => {})
    }, sweepIntervalMs)
    this.#sweeper.unref()
  }

  async publish(envelopes: readonly NewEnvelope[]): Promise<PublishOutcome> {
    let bytes = 0
    for (const { message } of envelopes) bytes += message.length
    const outcome = await this.#enqueue({ kind: 'publish', envelopes }, bytes)
    if (outcome.kind === 'published') return { ok: true, receipts: outcome.receipts }
    if (outcome.kind === 'refused') {
      return { ok: false, code: outcome.code, envelopeIndex: outcome.envelopeIndex }
    }
    throw new StoreFailure(outcome.kind === 'failed' ? outcome.reason : 'another kind of answer')
  }

  async claim(claimId: Uint8Array, installationIds: readonly string[]): Promise<readonly Claim[]> {
    const outcome = await this.#enqueue({ kind: 'claim', claimId, installationIds }, 0)
    if (outcome.kind === 'claimed') return outcome.claims
    throw new StoreFailure(outcome.kind === 'failed' ? outcome.reason : 'another kind of answer')
  }

  async page(cursors: readonly Cursor[], limit: PageLimit): Promise<Page> {
    this.#assertOpen()
    return this.#calls.page(cursors, limit).catch(asStoreFailure)
  }

  async stock(installationId: string): Promise<Stock> {
    this.#assertOpen()
    return this.#calls.stock(installationId, this.#clock()).catch(asStoreFailure)
  }

  watch(listener: (commit: Commit) => void): () => void {
    this.#listeners.add(listener)
    return () => {
      this.#listeners.delete(listener)
    }
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    clearInterval(this.#sweeper)
    await this.#writing
    await this.#calls.close()
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
      this.#queue.push({ operation, bytes, settle: resolve })
      this.#queueBytes += bytes
      this.#writing ??= this.#write()
    })
  }

  async #write(): Promise<void> {
    // Let everything that arrives in this turn of the event loop share the first transaction.
    await Promise.resolve()
    while (this.#queue.length > 0) {
      const batch = this.#takeBatch()
      const outcomes = await this.#runBatch(batch)
      this.#announce(batch, outcomes)
      for (const [index, { settle }] of batch.entries()) {
        settle(outcomes[index] ?? { kind: 'failed', reason: 'no answer' })
      }
    }
    this.#writing = undefined
  }

  #takeBatch(): readonly Waiting[] {
    let count = 0
    let bytes = 0
    for (const waiting of this.#queue) {
      if (count === batchLimitOperations) break
      if (count > 0 && bytes + waiting.bytes > batchLimitBytes) break
      count += 1
      bytes += waiting.bytes
    }
    const batch = this.#queue.slice(0, count)
    this.#queue = this.#queue.slice(count)
    this.#queueBytes -= bytes
    return batch
  }

  async #runBatch(batch: readonly Waiting[]): Promise<readonly Outcome[]> {
    try {
      const operations = batch.map(({ operation }) => operation)
      return await this.#calls.run(operations, this.#clock())
    } catch (error) {
      const reason = error instanceof Error ? error.message : 'unknown'
      return batch.map(() => ({ kind: 'failed', reason }))
    }
  }

  // The bytes of what was just stored are still here, so the database does not send them back.
  #announce(batch: readonly Waiting[], outcomes: readonly Outcome[]): void {
    const envelopes: StoredEnvelope[] = []
    const stocks: Stock[] = []
    for (const [index, { operation }] of batch.entries()) {
      const outcome = outcomes[index]
      if (outcome?.kind === 'claimed') stocks.push(...outcome.stocks)
      if (outcome?.kind !== 'published' || operation.kind !== 'publish') continue
      for (const [position, { topic, message }] of operation.envelopes.entries()) {
        const receipt = outcome.receipts[position]
        if (receipt?.fresh !== true) continue
        envelopes.push({ topic, message, sequence: receipt.sequence, nodeNs: receipt.nodeNs })
      }
    }
    if (envelopes.length === 0 && stocks.length === 0) return
    for (const listener of this.#listeners) listener({ envelopes, stocks })
  }
}

function asStoreFailure(error: unknown): never {
  throw new StoreFailure('the database did not answer', { cause: error })
}
