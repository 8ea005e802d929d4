/**
 * A store with its database on a separate thread, so that neither writing to disk nor checking
 * signatures delays the streams.
 */
import { Worker } from 'node:worker_threads'
import { GroupCommitStore, type StoreOptions } from './group-commit.ts'
import type { DatabaseCalls, News } from './operations.ts'
import type { PostgresOptions } from './postgres/postgres.ts'
import type { SqliteOptions } from './sqlite/database.ts'
import { type ReadAnswers, type ReadArgs, type ReadName, StoreFailure } from './store.ts'

/** Which database to open. */
export type DatabaseSource =
  | ({ readonly kind: 'sqlite' } & SqliteOptions)
  | ({ readonly kind: 'postgres' } & PostgresOptions)

export type Method = 'run' | 'read' | 'sweep' | 'close'
export type MethodArgs = { readonly [M in Method]: Parameters<DatabaseCalls[M]> }

/** A call of the database by message. */
export interface Call<M extends Method = Method> {
  readonly id: number
  readonly method: M
  readonly args: MethodArgs[M]
}

/** An answer to a call. Id 0 means that the database is open; the value is its node id. */
export type Answer =
  | { readonly id: number; readonly ok: true; readonly value: unknown }
  | { readonly id: number; readonly ok: false; readonly reason: string }
  | { readonly id: 'news'; readonly news: News }

export interface ThreadOptions extends StoreOptions {
  readonly source: DatabaseSource
  /** Called if the thread ends before `close`: then the store can neither write nor read. */
  readonly onFailure?: (reason: string) => void
}

/**
 * @throws StoreFailure if the database cannot be opened, is in use, or was made by a newer release.
 */
export async function openThreadStore(options: ThreadOptions): Promise<GroupCommitStore> {
  const thread = new DatabaseThread(options)
  const nodeId = await thread.opened
  if (!(nodeId instanceof Uint8Array)) throw new StoreFailure('the database has no node id')
  const calls: DatabaseCalls = {
    nodeId,
    ...(options.source.kind === 'postgres' && { clock: 'own' as const }),
    run: (...args) => thread.call('run', args),
    read: (...args) => thread.call('read', args),
    sweep: (...args) => thread.call('sweep', args),
    onNews: (listener) => thread.onNews(listener),
    close: () => thread.close(),
  }
  return new GroupCommitStore(calls, options).readClock()
}

interface Pending {
  resolve(value: unknown): void
  reject(error: Error): void
}

class DatabaseThread {
  /** The node id. */
  readonly opened: Promise<unknown>
  readonly #worker: Worker
  readonly #pending = new Map<number, Pending>()
  readonly #ended: Promise<void>
  #newsListener: (news: News) => void = () => {}
  #nextId = 1
  #closing = false

  constructor(options: ThreadOptions) {
    // The worker is beside this file: as source when run from source, as a bundle when bundled.
    const file = import.meta.url.endsWith('.ts') ? './database-worker.ts' : './database-worker.js'
    this.#worker = new Worker(new URL(file, import.meta.url), {
      workerData: options.source,
      // node:sqlite is a release candidate in Node 24 and warns at every start.
      execArgv: ['--disable-warning=ExperimentalWarning'],
    })
    this.opened = new Promise((resolve, reject) => this.#pending.set(0, { resolve, reject }))
    this.#worker.on('message', (answer: Answer) => this.#onAnswer(answer))
    let reason = 'the database thread ended'
    this.#worker.on('error', (error) => {
      reason = `the database thread failed: ${error instanceof Error ? error.message : 'unknown'}`
    })
    this.#ended = new Promise((resolve) => {
      this.#worker.once('exit', () => {
        for (const { reject } of this.#pending.values()) reject(new StoreFailure(reason))
        this.#pending.clear()
        resolve()
        if (!this.#closing) options.onFailure?.(reason)
      })
    })
  }

  onNews(listener: (news: News) => void): void {
    this.#newsListener = listener
  }

  // The other end calls this very method, so the answer has the type of its answer.
  call<N extends ReadName>(
    method: 'read',
    args: readonly [nowNs: bigint, name: N, args: ReadArgs[N]],
  ): Promise<ReadAnswers[N]>
  call<M extends Exclude<Method, 'read'>>(
    method: M,
    args: MethodArgs[M],
  ): ReturnType<DatabaseCalls[M]>
  call(method: Method, args: readonly unknown[]): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const id = this.#nextId
      this.#nextId += 1
      this.#pending.set(id, { resolve, reject })
      this.#worker.postMessage({ id, method, args })
    })
  }

  async close(): Promise<void> {
    this.#closing = true
    await this.call('close', [])
    // The database is closed; the thread has nothing else to finish.
    await this.#worker.terminate()
    await this.#ended
  }

  #onAnswer(answer: Answer): void {
    if (answer.id === 'news') {
      this.#newsListener(answer.news)
      return
    }
    const pending = this.#pending.get(answer.id)
    if (pending === undefined) return
    this.#pending.delete(answer.id)
    if (answer.ok) pending.resolve(answer.value)
    else {
      // The database did not open, so its thread has nothing left to do.
      if (answer.id === 0) this.#closing = true
      pending.reject(new StoreFailure(answer.reason))
    }
  }
}
