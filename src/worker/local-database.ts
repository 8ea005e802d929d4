/** The local databases by name: which one an account has, and deleting one. */

import { PadlockError } from '../errors.ts'

/** The Web Lock that whoever has the database open holds. */
export const lockOf = (database: string): string => `padlock ${database}`

/** One database for each account; its name does not reveal the address. */
export const defaultDatabase = async (address: string): Promise<string> => {
  const text = new TextEncoder().encode(`padlock/database/1 ${address.toLowerCase()}`)
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', text))
  const base64 = btoa(String.fromCharCode(...digest))
  return `padlock-${base64.replaceAll('+', '-').replaceAll('/', '_').slice(0, 22)}`
}

/** A connection that is closing counts as open until its last transaction has ended. */
const blockedWaitMs = 5_000

/** @throws PadlockError storage_blocked while something holds it open, storage_* */
export const deleteDatabase = (name: string): Promise<void> =>
  new Promise((resolve, reject) => {
    const request = indexedDB.deleteDatabase(name)
    request.onsuccess = () => resolve()
    request.onerror = () => reject(new PadlockError('storage_failed', { cause: request.error }))
    // Not final: the request continues once nothing holds the database open any more.
    request.onblocked = () => {
      setTimeout(() => reject(new PadlockError('storage_blocked')), blockedWaitMs)
    }
  })
