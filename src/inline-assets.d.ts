/** What the build puts into `inline.js`: see scripts/bundle.ts. */
declare module 'padlock:inline' {
  /** The bundled worker, as a script. */
  export const workerSource: string
  /** padlock.wasm in standard base64. */
  export const wasmBase64: string
}
