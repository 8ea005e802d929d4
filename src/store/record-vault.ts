/**
 * How records and keys are protected in the database: every record is sealed with its table, key and
 * version, and with its group, order and running number as associated data, so that records can
 * neither be swapped nor moved into another list; every key that would reveal something is an HMAC.
 */

import type { Crypto } from '../crypto/crypto.ts'
import { PadlockError } from '../errors.ts'
import { encodeBase64Url, encodeSigningBytes } from '../protocol/bytes.ts'
import type { SealedRecord } from './schema.ts'
import type { AnyTable, Key, Row, StoreName, Table, Write } from './store.ts'

/** Version 1 did not cover group, order and running number; `migration.ts` seals its records anew. */
export type RecordVersion = 1 | 2
export const recordVersion = 2
/** Bounds the cache of keyed hashes: at most about 1 MiB. */
const maxCachedHashes = 8_192

/** A key as stored in the database. */
export type PhysicalKey = string | number

/** A record as found in the database. */
export interface Found {
  readonly key: PhysicalKey
  readonly record: SealedRecord
  readonly number?: number
}

/** What a record stands under, beside its key: by these the indexes list it. */
type Listing = Omit<SealedRecord, 's'>

const associatedData = (
  store: StoreName,
  key: PhysicalKey,
  { g, o, a }: Listing,
  version: RecordVersion,
): Uint8Array => {
  const place = ['padlock/vault/1', store, String(key), BigInt(version)]
  // None of the three is ever empty or 0, so that absent and present differ.
  const listing = version === 1 ? [] : [g ?? '', o ?? new Uint8Array(), BigInt(a ?? 0)]
  return encodeSigningBytes([...place, ...listing])
}

/** Other code that writes to the database may leave anything there. */
const isWellFormed = ({ s, g, o, a }: SealedRecord): boolean =>
  s instanceof Uint8Array &&
  (g === undefined || typeof g === 'string') &&
  (o === undefined || o instanceof Uint8Array) &&
  (a === undefined || (Number.isSafeInteger(a) && a > 0))

const text = new TextEncoder()

const nameOf = (table: AnyTable, use: string, value: string): string =>
  `${table.store} ${use} ${value}`

const shorten = (hash: Uint8Array | undefined): string => {
  if (!hash) throw new PadlockError('internal')
  return encodeBase64Url(hash.subarray(0, 16))
}

export class RecordVault {
  readonly #crypto: Crypto
  readonly #vaultKey: Uint8Array
  readonly #nameKey: Uint8Array
  readonly #hashes = new Map<string, string>()
  readonly #onLostRecord: (failure: PadlockError) => void

  /** @param onLostRecord called for a record that does not open, where the client does without it */
  constructor(
    crypto: Crypto,
    vaultKey: Uint8Array,
    onLostRecord: (failure: PadlockError) => void = () => undefined,
  ) {
    this.#crypto = crypto
    this.#vaultKey = vaultKey
    this.#onLostRecord = onLostRecord
    this.#nameKey = crypto.deriveKey(vaultKey, 'padlock/names/1')
  }

  /** The name of a group in the indexes of a table. */
  group(table: AnyTable, group: string): string {
    return this.#hash(table, 'group', group)
  }

  /** The place of a key's record. */
  key(table: AnyTable, key: Key): PhysicalKey {
    return table.keyKind === 'hash' ? this.#hash(table, 'key', String(key)) : key
  }

