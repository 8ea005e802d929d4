/**
 * The embedded store itself: one SQLite file, every call synchronous. It runs on the thread that
 * opened it; `sqlite.ts` makes a `Store` of it, on this thread or on one of its own.
 *
 * WAL with synchronous=FULL: a commit that was answered is on disk. The file is locked for this
 * process, because live streams are fed by the process that commits.
 */
import { hash, randomBytes } from 'node:crypto'
import { DatabaseSync } from 'node:sqlite'
import { nodeIdBytes } from '../../../src/protocol/limits.ts'
import type { NodeCode } from '../../../src/protocol/node-codes.ts'
import { dayNs } from '../clock.ts'
import { acceptEnvelope } from '../rules/accept.ts'
import type { Effect } from '../rules/verdict.ts'
import { SqliteAccounts } from './sqlite-accounts.ts'
import { SqlitePages } from './sqlite-pages.ts'
import { SqlitePrekeys } from './sqlite-prekeys.ts'
import { bytesOf, integerOf, prepare, type Row, type Statement } from './sqlite-rows.ts'
import { schemaSteps } from './sqlite-schema.ts'
import type { Claim, Cursor, NewEnvelope, Page, PageLimit, Receipt, Stock } from './store.ts'

/** Something to be done in a transaction, alone or with others. */
export type Operation =
  | { readonly kind: 'publish'; readonly envelopes: readonly NewEnvelope[] }
  | {
      readonly kind: 'claim'
      readonly claimId: Uint8Array
      readonly installationIds: readonly string[]
    }

/** What became of it. */
export type Outcome =
  | { readonly kind: 'published'; readonly receipts: readonly Receipt[] }
  | { readonly kind: 'refused'; readonly code: NodeCode; readonly envelopeIndex: number }
  | {
      readonly kind: 'claimed'
      readonly claims: readonly Claim[]
      readonly stocks: readonly Stock[]
    }
  /** Storage failed; nothing of it is stored. */
  | { readonly kind: 'failed'; readonly reason: string }

export interface SqliteOptions {
  /** A path, or ':memory:'. */
  readonly file: string
  /** Chains whose contract signatures count as checkable; none in this release. */
  readonly chainIds?: readonly bigint[]
}

/** How long the digest of a prekey upload is known (docs/protocol.md section 5). */
const uploadMemoryNs = 90n * dayNs

// No topic is longer, so a longer name cannot be stored and is not looked for.
const topicNameLimit = 64

export class SqliteDatabase {
  /** 16 random bytes, made with the file. */
  readonly nodeId: Uint8Array
  readonly #database: DatabaseSync
  readonly #chainIds: readonly bigint[]
  readonly #prekeys: SqlitePrekeys
  readonly #accounts: SqliteAccounts
  readonly #pages: SqlitePages
  readonly #topic: Statement
  readonly #known: Statement
  readonly #insertTopic: Statement
  readonly #insertEnvelope: Statement
  readonly #forgetUploads: Statement

