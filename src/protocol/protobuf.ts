/**
 * Reads protobuf bytes from others: a value or `undefined`, never an exception; fixed-length fields
 * are checked and copied.
 */
import { type DescMessage, fromBinary, type MessageShape } from '@bufbuild/protobuf'

/**
 * The message that the bytes encode, or undefined if they do not parse. Unknown fields are skipped
 * and not kept (docs/protocol.md section 4). Its bytes fields are views into `bytes`.
 */
export function decodeMessage<Desc extends DescMessage>(
  schema: Desc,
  bytes: Uint8Array,
): MessageShape<Desc> | undefined {
  try {
    return fromBinary(schema, bytes, { readUnknownFields: false })
  } catch {
    return undefined
  }
}

/**
 * A copy of a field of exactly this length; undefined if it has another length or is absent. A
 * copy, because storing or posting a small view would clone the whole buffer behind it.
 */
export function takeBytes(bytes: Uint8Array | undefined, length: number): Uint8Array | undefined {
  return bytes?.length === length ? Uint8Array.from(bytes) : undefined
}
