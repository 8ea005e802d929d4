/** What the build puts into `embedded.js`: see scripts/bundle.ts. */
declare module 'padlock:embedded' {
  /** The bundled worker, as a script. */
  export const workerSource: string
  /** padlock.wasm in standard base64. */
  export const wasmBase64: string
}
