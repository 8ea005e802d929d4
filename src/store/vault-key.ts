/**
 * The vault's key: 32 random bytes, stored only as wrapped by a non-extractable WebCrypto key that
 * lies beside it. That protects against partial copies of the database and against other code, not
 * against a thief of the whole browser profile (docs/security.md).
 */

import { PadlockError } from '../errors.ts'
import type { Database } from './schema.ts'
import { storageError } from './schema.ts'

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
 * The vault key of this database, made at the first call.
 *
 * @throws PadlockError storage_damaged when the key no longer unwraps, storage_failed
 */
export const openVaultKey = async (database: Database): Promise<Uint8Array> => {
  const stored = await database.get('meta', 'vault').catch((error: unknown) => {
    throw storageError(error)
  })
  if (isWrappedKey(stored)) {
    try {
      return new Uint8Array(
        await crypto.subtle.decrypt(
          { name: 'AES-GCM', iv: stored.nonce },
          stored.wrapping,
          stored.wrapped,
        ),
      )
    } catch (cause) {
      throw new PadlockError('storage_damaged', { cause })
    }
  }
  if (stored !== undefined) throw new PadlockError('storage_damaged')

  const vaultKey = crypto.getRandomValues(new Uint8Array(32))
  const wrapping = await crypto.subtle.generateKey({ name: 'AES-GCM', length: 256 }, false, [
    'encrypt',
    'decrypt',
  ])
  // The wrapping key encrypts once in its life, so a random 96-bit nonce cannot repeat (NIST SP 800-38D 8.3).
  const nonce = crypto.getRandomValues(new Uint8Array(12))
  const wrapped = await crypto.subtle.encrypt({ name: 'AES-GCM', iv: nonce }, wrapping, vaultKey)
  try {
    await database.put('meta', { wrapping, nonce, wrapped } satisfies WrappedKey, 'vault')
  } catch (error) {
    throw storageError(error)
  }
  return vaultKey
}
