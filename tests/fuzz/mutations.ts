/**
 * Damage to protobuf messages: flipped bits, false lengths, wrong wire types, and parts that are
 * truncated, doubled, nested or over a limit. It finds its way by the schema, so that a field deep
 * inside is damaged while everything around it stays whole. All choices come from the seed.
 */
import { type DescField, type DescMessage, fromBinary } from '@bufbuild/protobuf'
import { BinaryReader, BinaryWriter, WireType } from '@bufbuild/protobuf/wire'
import {
  InstallationContactBundleSchema,
  PrekeyUploadSchema,
  RevocationSchema,
} from '../../src/gen/padlock/v1/contact_pb.ts'
import { PublishEnvelopeSchema } from '../../src/gen/padlock/v1/node_pb.ts'
import type { Random } from './samples.ts'

/** What was made of a message, and what was done to it. */
export interface Mutated {
  readonly what: string
  readonly bytes: Uint8Array
}

interface Field {
  readonly no: number
  readonly wireType: WireType
  /** Where the tag begins, where it ends, where the value begins and ends. */
  readonly start: number
  readonly tagEnd: number
  readonly valueStart: number
  readonly end: number
}

function fieldsOf(bytes: Uint8Array): Field[] {
  const reader = new BinaryReader(bytes)
  const fields: Field[] = []
  while (reader.pos < reader.len) {
    const start = reader.pos
    const [no, wireType] = reader.tag()
    const tagEnd = reader.pos
    let valueStart = tagEnd
    if (wireType === WireType.LengthDelimited) {
      const length = reader.uint32()
      valueStart = reader.pos
      reader.pos += length
    } else {
      reader.skip(wireType, no)
    }
    fields.push({ no, wireType, start, tagEnd, valueStart, end: reader.pos })
  }
  return fields
}

/** A base-128 varint of any value, in more bytes than it needs if told so. */
function varint(value: bigint, atLeastBytes = 1): Uint8Array {
  const bytes: number[] = []
  let rest = value
  do {
    bytes.push(Number(rest & 0x7fn) | 0x80)
    rest >>= 7n
  } while (rest > 0n || bytes.length < atLeastBytes)
  bytes.push((bytes.pop() ?? 0) & 0x7f)
  return Uint8Array.from(bytes)
}

const tag = (no: number, wireType: number): Uint8Array =>
  varint((BigInt(no) << 3n) | BigInt(wireType))

const splice = (bytes: Uint8Array, start: number, end: number, insert: Uint8Array): Uint8Array =>
  Buffer.concat([bytes.subarray(0, start), insert, bytes.subarray(end)])

export const randomBytes = (random: Random, length: number): Uint8Array =>
  Uint8Array.from({ length }, () => random.below(256))

const lyingLengths = (length: number): bigint[] => [
  BigInt(length + 1),
  BigInt(Math.max(0, length - 1)),
  0n,
  BigInt(length) + (1n << 32n),
  0x7fff_ffffn,
  0xffff_ffffn,
  1n << 63n,
  (1n << 70n) - 1n,
]

const strangeNumbers = [0n, 1n, 0x7fff_ffffn, 0xffff_ffffn, 1n << 53n, (1n << 63n) - 1n, 1n << 63n]
const strangeLengths = [0, 1, 15, 17, 31, 33, 63, 65, 66, 8_193]
// Overlong, a surrogate, beyond Unicode, a continuation without a start, and one that is cut.
const noUtf8 = ['c080', 'eda080', 'f5808080', '80', 'e282'].map((hex) => Buffer.from(hex, 'hex'))

type Damage = (bytes: Uint8Array, field: Field, random: Random) => Uint8Array

