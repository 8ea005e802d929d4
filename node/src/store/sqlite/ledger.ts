/**
 * The state of a SQLite transaction as publishing sees it: topics and envelopes, and the accounts.
 */
import type { DatabaseSync } from 'node:sqlite'
import type { AcceptedEnvelope, Ledger } from '../publishing.ts'
import { integerOf, required } from '../rows.ts'
import type { Receipt } from '../store.ts'
import { SqliteAccounts } from './accounts.ts'
import type { SqlitePrekeys } from './prekeys.ts'
import { prepare, type Statement } from './statement.ts'

// No topic name is longer, so longer ones are not looked up.
const topicNameLimit = 64
/** Maximum topics whose numbers stay in memory. */
const maxTopics = 100_000

interface Topic {
  readonly id: bigint
  readonly sequence: bigint
  readonly nodeNs: bigint
}

export class SqliteLedger extends SqliteAccounts implements Ledger {
  readonly #database: DatabaseSync
  readonly #prekeys: SqlitePrekeys
  readonly #topic: Statement
  readonly #known: Statement
  readonly #insertTopic: Statement
  readonly #updateTopic: Statement
  readonly #insertEnvelope: Statement
  #newestNs: bigint
  /** Numbers of topics as the transaction has them. */
  readonly #topics = new Map<string, Topic>()
  /** Their numbers before the current request. */
  readonly #changed = new Map<string, Topic | undefined>()

  constructor(database: DatabaseSync, prekeys: SqlitePrekeys) {
    super(database, prekeys)
    this.#database = database
    this.#prekeys = prekeys
    const sql = (text: string): Statement => prepare(database, text)
    // The newest row is never dropped.
    const newest = sql('SELECT node_ns FROM envelope ORDER BY id DESC LIMIT 1').get()
    this.#newestNs = newest === undefined ? 0n : integerOf(newest, 'node_ns')
    this.#topic = sql('SELECT id, sequence, node_ns FROM topic WHERE name = ?')
    this.#known = sql('SELECT sequence, node_ns FROM envelope WHERE topic = ? AND digest = ?')
    this.#insertTopic = sql(
      'INSERT INTO topic (name, sequence, node_ns) VALUES (?, 1, ?) RETURNING id',
    )
    this.#updateTopic = sql('UPDATE topic SET sequence = ?, node_ns = ? WHERE id = ?')
    this.#insertEnvelope = sql(
      `INSERT INTO envelope (topic, sequence, node_ns, size, digest, message)
       VALUES (?, ?, ?, ?, ?, ?)`,
    )
  }

  receipt(topic: string, digest: Uint8Array): Receipt | undefined {
    const known = this.#find(topic)
    const row = known && this.#known.get(known.id, digest)
    if (row === undefined) return undefined
    return { sequence: integerOf(row, 'sequence'), nodeNs: integerOf(row, 'node_ns'), fresh: false }
  }

  latestNs(topic: string): bigint {
    return this.#find(topic)?.nodeNs ?? 0n
  }

  /** Drops the numbers in memory, which may come from a transaction that was rolled back. */
  forget(): void {
    this.#topics.clear()
  }

  #find(name: string): Topic | undefined {
    if (name.length > topicNameLimit) return undefined
    const known = this.#topics.get(name)
    if (known !== undefined) return known
    const row = this.#topic.get(name)
    if (row === undefined) return undefined
    const topic = {
      id: integerOf(row, 'id'),
      sequence: integerOf(row, 'sequence'),
      nodeNs: integerOf(row, 'node_ns'),
    }
    if (this.#topics.size >= maxTopics) this.#topics.clear()
    this.#topics.set(name, topic)
    return topic
  }

  /** Takes the next sequence of a topic. */
  #advance(name: string, nodeNs: bigint): Topic {
    const known = this.#find(name)
    this.#changed.set(name, this.#changed.has(name) ? this.#changed.get(name) : known)
    const topic =
      known === undefined
        ? {
            id: integerOf(required(this.#insertTopic.get(name, nodeNs)), 'id'),
            sequence: 1n,
            nodeNs,
          }
        : { id: known.id, sequence: known.sequence + 1n, nodeNs }
    if (known !== undefined) this.#updateTopic.run(topic.sequence, nodeNs, topic.id)
    this.#topics.set(name, topic)
    return topic
  }

  /** The newest `node_ns` that was given out; also for a request that is undone, which does no harm. */
  get newestNs(): bigint {
    return this.#newestNs
  }

  append({ topic, message, digest, nodeNs, effect }: AcceptedEnvelope): bigint {
    if (nodeNs > this.#newestNs) this.#newestNs = nodeNs
    const { id, sequence } = this.#advance(topic, nodeNs)
    const kept = effect.kind === 'upload' ? null : message
    this.#insertEnvelope.run(id, sequence, nodeNs, message.length, digest, kept)
    if (effect.kind === 'grant') this.grant(effect, sequence, nodeNs)
    else if (effect.kind === 'revoke') this.revoke(effect)
    else if (effect.kind === 'vouch') this.vouch(effect)
    else if (effect.kind === 'upload') this.#prekeys.add(effect, nodeNs)
    return sequence
  }

  attempt(step: () => boolean): void {
    this.#changed.clear()
    this.#database.exec('SAVEPOINT request')
    if (!step()) {
      this.#database.exec('ROLLBACK TO request')
      for (const [name, before] of this.#changed) {
        if (before === undefined) this.#topics.delete(name)
        else this.#topics.set(name, before)
      }
    }
    this.#database.exec('RELEASE request')
  }
}
