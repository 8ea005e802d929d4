/**
 * Whether a client can run here: the one list of what Padlock needs beyond the language and the DOM
 * of the oldest supported browsers, checked before anything has an effect.
 */

import { errorMessages } from '../error-messages.ts'
import { PadlockError } from '../errors.ts'

/** Keyed by the name in `details.missing`. */
const needed: Readonly<Record<string, () => boolean>> = {
  // Importing on a server is fine; only browsers have what a client needs.
  'a page or a worker': () =>
    typeof document !== 'undefined' || typeof WorkerGlobalScope !== 'undefined',
  // Absent on pages over plain http, as are the two below.
  'a secure context (https)': () => globalThis.isSecureContext !== false,
  'Web Locks': () => typeof navigator !== 'undefined' && 'locks' in navigator,
  'crypto.subtle': () => typeof globalThis.crypto?.subtle === 'object',
  'crypto.getRandomValues': () => typeof globalThis.crypto?.getRandomValues === 'function',
  WebAssembly: () => typeof WebAssembly === 'object',
  'WebAssembly.compileStreaming': () => typeof WebAssembly.compileStreaming === 'function',
  BigInt: () => typeof BigInt === 'function' && typeof BigInt64Array === 'function',
  fetch: () => typeof fetch === 'function' && typeof Response === 'function',
  ReadableStream: () => typeof ReadableStream === 'function',
  DecompressionStream: () => typeof DecompressionStream === 'function',
  'Object.hasOwn': () => typeof Object.hasOwn === 'function',
  'Array.prototype.at': () => typeof Array.prototype.at === 'function',
  Worker: () => typeof Worker === 'function',
}

/**
 * @throws PadlockError unsupported_platform, whose `details.missing` names what is missing;
 * storage_unavailable in a frame that may store nothing
 */
export const requirePlatform = (): void => {
  // Files are an opaque origin in some browsers too, and have storage.
  if (globalThis.origin === 'null' && globalThis.location?.protocol !== 'file:') {
    throw new PadlockError('storage_unavailable', {
      message:
        'This frame is sandboxed without allow-same-origin, so the browser stores nothing here.',
    })
  }
  for (const [name, isThere] of Object.entries(needed)) {
    if (!isThere()) {
      throw new PadlockError('unsupported_platform', {
        message: `${errorMessages.unsupported_platform} Missing here: ${name}.`,
        details: { missing: name },
      })
    }
  }
}
