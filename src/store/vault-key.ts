/**
 * The vault's key: 32 random bytes, stored only wrapped, by a non-extractable WebCrypto key beside
 * it. That protects against partial copies of the database and against other code, not against a
 * thief of the whole browser profile (docs/security.md).
 */

import { PadlockError } from '../errors.ts'
import type { Database } from './schema.ts'
import { nameOf, storageError } from './schema.ts'

interface WrappedKey {
  readonly wrapping: CryptoKey
  readonly nonce: Uint8Array<ArrayBuffer>
  readonly wrapped: ArrayBuffer
}

const isWrappedKey = (value: unknown): value is WrappedKey =>
  typeof value === 'object' &&
  value !== null &&
  'wrapping' in value &&
  'nonce' in value &&
  'wrapped' in value

/**
 * The vault key of this database, created on the first call.
 *
 * @throws PadlockError storage_damaged when the key no longer unwraps, storage_failed, storage_full
 */
export const openVaultKey = async (database: Database): Promise<Uint8Array> => {
  try {
    const stored = await database.get('meta', 'vault')
    if (stored !== undefined) return unwrap(stored)
    const { vaultKey, wrapped } = await makeVaultKey()
    const before = await keepFirst(database, wrapped)
    return before === undefined ? vaultKey : unwrap(before)
  } catch (error) {
    throw storageError(error)
  }
}

const unwrap = async (stored: unknown): Promise<Uint8Array> => {
  if (!isWrappedKey(stored)) throw new PadlockError('storage_damaged')
  const { nonce, wrapping, wrapped } = stored
  try {
    return new Uint8Array(
      await crypto.subtle.decrypt({ name: 'AES-GCM', iv: nonce }, wrapping, wrapped),
    )
  } catch (cause) {
    throw new PadlockError('storage_damaged', { cause })
  }
}

const makeVaultKey = async () => {
  const vaultKey = crypto.getRandomValues(new Uint8Array(32))
  const wrapping = await crypto.subtle.generateKey({ name: 'AES-GCM', length: 256 }, false, [
    'encrypt',
    'decrypt',
  ])
  // The wrapping key encrypts only once, so a random 96-bit nonce cannot repeat (NIST SP 800-38D
  // 8.3).
  const nonce = crypto.getRandomValues(new Uint8Array(12))
  const wrapped = await crypto.subtle.encrypt({ name: 'AES-GCM', iv: nonce }, wrapping, vaultKey)
  return { vaultKey, wrapped: { wrapping, nonce, wrapped } satisfies WrappedKey }
}

/**
 * Stores the key unless another opener was faster: two keys would make the other's records
 * unreadable. @returns what was there before
 */
const keepFirst = async (database: Database, wrapped: WrappedKey): Promise<unknown> => {
  const transaction = database.transaction('meta', 'readwrite')
  // A failed transaction rejects this too; the first error is the one that is reported.
  transaction.done.catch(() => undefined)
  const before = await transaction.store.get('vault')
  try {
    if (before === undefined) await transaction.store.put(wrapped, 'vault')
    await transaction.done
  } catch (cause) {
    if (nameOf(cause) !== 'DataCloneError') throw cause
    throw new PadlockError('storage_unavailable', {
      message: 'The browser stores no CryptoKey here, as in some private windows.',
      cause,
    })
  }
  return before
}
