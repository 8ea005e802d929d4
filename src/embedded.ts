/// <reference path="./embedded-files.d.ts" />
/**
 * The worker and the wasm inside one script, `embedded.js`: `padlock-sdk/inline` contains it, and
 * `padlock-sdk` loads it where the files beside it are not available.
 */

import { wasmBase64, workerSource } from 'padlock:embedded'
import { base64 } from '@scure/base'

export { workerSource }

export const readWasm = (): Uint8Array<ArrayBuffer> => new Uint8Array(base64.decode(wasmBase64))
