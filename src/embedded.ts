/// <reference path="./embedded-files.d.ts" />
/**
 * The worker and the wasm inside one script, `embedded.js`: what `padlock-sdk/inline` is made of, and
 * what `padlock-sdk` loads where the files beside it cannot be had.
 */

import { wasmBase64, workerSource } from 'padlock:embedded'
import { base64 } from '@scure/base'

export { workerSource }

export const readWasm = (): Uint8Array<ArrayBuffer> => new Uint8Array(base64.decode(wasmBase64))
