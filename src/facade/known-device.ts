/**
 * Remembers outside IndexedDB which installation a database holds. A browser that finds a database
 * damaged may drop it without a word; then a device of this page is known, and its keys are gone.
 */

const keyOf = (database: string): string => `padlock-device ${database}`

/** Absent in workers, and where site data is blocked. */
const storage = (): Storage | undefined => {
  try {
    return typeof document === 'undefined' ? undefined : globalThis.localStorage
  } catch {
    return undefined
  }
}

/** The installation id that was remembered for a database. */
export const knownDevice = (database: string): string | undefined => {
  try {
    return storage()?.getItem(keyOf(database)) ?? undefined
  } catch {
    return undefined
  }
}

export const rememberDevice = (database: string, installationId: string): void => {
  try {
    storage()?.setItem(keyOf(database), installationId)
  } catch {
    // Full, or blocked: then nothing is known later.
  }
}

export const forgetDevice = (database: string): void => {
  try {
    storage()?.removeItem(keyOf(database))
  } catch {
    // Nothing was remembered.
  }
}
