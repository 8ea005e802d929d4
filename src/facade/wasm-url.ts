/** The option `wasmUrl`. */

import { PadlockError } from '../errors.ts'
import { absoluteUrl } from '../worker/start.ts'

/** @throws PadlockError invalid_argument */
export const readWasmUrl = (url: string | URL): string => {
  try {
    return absoluteUrl(url).href
  } catch (cause) {
    throw new PadlockError('invalid_argument', { message: '`wasmUrl` is not an address.', cause })
  }
}
