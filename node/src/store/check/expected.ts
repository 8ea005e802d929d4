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
CREATE TABLE account (
  address TEXT PRIMARY KEY, chain_id TEXT, keyed INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE installation (
  id TEXT PRIMARY KEY, address TEXT NOT NULL, ed25519 BLOB NOT NULL,
  sealing_created_ns INTEGER NOT NULL, node_ns INTEGER NOT NULL,
  vouched INTEGER NOT NULL DEFAULT 0
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
  readonly #vouch: Statement
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
    this.#putAccount = sql(
      `INSERT INTO account VALUES (?, ?, ?) ON CONFLICT (address) DO UPDATE SET
         chain_id = coalesce(chain_id, excluded.chain_id), keyed = max(keyed, excluded.keyed)`,
    )
    this.#account = sql('SELECT chain_id FROM account WHERE address = ?')
    this.#putInstallation = sql(
      `INSERT INTO installation (id, address, ed25519, sealing_created_ns, node_ns)
       VALUES (?, ?, ?, ?, ?)
       ON CONFLICT (id) DO UPDATE SET address = excluded.address, ed25519 = excluded.ed25519,
         sealing_created_ns = excluded.sealing_created_ns, node_ns = excluded.node_ns`,
    )
    this.#vouch = sql('UPDATE installation SET vouched = 1 WHERE id = ? AND vouched = 0')
    this.#installation = sql('SELECT * FROM installation WHERE id = ?')
    this.#putRevocation = sql('INSERT OR IGNORE INTO revocation VALUES (?, ?)')
    this.#revocation = sql('SELECT 1 FROM revocation WHERE address = ? AND installation = ?')
    this.#putBundle = sql('INSERT OR REPLACE INTO bundle VALUES (?, ?, ?)')
    this.#putTopic = sql('INSERT OR IGNORE INTO used_topic VALUES (?, ?)')
  }

  /** False if contracts of another chain sign for the account; `chainId` is null if its key did. */
  addAccount(address: string, chainId: string | null): boolean {
    this.#putAccount.run(address, chainId, chainId === null ? 1 : 0)
    return chainId === null || this.#account.get(address)?.chain_id === chainId
  }

  /** False if it had a vouch before, or is not known. */
  addVouch(installation: string): boolean {
    return this.#vouch.run(installation) > 0
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