/** Each of these needs a field to do it to. */
const damages: { readonly [what: string]: Damage } = {
  'a bit of a tag': (bytes, { start, tagEnd }, random) =>
    flipped(bytes, start + random.below(tagEnd - start), random),
  'a bit of a value': (bytes, { valueStart, end }, random) =>
    flipped(bytes, Math.min(bytes.length - 1, valueStart + random.below(end - valueStart)), random),
  'cut in the tag': (bytes, { start, tagEnd }, random) =>
    bytes.subarray(0, start + random.below(tagEnd - start)),
  'cut before the value': (bytes, { tagEnd }) => bytes.subarray(0, tagEnd),
  'cut in the value': (bytes, { valueStart, end }, random) =>
    bytes.subarray(0, valueStart + random.below(Math.max(1, end - valueStart))),
  'a length that lies': (bytes, field, random) =>
    field.wireType === WireType.LengthDelimited
      ? splice(
          bytes,
          field.tagEnd,
          field.valueStart,
          varint(random.pick(lyingLengths(field.end - field.valueStart))),
        )
      : splice(bytes, field.tagEnd, field.end, varint(random.pick(strangeNumbers))),
  'an overlong varint': (bytes, { tagEnd, valueStart }, random) =>
    splice(bytes, tagEnd, valueStart, varint(BigInt(random.below(300)), 9 + random.below(4))),
  'a wrong wire type': (bytes, { no, wireType, start, tagEnd }, random) =>
    splice(bytes, start, tagEnd, tag(no, (wireType + 1 + random.below(7)) % 8)),
  'a wrong number': (bytes, { wireType, start, tagEnd }, random) =>
    splice(bytes, start, tagEnd, tag(random.pick([0, 7, 15, 19_000, 0x1fff_ffff]), wireType)),
  'a field left out': (bytes, { start, end }) => splice(bytes, start, end, new Uint8Array()),
  'a field repeated': (bytes, { start, end }, random) => {
    const times = random.pick([1, 2, 30, 1_200])
    const field = bytes.subarray(start, end)
    const repeated = Array<Uint8Array>(field.length > 1_000 ? 2 : times).fill(field)
    return splice(bytes, end, end, Buffer.concat(repeated))
  },
  'a field put last': (bytes, { start, end }) =>
    Buffer.concat([bytes.subarray(0, start), bytes.subarray(end), bytes.subarray(start, end)]),
  'a value of another length': (bytes, { no, start, end }, random) =>
    splice(
      bytes,
      start,
      end,
      lengthDelimited(no, randomBytes(random, random.pick(strangeLengths))),
    ),
  'a strange number': (bytes, { no, start, end }, random) =>
    splice(bytes, start, end, Buffer.concat([tag(no, 0), varint(random.pick(strangeNumbers))])),
  'text that is no UTF-8': (bytes, { no, start, end }, random) =>
    splice(bytes, start, end, lengthDelimited(no, random.pick(noUtf8))),
}

/** And these do not. */
const additions: { readonly [what: string]: (random: Random) => Uint8Array } = {
  'trailing garbage': (random) => randomBytes(random, 1 + random.below(40)),
  'an unknown field': (random) => lengthDelimited(1_000, randomBytes(random, random.below(200))),
  'unknown fields by the thousand': () =>
    Buffer.concat(Array<Uint8Array>(5_000).fill(Uint8Array.of(0x78, 1))),
  'groups in groups': (random) => Buffer.alloc(random.pick([10, 99, 101, 20_000, 200_000]), 0x7b),
  'groups that close': () =>
    Buffer.concat([Buffer.alloc(50_000, 0x7b), Buffer.alloc(50_000, 0x7c)]),
  'a group that never began': () => Uint8Array.of(0x7c),
  'messages in messages': () => nested(2_000),
}

function nested(depth: number): Uint8Array {
  let bytes: Uint8Array = new Uint8Array()
  for (let level = 0; level < depth; level += 1) bytes = lengthDelimited(1, bytes)
  return bytes
}

const lengthDelimited = (no: number, value: Uint8Array): Uint8Array =>
  new BinaryWriter().tag(no, WireType.LengthDelimited).bytes(value).finish()

function flipped(bytes: Uint8Array, at: number, random: Random): Uint8Array {
  const changed = Uint8Array.from(bytes)
  changed[at] = (changed[at] ?? 0) ^ (1 << random.below(8))
  return changed
}

/** What a field holds, if it holds a message. */
function messageIn(desc: DescMessage, no: number): DescMessage | undefined {
  const field: DescField | undefined = desc.fields.find(({ number }) => number === no)
  return field?.fieldKind === 'message' || (field?.fieldKind === 'list' && field.message)
    ? field.message
    : undefined
}

const innerSchemas = new Map<string, DescMessage>([
  ['contact', InstallationContactBundleSchema],
  ['revoked', RevocationSchema],
  ['prekey', PrekeyUploadSchema],
])

/** What the bytes of an envelope are a message of. */
function messageOf(envelope: Uint8Array): DescMessage | undefined {
  const { topic } = fromBinary(PublishEnvelopeSchema, envelope)
  return innerSchemas.get(topic.split('-', 1)[0] ?? '')
}

/** One damage, at any depth of a well-formed message. */
export function mutate(bytes: Uint8Array, desc: DescMessage, random: Random): Mutated {
  const fields = fieldsOf(bytes)
  if (fields.length === 0 || random.chance(0.08)) {
    const what = random.pick(Object.keys(additions))
    const added = additions[what]?.(random) ?? new Uint8Array()
    return { what, bytes: Buffer.concat([bytes, added]) }
  }
  const field = random.pick(fields)
  const value = bytes.subarray(field.valueStart, field.end)
  const isInner = desc.typeName === PublishEnvelopeSchema.typeName && field.no === 2
  const inner = isInner ? messageOf(bytes) : messageIn(desc, field.no)
  if (inner !== undefined && random.chance(0.75)) {
    const { what, bytes: changed } = mutate(value, inner, random)
    const rebuilt = lengthDelimited(field.no, changed)
    return {
      what: `${desc.name}.${field.no}: ${what}`,
      bytes: splice(bytes, field.start, field.end, rebuilt),
    }
  }
  const what = random.pick(Object.keys(damages))
  return {
    what: `${desc.name}.${field.no}: ${what}`,
    bytes: damages[what]?.(bytes, field, random) ?? bytes,
  }
}