  /** @throws Error if the file cannot be opened, is in use, or was made by a newer release. */
  constructor(options: SqliteOptions) {
    this.#chainIds = options.chainIds ?? []
    const database = new DatabaseSync(options.file)
    this.#database = database
    try {
      // Before the first access, so that WAL needs no shared memory and a second process is refused.
      database.exec('PRAGMA locking_mode = EXCLUSIVE')
      database.exec('PRAGMA journal_mode = WAL')
      database.exec('PRAGMA synchronous = FULL')
      database.exec('PRAGMA cache_size = -65536')
      migrate(database)
      this.nodeId = readNodeId(database)
    } catch (error) {
      database.close()
      throw error
    }
    const sql = (text: string): Statement => prepare(database, text)
    this.#topic = sql('SELECT id, sequence, node_ns FROM topic WHERE name = ?')
    this.#known = sql(
      `SELECT envelope.sequence, envelope.node_ns FROM topic
       JOIN envelope ON envelope.topic = topic.id WHERE topic.name = ? AND envelope.digest = ?`,
    )
    this.#insertTopic = sql(
      `INSERT INTO topic (name, sequence, node_ns) VALUES (?, 1, ?)
       ON CONFLICT (name) DO UPDATE SET sequence = sequence + 1, node_ns = excluded.node_ns
       RETURNING id, sequence`,
    )
    this.#insertEnvelope = sql(
      `INSERT INTO envelope (topic, sequence, node_ns, size, digest, message)
       VALUES (?, ?, ?, ?, ?, ?)`,
    )
    this.#forgetUploads = sql('DELETE FROM envelope WHERE message IS NULL AND node_ns <= ?')
    this.#prekeys = new SqlitePrekeys(database)
    this.#accounts = new SqliteAccounts(database, this.#prekeys)
    this.#pages = new SqlitePages(database)
  }

  /**
   * Does all of it in one transaction, so that one write to disk serves many requests. Each is atomic
   * for itself. Outcomes come in the same order, after everything is on disk.
   */
  run(operations: readonly Operation[], nowNs: bigint): readonly Outcome[] {
    try {
      return this.#transaction(() => operations.map((operation) => this.#apply(operation, nowNs)))
    } catch (error) {
      // One request that storage cannot take must not fail those that happened to come with it.
      if (operations.length > 1) {
        return operations.flatMap((operation) => this.run([operation], nowNs))
      }
      return [{ kind: 'failed', reason: error instanceof Error ? error.message : 'unknown' }]
    }
  }

  page(cursors: readonly Cursor[], limit: PageLimit): Page {
    return this.#pages.page(cursors, limit)
  }

  stock(installationId: string, nowNs: bigint): Stock {
    return this.#prekeys.stock(installationId, nowNs)
  }

  /** Forgets what is too old to matter: claims, unused one-time keys, digests of uploads. */
  sweep(nowNs: bigint): void {
    this.#transaction(() => {
      this.#prekeys.sweep(nowNs)
      this.#forgetUploads.run(nowNs - uploadMemoryNs)
    })
  }

  close(): void {
    this.#database.close()
  }

  #apply(operation: Operation, nowNs: bigint): Outcome {
    return operation.kind === 'publish'
      ? this.#publish(operation.envelopes, nowNs)
      : this.#claim(operation.claimId, operation.installationIds, nowNs)
  }

  #publish(envelopes: readonly NewEnvelope[], nowNs: bigint): Outcome {
    const digested = envelopes.map((envelope) => ({
      ...envelope,
      digest: hash('sha256', envelope.message, 'buffer'),
    }))
    // Section 5: one node_ns for everything that the request stores, above all that its topics had.
    let nodeNs = nowNs
    for (const { topic, digest } of digested) {
      if (this.#receipt(topic, digest) !== undefined) continue
      const row = topic.length > topicNameLimit ? undefined : this.#topic.get(topic)
      const latestNs = row === undefined ? 0n : integerOf(row, 'node_ns')
      if (nodeNs <= latestNs) nodeNs = latestNs + 1n
    }
    const receipts: Receipt[] = []
    this.#database.exec('SAVEPOINT request')
    for (const { topic, message, digest } of digested) {
      // Section 5: known bytes are answered before any other rule, and may be in this very request.
      const known = this.#receipt(topic, digest)
      if (known !== undefined) {
        receipts.push(known)
        continue
      }
      const verdict = acceptEnvelope(topic, message, this.#accounts, {
        nowNs,
        chainIds: this.#chainIds,
      })
      if (!verdict.ok) {
        this.#database.exec('ROLLBACK TO request')
        this.#database.exec('RELEASE request')
        return { kind: 'refused', code: verdict.code, envelopeIndex: receipts.length }
      }
      const sequence = this.#append(topic, message, digest, nodeNs, verdict.effect)
      receipts.push({ sequence, nodeNs, fresh: true })
    }
    this.#database.exec('RELEASE request')
    return { kind: 'published', receipts }
  }

  #receipt(topic: string, digest: Uint8Array): Receipt | undefined {
    const row = topic.length > topicNameLimit ? undefined : this.#known.get(topic, digest)
    if (row === undefined) return undefined
    return {
      sequence: integerOf(row, 'sequence'),
      nodeNs: integerOf(row, 'node_ns'),
      fresh: false,
    }
  }

  #append(
    topic: string,
    message: Uint8Array,
    digest: Uint8Array,
    nodeNs: bigint,
    effect: Effect,
  ): bigint {
    const row = required(this.#insertTopic.get(topic, nodeNs))
    const sequence = integerOf(row, 'sequence')
    const kept = effect.kind === 'upload' ? null : message
    this.#insertEnvelope.run(integerOf(row, 'id'), sequence, nodeNs, message.length, digest, kept)
    if (effect.kind === 'grant') this.#accounts.grant(effect, sequence, nodeNs)
    else if (effect.kind === 'revoke') this.#accounts.revoke(effect)
    else if (effect.kind === 'upload') this.#prekeys.add(effect, nodeNs)
    return sequence
  }

  #claim(claimId: Uint8Array, installationIds: readonly string[], nowNs: bigint): Outcome {
    const claims: Claim[] = []
    const shrunk = new Set<string>()
    for (const installationId of installationIds) {
      const { claim, took } = this.#prekeys.claim(claimId, installationId, nowNs)
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

function required(row: Row | undefined): Row {
  if (row === undefined) throw new TypeError('a statement that returns a row returned none')
  return row
}
