/**
 * How a database stores records and their names: later releases must still be able to read them.
 */

import { createHmac, hkdfSync } from 'node:crypto'
import { expect, test } from 'vitest'
import { encodeBase64Url, encodeSigningBytes } from '../../src/protocol/bytes.ts'
import { RecordVault } from '../../src/store/record-vault.ts'
import type { SealedRecord } from '../../src/store/schema.ts'
import type { AnyTable } from '../../src/store/store.ts'
import { put, remove, tables } from '../../src/store/tables.ts'
import { loadTestCrypto } from '../support/engine.ts'
import { aMessage } from './support.ts'

const crypto = await loadTestCrypto()
const vaultKey = new Uint8Array(32).fill(7)

/** docs/architecture.md, storage: HMAC under a key derived from the vault's, its first 128 bits. */
const nameOf = (text: string): string => {
  const key = new Uint8Array(hkdfSync('sha256', vaultKey, new Uint8Array(), 'padlock/names/1', 32))
  return encodeBase64Url(createHmac('sha256', key).update(text).digest().subarray(0, 16))
}

const opened = (table: AnyTable, key: string | number, record: SealedRecord | undefined) => {
  if (!record) throw new Error('no record')
  const { s: sealed, g = '', o = new Uint8Array(), a = 0 } = record
  const place = ['padlock/vault/1', table.store, String(key), 2n]
  const associatedData = encodeSigningBytes([...place, g, o, BigInt(a)])
  return crypto.vaultOpen(vaultKey, [{ sealed, associatedData }])[0]
}

test('a record is sealed with its table, its key as it lies there, its version, and what lists it', () => {
  const vault = new RecordVault(crypto, vaultKey)
  const writes = [
    put(tables.identity, 'identity', { address: 'a' }),
    put(tables.outbox, 7, { messageId: 'm' }),
    put(tables.cursors, 'node topic', { topic: 'topic' }),
  ]
  const listed = put(tables.messages, 'id', aMessage('id', 'one', 5n), 9)
  const [message] = vault.seal([listed])
  if (listed.kind === 'delete' || !message) throw new Error('a put')
  expect(opened(tables.messages, message.key, message.record)).toEqual(listed.record.bytes)
  const sealed = vault.seal(writes)
  expect(sealed.map(({ key }) => key)).toEqual(['identity', 7, nameOf('cursors key node topic')])
  for (const [at, { write, key, record }] of sealed.entries()) {
    const original = writes[at]
    if (original?.kind === 'delete' || !original) throw new Error('a put')
    expect(opened(write.table, key, record)).toEqual(original.record.bytes)
    // Nothing else lies beside what is neither listed nor numbered.
    expect(Object.keys(record ?? {})).toEqual(['s'])
  }
})

test('a record that is listed has its group’s keyed hash, its order and its number beside it', () => {
  const vault = new RecordVault(crypto, vaultKey)
  const [sealed] = vault.seal([put(tables.messages, 'id', aMessage('id', 'one', 5n), 9)])
  expect(sealed?.key).toBe(nameOf('messages key id'))
  expect(Object.keys(sealed?.record ?? {}).sort()).toEqual(['a', 'g', 'o', 's'])
  expect(sealed?.record).toMatchObject({ g: nameOf('messages group one'), a: 9 })
  expect(vault.group(tables.messages, 'one')).toBe(nameOf('messages group one'))
  expect(vault.key(tables.messages, 'id')).toBe(nameOf('messages key id'))
})

test('what is removed has a key and no record, and the others keep theirs', () => {
  const vault = new RecordVault(crypto, vaultKey)
  const rows = vault.seal([
    remove(tables.cursors, 'a'),
    put(tables.cursors, 'b', { topic: 'b' }),
    remove(tables.outbox, 3),
  ])
  expect(rows.map(({ key }) => key)).toEqual([nameOf('cursors key a'), nameOf('cursors key b'), 3])
  expect(rows.map(({ record }) => record !== undefined)).toEqual([false, true, false])
  // Known names are the same ones.
  expect(vault.seal([remove(tables.cursors, 'b')])[0]?.key).toBe(nameOf('cursors key b'))
})
