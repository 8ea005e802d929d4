/** Everything that the SDK loads in its worker, and the first call of its wasm. */

import { loadWasmCrypto } from '../../src/crypto/wasm.ts'
import { serve } from '../../src/worker/main.ts'

export const use = async (): Promise<number> => {
  const crypto = await loadWasmCrypto(new URL('/dist/padlock.wasm', location.href))
  // Named, so that the bundle holds everything that dist/worker.js does.
  return crypto.digest([new Uint8Array(1)]).length + serve.length
}