  /** The writes as they go into the database, sealed in one call. */
  seal(writes: readonly Write[]) {
    const keys = this.#keys(writes)
    const keyed = writes.map((write, at) => ({
      write,
      key: keys[at] ?? this.key(write.table, write.key),
    }))
    const listed = keyed.flatMap(({ write, key }) => {
      if (write.kind === 'delete') return []
      const { bytes, group, order, number } = write.record
      const listing: Listing = {
        ...(group === undefined ? {} : { g: this.#hash(write.table, 'group', group) }),
        ...(order === undefined ? {} : { o: order }),
        ...(number === undefined ? {} : { a: number }),
      }
      return [{ store: write.table.store, key, bytes, listing }]
    })
    const sealed = this.sealRecords(listed)[Symbol.iterator]()
    return keyed.map(({ write, key }) => {
      if (write.kind === 'delete') return { write, key, record: undefined }
      const next = sealed.next()
      if (next.done) throw new PadlockError('internal')
      return { write, key, record: next.value }
    })
  }

  /** Seals records whose physical places are known, in one call. */
  sealRecords(
    records: readonly {
      readonly store: StoreName
      readonly key: PhysicalKey
      readonly bytes: Uint8Array
      readonly listing: Listing
    }[],
  ): readonly SealedRecord[] {
    const sealed = this.#crypto.vaultSeal(
      this.#vaultKey,
      records.map(({ store, key, bytes, listing }) => ({
        plaintext: bytes,
        associatedData: associatedData(store, key, listing, recordVersion),
      })),
    )
    return records.map(({ listing }, at) => {
      const s = sealed[at]
      if (!s) throw new PadlockError('internal')
      return { s, ...listing }
    })
  }

  /** The plaintexts of records; undefined for those that are not authentic. */
  openRecords(
    store: StoreName,
    found: readonly Found[],
    version: RecordVersion = recordVersion,
  ): readonly (Uint8Array | undefined)[] {
    const whole = found.filter(({ record }) => isWellFormed(record))
    const opened = this.#crypto.vaultOpen(
      this.#vaultKey,
      whole.map(({ key, record }) => ({
        sealed: record.s,
        associatedData: associatedData(store, key, record, version),
      })),
    )
    const plain = new Map(whole.map((one, at) => [one, opened[at]]))
    return found.map((one) => plain.get(one))
  }

  /**
   * The rows of these records. One that does not open is left out where that may be, and reported.
   *
   * @throws PadlockError storage_damaged if a record of another table is not authentic or does not decode
   */
  open<Value>(table: Table<Value>, found: readonly Found[]): Row<Value>[] {
    const opened = this.openRecords(table.store, found)
    return found.flatMap(({ key, record, number }, at): Row<Value>[] => {
      const bytes = opened[at]
      try {
        if (!bytes) throw new PadlockError('storage_damaged')
        const fallback = typeof key === 'number' ? key : 0
        return [{ value: table.decode(bytes), number: record.a ?? number ?? fallback }]
      } catch (cause) {
        const failure = new PadlockError('storage_damaged', {
          details: { table: table.store },
          cause: bytes && cause,
        })
        if (!table.mayLose) throw failure
        this.#onLostRecord(failure)
        return []
      }
    })
  }

  /** The keys of many writes, hashed in one call; those of new messages are not worth remembering. */
  #keys(writes: readonly Write[]): readonly PhysicalKey[] {
    const names = writes.map(({ table, key }) =>
      table.keyKind === 'hash' ? nameOf(table, 'key', String(key)) : undefined,
    )
    const unknown = names.filter((name) => name !== undefined && !this.#hashes.has(name))
    const hashes = this.#crypto
      .keyedHash(
        this.#nameKey,
        unknown.flatMap((name) => (name === undefined ? [] : [text.encode(name)])),
      )
      [Symbol.iterator]()
    return writes.map(({ key }, at) => {
      const name = names[at]
      if (name === undefined) return key
      const known = this.#hashes.get(name)
      return known ?? shorten(hashes.next().value)
    })
  }

  /** 128 bits of HMAC-SHA-256: enough that no two names in a database collide. */
  #hash(table: AnyTable, use: string, value: string): string {
    const name = nameOf(table, use, value)
    const known = this.#hashes.get(name)
    if (known !== undefined) return known
    const [hash] = this.#crypto.keyedHash(this.#nameKey, [text.encode(name)])
    const short = shorten(hash)
    if (this.#hashes.size >= maxCachedHashes) this.#hashes.clear()
    this.#hashes.set(name, short)
    return short
  }
}
