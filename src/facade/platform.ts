/** Whether this is a place where a client can live. */

import { PadlockError } from '../errors.ts'
import { sentences } from '../sentences.ts'

/**
 * Importing on a server is fine; only browsers have what a client needs.
 *
 * @throws PadlockError unsupported_platform
 */
export const requireBrowser = (): void => {
  const isPageOrWorker = typeof document !== 'undefined' || typeof WorkerGlobalScope !== 'undefined'
  // Both exist in secure contexts only: https, or the own machine.
  const isSecure =
    typeof navigator !== 'undefined' && 'locks' in navigator && 'subtle' in globalThis.crypto
  if (!isPageOrWorker || !isSecure || typeof WebAssembly === 'undefined') {
    throw new PadlockError('unsupported_platform', { message: sentences.unsupported_platform })
  }
}
