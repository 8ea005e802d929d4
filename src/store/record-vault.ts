/**
 * How records and keys are protected in the database: every record is sealed with its table, key
 * and version as associated data, so records cannot be swapped; every key that would reveal
 * something is an HMAC.
 */

import type { Crypto } from '../crypto/crypto.ts'
import { PadlockError } from '../errors.ts'
import { encodeBase64Url, encodeSigningBytes } from '../protocol/bytes.ts'
import type { SealedRecord } from './schema.ts'
import type { AnyTable, Key, Row, Table, Write } from './store.ts'

const recordVersion = 1n
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

const associatedData = (table: AnyTable, key: PhysicalKey): Uint8Array =>
  encodeSigningBytes(['padlock/vault/1', table.store, String(key), recordVersion])

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

  constructor(crypto: Crypto, vaultKey: Uint8Array) {
    this.#crypto = crypto
    this.#vaultKey = vaultKey
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
    const plain = keyed.flatMap(({ write, key }) =>
      write.kind === 'delete'
        ? []
        : [{ plaintext: write.record.bytes, associatedData: associatedData(write.table, key) }],
    )
    const sealed = this.#crypto.vaultSeal(this.#vaultKey, plain)[Symbol.iterator]()
    return keyed.map(({ write, key }) => {
      if (write.kind === 'delete') return { write, key, record: undefined }
      const { group, order, number } = write.record
      const bytes = sealed.next()
      if (bytes.done) throw new PadlockError('internal')
      const record: SealedRecord = {
        s: bytes.value,
        ...(group === undefined ? {} : { g: this.#hash(write.table, 'group', group) }),
        ...(order === undefined ? {} : { o: order }),
        ...(number === undefined ? {} : { a: number }),
      }
      return { write, key, record }
    })
  }

  /** @throws PadlockError storage_damaged if a record is not authentic or does not decode */
  open<Value>(table: Table<Value>, found: readonly Found[]): Row<Value>[] {
    // Other code that writes to the database may leave anything there.
    if (found.some(({ record }) => !(record.s instanceof Uint8Array))) {
      throw new PadlockError('storage_damaged', { details: { table: table.store } })
    }
    const opened = this.#crypto.vaultOpen(
      this.#vaultKey,
      found.map(({ key, record }) => ({
        sealed: record.s,
        associatedData: associatedData(table, key),
      })),
    )
    return found.map(({ key, record, number }, at) => {
      const bytes = opened[at]
      if (!bytes) throw new PadlockError('storage_damaged', { details: { table: table.store } })
      try {
        const fallback = typeof key === 'number' ? key : 0
        return { value: table.decode(bytes), number: record.a ?? number ?? fallback }
      } catch (cause) {
        throw new PadlockError('storage_damaged', { details: { table: table.store }, cause })
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
