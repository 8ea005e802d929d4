/**
 * Decompresses content, up to a limit (docs/protocol.md section 4). Padlock itself never
 * compresses: the length of compressed text reveals something about the text.
 */

/** `deflate` is the zlib format of RFC 1950, as browsers mean it. */
export type CompressionFormat = 'deflate' | 'gzip'

export type Inflated =
  | { readonly kind: 'inflated'; readonly bytes: Uint8Array }
  | { readonly kind: 'too_large' }
  | { readonly kind: 'damaged' }

/** The decompressed bytes; stops reading as soon as they exceed `limitBytes`. */
export async function inflate(
  compressed: Uint8Array,
  format: CompressionFormat,
  limitBytes: number,
): Promise<Inflated> {
  const reader = new Blob([new Uint8Array(compressed)])
    .stream()
    .pipeThrough(new DecompressionStream(format))
    .getReader()
  const chunks: Uint8Array[] = []
  let length = 0
  try {
    for (;;) {
      const { done, value } = await reader.read()
      if (done) break
      length += value.length
      if (length > limitBytes) return { kind: 'too_large' }
      chunks.push(value)
    }
  } catch {
    return { kind: 'damaged' }
  } finally {
    // Never inflate the rest of a bomb. A stream that failed has nothing left to cancel.
    await reader.cancel().catch(() => undefined)
  }
  const bytes = new Uint8Array(length)
  let offset = 0
  for (const chunk of chunks) {
    bytes.set(chunk, offset)
    offset += chunk.length
  }
  return { kind: 'inflated', bytes }
}
