/** The part that is used of packages that bring no types. */

declare module 'sodium-native' {
  const sodium: {
    /** @throws Error if the signature is under 64 bytes or the key not 32. */
    crypto_sign_verify_detached(
      signature: Uint8Array,
      message: Uint8Array,
      publicKey: Uint8Array,
    ): boolean
  }
  export default sodium
}

declare module 'cors' {
  import type { IncomingMessage, ServerResponse } from 'node:http'
  import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2'

  interface CorsOptions {
    readonly origin: string
    readonly methods: string[]
    readonly allowedHeaders: string[]
    readonly exposedHeaders: string[]
    /** Seconds that a browser may remember the answer. */
    readonly maxAge: number
  }

  /** Answers a preflight request itself; adds the headers to any other and calls `next`. */
  export default function cors(
    options: CorsOptions,
  ): (
    request: IncomingMessage | Http2ServerRequest,
    response: ServerResponse | Http2ServerResponse,
    next: () => void,
  ) => void
}
