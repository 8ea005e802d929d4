/** Deletes what this browser stores of an account, without opening a client. */

import { errorMessages } from '../error-messages.ts'
import { PadlockError, setErrorMessages } from '../errors.ts'
import { defaultDatabase, deleteDatabase, lockOf } from '../worker/local-database.ts'
import { forgetDevice } from './known-device.ts'
import { requirePlatform } from './platform.ts'

/**
 * Deletes a database with everything in it: keys, messages, all. For one that no longer opens, as
 * after `storage_damaged`, whose `details.database` is its name. The device stays in the account
 * until it is revoked; what other devices have stays there.
 *
 * @param which the account, or the name that was passed to `createClient`
 * @example
 * await deleteLocalData({ address: '0xd8dA6BF26964aF9D7eEd9e03E53415D37aA96045' })
 * @throws PadlockError storage_in_use while a client has it open, storage_blocked, storage_failed,
 * storage_unavailable, invalid_address, invalid_argument, unsupported_platform
 */
export const deleteLocalData = async (
  which: { readonly address: string } | { readonly database: string },
): Promise<void> => {
  setErrorMessages(errorMessages)
  requirePlatform()
  const database = 'database' in which ? which.database : await databaseOf(which.address)
  if (typeof database !== 'string' || database === '') throw new PadlockError('invalid_argument')
  await navigator.locks.request(lockOf(database), { ifAvailable: true }, async (lock) => {
    if (!lock) throw new PadlockError('storage_in_use', { details: { database } })
    await deleteDatabase(database)
    forgetDevice(database)
  })
}

const databaseOf = (address: unknown): Promise<string> => {
  if (typeof address === 'string' && /^0x[0-9a-f]{40}$/i.test(address)) {
    return defaultDatabase(address)
  }
  throw new PadlockError('invalid_address')
}
