/**
 * Counts the parts of a request before they become objects: 34 MiB of empty parts would take
 * gigabytes and block everything else for seconds.
 */
import type { DescMessage } from '@bufbuild/protobuf'
import { BinaryReader, WireType } from '@bufbuild/protobuf/wire'

/**
 * Maximum fields, at all depths. The largest sensible request, 1,000 topics each with a proof, has
 * about 9,000.
 */
const partsLimit = 16_384

/** Why these bytes must not be parsed as a message; undefined if they may. */
export function problemOfFields(
  schema: DescMessage,
  bytes: Uint8Array,
): 'too_large' | 'malformed' | undefined {
  try {
    return countFields(schema, bytes, partsLimit) < 0 ? 'too_large' : undefined
  } catch {
    return 'malformed'
  }
}

/** Remaining budget; negative when exceeded. @throws Error if the bytes are not a message. */
function countFields(schema: DescMessage, bytes: Uint8Array, budget: number): number {
  const reader = new BinaryReader(bytes)
  let rest = budget
  while (reader.pos < reader.len) {
    rest -= 1
    if (rest < 0) return rest
    const [number, wireType] = reader.tag()
    // A group can hold any number of fields, and no message here has one.
    if (wireType === WireType.StartGroup) throw new TypeError('a group')
    const inner = messageAt(schema, number)
    if (inner === undefined || wireType !== WireType.LengthDelimited) reader.skip(wireType, number)
    else rest = countFields(inner, reader.bytes(), rest)
  }
  return rest
}

function messageAt(schema: DescMessage, number: number): DescMessage | undefined {
  return schema.fields.find((field) => field.number === number)?.message
}

/** The same for JSON: counts its members and elements. */
export function problemOfMembers(bytes: Uint8Array): 'too_large' | undefined {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const hasFew = ['{', '[', ','].every((mark) => {
    let at = -1
    for (let count = 0; count <= partsLimit; count += 1) {
      at = buffer.indexOf(mark, at + 1)
      if (at === -1) return true
    }
    return false
  })
  return hasFew ? undefined : 'too_large'
}
