/**
 * What the tables must hold according to the topics. It is gathered in a temporary database that
 * SQLite moves to disk once it grows, so a check needs little memory however much is stored.
 */
import { DatabaseSync } from 'node:sqlite'
import { type Row, textOf } from '../rows.ts'
import { prepare, type Statement } from '../sqlite/statement.ts'

const schema = `
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
CREATE TABLE account (address TEXT PRIMARY KEY, chain_id TEXT) STRICT, WITHOUT ROWID;
CREATE TABLE installation (
  id TEXT PRIMARY KEY, address TEXT NOT NULL, ed25519 BLOB NOT NULL,
  sealing_created_ns INTEGER NOT NULL, node_ns INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE revocation (
  address TEXT NOT NULL, installation TEXT NOT NULL, PRIMARY KEY (address, installation)
) STRICT, WITHOUT ROWID;
CREATE TABLE bundle (
  installation TEXT NOT NULL, sequence INTEGER NOT NULL, node_ns INTEGER NOT NULL,
  PRIMARY KEY (installation, sequence)
) STRICT, WITHOUT ROWID;
CREATE TABLE used_topic (name TEXT PRIMARY KEY, installation TEXT NOT NULL) STRICT, WITHOUT ROWID;
`

export interface ExpectedInstallation {
  readonly id: string
  readonly address: string
  readonly ed25519: Uint8Array
  readonly sealingCreatedNs: bigint
  readonly nodeNs: bigint
}

export class Expected {
  readonly #database = new DatabaseSync('')
  readonly #putAccount: Statement
  readonly #account: Statement
  readonly #putInstallation: Statement
  readonly #installation: Statement
  readonly #putRevocation: Statement
  readonly #revocation: Statement
  readonly #putBundle: Statement
  readonly #putTopic: Statement
  #newestUpload: Statement | undefined

  constructor() {
    this.#database.exec(schema)
    // Never committed: the database is thrown away.
    this.#database.exec('BEGIN')
    const sql = (text: string): Statement => prepare(this.#database, text)
    this.#putAccount = sql('INSERT OR IGNORE INTO account VALUES (?, ?)')
    this.#account = sql('SELECT chain_id FROM account WHERE address = ?')
    this.#putInstallation = sql('INSERT OR REPLACE INTO installation VALUES (?, ?, ?, ?, ?)')
    this.#installation = sql('SELECT * FROM installation WHERE id = ?')
    this.#putRevocation = sql('INSERT OR IGNORE INTO revocation VALUES (?, ?)')
    this.#revocation = sql('SELECT 1 FROM revocation WHERE address = ? AND installation = ?')
    this.#putBundle = sql('INSERT OR REPLACE INTO bundle VALUES (?, ?, ?)')
    this.#putTopic = sql('INSERT OR IGNORE INTO used_topic VALUES (?, ?)')
  }

  /** False if the account already has another kind of signature; `chainId` is null for plain ones. */
  addAccount(address: string, chainId: string | null): boolean {
    this.#putAccount.run(address, chainId)
    return this.#account.get(address)?.chain_id === chainId
  }

  installation(id: string): Row | undefined {
    return this.#installation.get(id)
  }

  addInstallation(one: ExpectedInstallation, sequence: bigint): void {
    this.#putInstallation.run(one.id, one.address, one.ed25519, one.sealingCreatedNs, one.nodeNs)
    this.#putBundle.run(one.id, sequence, one.nodeNs)
  }

  /** False if it was revoked before. */
  addRevocation(address: string, installation: string): boolean {
    return this.#putRevocation.run(address, installation) > 0
  }

  /** Whether an installation that a contact topic names is revoked there. */
  isRevoked(installation: Row): boolean {
    const values = [textOf(installation, 'address'), textOf(installation, 'id')] as const
    return this.#revocation.get(...values) !== undefined
  }

  /** The time of the newest upload in the table of installations, which must be loaded first. */
  newestUpload(id: string): bigint | undefined {
    this.#newestUpload ??= prepare(
      this.#database,
      'SELECT newest_upload_ns FROM stored_installation WHERE id = ?',
    )
    const value = this.#newestUpload.get(id)?.newest_upload_ns
    return typeof value === 'bigint' ? value : undefined
  }

  /** A prekey or message topic that holds or held something. */
  addTopic(name: string, installation: string): void {
    this.#putTopic.run(name, installation)
  }

  /** Runs a statement on the gathered tables and on those that `load` added. */
  *select(text: string): Iterable<Row> {
    const statement = this.#database.prepare(text)
    statement.setReadBigInts(true)
    yield* statement.iterate()
  }

  /** Creates a table of stored rows to compare with. @returns the statement that adds a row. */
  load(table: string, columns: readonly string[]): Statement {
    this.#database.exec(`CREATE TABLE ${table} (${columns.join(', ')})`)
    const places = columns.map(() => '?').join(', ')
    return prepare(this.#database, `INSERT INTO ${table} VALUES (${places})`)
  }

  /** Lets the comparisons join tables instead of searching them. */
  index(table: string, columns: string): void {
    this.#database.exec(`CREATE INDEX ${table}_index ON ${table} (${columns})`)
  }

  close(): void {
    this.#database.close()
  }
}
