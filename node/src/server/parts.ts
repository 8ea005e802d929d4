/**
 * Of how many parts a request is made, before any of them becomes an object: 34 MiB of empty ones,
 * 34 KiB with compression, would take gigabytes and stop everything else for seconds.
 */
import type { DescMessage } from '@bufbuild/protobuf'
import { BinaryReader, WireType } from '@bufbuild/protobuf/wire'

/**
 * Fields, at all depths. The largest request that makes sense, 1,000 topics each with a proof, has
 * about 9,000.
 */
const partsLimit = 16_384

/** False if these bytes are a message of too many fields; bytes that are none are left to the parser. */
export function hasFewFields(schema: DescMessage, bytes: Uint8Array): boolean {
  try {
    return countFields(schema, bytes, partsLimit) >= 0
  } catch {
    return true
  }
}

/** How many of `left` are left; below 0 if they were too many. */
function countFields(schema: DescMessage, bytes: Uint8Array, left: number): number {
  const reader = new BinaryReader(bytes)
  let rest = left
  while (reader.pos < reader.len) {
    rest -= 1
    if (rest < 0) return rest
    const [number, wireType] = reader.tag()
    // A group holds fields without end, and no message here has one.
    if (wireType === WireType.StartGroup) return -1
    const inner = messageAt(schema, number)
    if (inner === undefined || wireType !== WireType.LengthDelimited) reader.skip(wireType, number)
    else rest = countFields(inner, reader.bytes(), rest)
  }
  return rest
}

function messageAt(schema: DescMessage, number: number): DescMessage | undefined {
  return schema.fields.find((field) => field.number === number)?.message
}

/** False if this JSON has too many members or elements. Nothing in a request's own strings counts. */
export function hasFewMembers(bytes: Uint8Array): boolean {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  return ['{', '[', ','].every((mark) => {
    let at = -1
    for (let count = 0; count <= partsLimit; count += 1) {
      at = buffer.indexOf(mark, at + 1)
      if (at === -1) return true
    }
    return false
  })
}
