/** The state of a SQLite transaction as publishing sees it: topics and envelopes, and the accounts. */
import type { DatabaseSync } from 'node:sqlite'
import type { AcceptedEnvelope, Ledger } from '../publishing.ts'
import type { Receipt } from '../store.ts'
import { SqliteAccounts } from './accounts.ts'
import type { SqlitePrekeys } from './prekeys.ts'
import { integerOf, prepare, required, type Statement } from './rows.ts'

// No topic is longer, so a longer name cannot be stored and is not looked for.
const topicNameLimit = 64

export class SqliteLedger extends SqliteAccounts implements Ledger {
  readonly #database: DatabaseSync
  readonly #prekeys: SqlitePrekeys
  readonly #latest: Statement
  readonly #known: Statement
  readonly #insertTopic: Statement
  readonly #insertEnvelope: Statement

  constructor(database: DatabaseSync, prekeys: SqlitePrekeys) {
    super(database, prekeys)
    this.#database = database
    this.#prekeys = prekeys
    const sql = (text: string): Statement => prepare(database, text)
    this.#latest = sql('SELECT node_ns FROM topic WHERE name = ?')
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
  }

  receipt(topic: string, digest: Uint8Array): Receipt | undefined {
    const row = topic.length > topicNameLimit ? undefined : this.#known.get(topic, digest)
    if (row === undefined) return undefined
    return { sequence: integerOf(row, 'sequence'), nodeNs: integerOf(row, 'node_ns'), fresh: false }
  }

  latestNs(topic: string): bigint {
    const row = topic.length > topicNameLimit ? undefined : this.#latest.get(topic)
    return row === undefined ? 0n : integerOf(row, 'node_ns')
  }

  append({ topic, message, digest, nodeNs, effect }: AcceptedEnvelope): bigint {
    const row = required(this.#insertTopic.get(topic, nodeNs))
    const sequence = integerOf(row, 'sequence')
    const kept = effect.kind === 'upload' ? null : message
    this.#insertEnvelope.run(integerOf(row, 'id'), sequence, nodeNs, message.length, digest, kept)
    if (effect.kind === 'grant') this.grant(effect, sequence, nodeNs)
    else if (effect.kind === 'revoke') this.revoke(effect)
    else if (effect.kind === 'upload') this.#prekeys.add(effect, nodeNs)
    return sequence
  }

  attempt(step: () => boolean): void {
    this.#database.exec('SAVEPOINT request')
    if (!step()) this.#database.exec('ROLLBACK TO request')
    this.#database.exec('RELEASE request')
  }
}
