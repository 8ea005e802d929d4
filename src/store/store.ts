/**
 * The encrypted local database, as the engine sees it. Its core is `transaction`: read what a step
 * needs, run the step, write what it returns, all in one fenced transaction. The adapter beside
 * this file is `idb.ts`.
 *
 * Callers pass keys in clear, but the adapter never stores them so: it keeps a keyed hash of every
 * key that would name an address, installation, topic or conversation.
 */

/** A name or number that is stored as it is, or a text that is stored as its keyed hash. */
export type Key = string | number

/** The object stores of the database. */
export const storeNames = [
  'account',
  'installations',
  'sessions',
  'conversations',
  'messages',
  'outbox',
  'cursors',
  'seen',
  'parked',
  'setAside',
  'sent',
  'recovery',
  'owed',
  'revocations',
  'unverified',
  'news',
  'accounts',
] as const

export type StoreName = (typeof storeNames)[number]

/** How primary keys are kept: a fixed name, a running number, or a keyed hash of a text. */
export type KeyKind = 'name' | 'number' | 'hash'

export interface AnyTable {
  /** The object store's name; several tables may share one under different key names. */
  readonly store: StoreName
  readonly keyKind: KeyKind
  /**
   * Whether a record that does not open may count as lost: what it was about is asked for again, or
   * was one message. Of any other table it is the end of the database.
   */
  readonly mayLose: boolean
}

/** What a kind of record is and where it lies; `tables.ts` has all of them. */
export interface Table<Value> extends AnyTable {
  decode(bytes: Uint8Array): Value
}

export interface WritableTable<Value, Init> extends Table<Value> {
  encode(value: Init, number: number | undefined): StoredRecord
}

/** The fields of a record, without what protobuf adds to a message that it decoded. */
export type Fields<Value> = Omit<Value, '$typeName' | '$unknown'>

export interface Row<Value> {
  readonly value: Value
  /** The record's running number; 0 in tables that have none. */
  readonly number: number
}

export interface Read {
  readonly table: AnyTable
  readonly key: Key
}

export type Write =
  | {
      readonly kind: 'put' | 'add'
      readonly table: AnyTable
      readonly key: Key
      readonly record: StoredRecord
    }
  | { readonly kind: 'delete'; readonly table: AnyTable; readonly key: Key }

/** A record to be written, encoded but not yet encrypted. */
export interface StoredRecord {
  readonly bytes: Uint8Array
  /** The group it is listed under, in clear. */
  readonly group: string | undefined
  /** Its place within its group. */
  readonly order: Uint8Array<ArrayBuffer> | undefined
  readonly number: number | undefined
}

export interface Step<Result> {
  readonly writes: readonly Write[]
  readonly result: Result
}

/** Not a promise: awaiting inside a transaction would commit it. */
export type NotPromise<T> = T extends PromiseLike<unknown> ? never : T

/** The result of a read of `transaction`. */
export interface Rows {
  get<Value>(table: Table<Value>, key: Key): Row<Value> | undefined
  /** Whether an `add` of this key in an earlier run of the step found a record there already. */
  exists(table: AnyTable, key: Key): boolean
}

export interface ListOptions {
  /** Only records of this group, or of these. */
  readonly group: string | readonly string[]
  /** Only before this place in the group's order, exclusive. */
  readonly before?: Uint8Array<ArrayBuffer>
  /** Only at exactly this place. */
  readonly at?: Uint8Array<ArrayBuffer>
  /** Only those that come after this record in the order of the list. */
  readonly past?: { readonly place?: Uint8Array<ArrayBuffer>; readonly key: Key }
  readonly limit: number
  readonly newestFirst?: boolean
}

export interface ScanOptions {
  /** Only records with a greater number. */
  readonly after: number
  readonly limit: number
  /** Only records of this group; others still count towards `lastNumber`, not towards the limit. */
  readonly group?: string
}

/** Why a store is lost for good: nothing works with it any more. */
export type StoreLoss = 'storage_lost' | 'leadership_lost'

export interface Store {
  get<Value>(table: Table<Value>, key: Key): Promise<Row<Value> | undefined>
  /**
   * The records of a group, or of several, in their order. Only an empty page is the end: one may be
   * short, as a read decrypts a bounded number of bytes. Continue from its last record with `past`.
   */
  list<Value>(table: Table<Value>, options: ListOptions): Promise<readonly Row<Value>[]>
  /**
   * All records of a table that has no numbers, or of one group of it, by key, in pages that one
   * read decrypts.
   */
  pages<Value>(table: Table<Value>, group?: string): AsyncGenerator<readonly Row<Value>[]>
  /** All records of a small table that has no numbers. */
  all<Value>(table: Table<Value>): Promise<readonly Row<Value>[]>
  /**
   * Records by running number, oldest first. Continue from `lastNumber`: the end is reached when it
   * is no greater than `after`. A page may be short or empty before that.
   */
  scan<Value>(
    table: Table<Value>,
    options: ScanOptions,
  ): Promise<{ readonly rows: readonly Row<Value>[]; readonly lastNumber: number }>
  /** The next running number of a table. Numbers ascend, some are left out, none comes twice. */
  nextNumber(table: AnyTable): number
  /**
   * One transaction: reads, runs the step, writes. The step is synchronous and pure, as it may run
   * again: when an `add` finds its key taken, nothing is written and the step runs once more with
   * `rows.exists` true for it.
   *
   * @param durability `strict`: on disk when it resolves, not only handed to the operating system.
   * For writes that a power loss must not undo once others have seen their consequences.
   * @param writesTo the object stores that a step with reads writes to; if absent, it may be any, and
   * nothing else is read meanwhile
   * @throws PadlockError leadership_lost, storage_full, storage_failed, storage_damaged
   */
  transaction<Result>(
    reads: readonly Read[],
    step: (rows: Rows) => Step<NotPromise<Result>>,
    durability?: 'relaxed' | 'strict',
    writesTo?: readonly StoreName[],
  ): Promise<Result>
  /** Resolves when the browser has let go of the database. */
  close(): Promise<void>
}
