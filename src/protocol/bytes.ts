/**
 * Bytes and their text forms, and the one encoding of fields that are signed or hashed
 * (docs/protocol.md section 1).
 */
import { bytesToHex, concatBytes, hexToBytes, utf8ToBytes } from '@noble/hashes/utils.js'
import { base64nopad, base64urlnopad } from '@scure/base'

export { bytesToHex as encodeHex, concatBytes, utf8ToBytes as encodeUtf8 }

/** Whether both have the same length and bytes. Not constant in time: never compare secrets with it. */
export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false
  for (let index = 0; index < a.length; index += 1) {
    if (a[index] !== b[index]) return false
  }
  return true
}

/** Bytes of hex digits of any case, without 0x; undefined if it is anything else. */
export function decodeHex(text: string): Uint8Array | undefined {
  return /^(?:[0-9a-fA-F]{2})*$/.test(text) ? hexToBytes(text) : undefined
}

/** Base64url without padding (RFC 4648 section 5). */
export const encodeBase64Url = (bytes: Uint8Array): string => base64urlnopad.encode(bytes)

/** Bytes of canonical unpadded base64url; undefined if it is anything else, spare bits included. */
export function decodeBase64Url(text: string): Uint8Array | undefined {
  try {
    return base64urlnopad.decode(text)
  } catch {
    return undefined
  }
}

/** Standard base64 without padding (RFC 4648 section 4), as keys are shown to a wallet's owner. */
export const encodeBase64 = (bytes: Uint8Array): string => base64nopad.encode(bytes)

/** A field of what is signed or hashed. Integers and enums are given as bigint. */
export type SigningPart = string | Uint8Array | bigint | boolean

/**
 * UTF-8. Domains, addresses and ids are ASCII, and every arriving envelope needs a dozen of them: a
 * loop is many times faster than a new encoder for each.
 */
function encodeText(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length)
  for (let index = 0; index < text.length; index += 1) {
    const code = text.charCodeAt(index)
    if (code > 0x7f) return utf8ToBytes(text)
    bytes[index] = code
  }
  return bytes
}

/**
 * The fields in their order: a string or bytes behind a 4-byte big-endian length, an integer or
 * enum as 8 bytes big-endian, a boolean as one byte. The domain is the first part, a string like
 * any other. A bigint outside 64 unsigned bits is a bug in the caller and throws RangeError.
 */
export function encodeSigningBytes(parts: readonly SigningPart[]): Uint8Array {
  const fields = parts.map((part) => (typeof part === 'string' ? encodeText(part) : part))
  let length = 0
  for (const field of fields) {
    if (typeof field === 'bigint') length += 8
    else if (typeof field === 'boolean') length += 1
    else length += 4 + field.length
  }
  const bytes = new Uint8Array(length)
  const view = new DataView(bytes.buffer)
  let offset = 0
  for (const field of fields) {
    if (typeof field === 'bigint') {
      // setBigUint64 would wrap silently, and two different times would be signed alike.
      if (BigInt.asUintN(64, field) !== field)
        throw new RangeError('not an unsigned 64-bit integer')
      view.setBigUint64(offset, field)
      offset += 8
    } else if (typeof field === 'boolean') {
      bytes[offset] = field ? 1 : 0
      offset += 1
    } else {
      view.setUint32(offset, field.length)
      bytes.set(field, offset + 4)
      offset += 4 + field.length
    }
  }
  return bytes
}
