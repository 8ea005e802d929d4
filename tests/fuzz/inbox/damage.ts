/** Damage to the bytes of envelopes: bits, ends, pieces of others, and the fields of their protobuf. */

import { concatBytes } from '../../../src/protocol/bytes.ts'
import {
  decodeFields,
  encodeFields,
  type Field,
  type FieldValue,
} from '../../support/envelope-forge/fields.ts'
import type { seededRandom } from '../../support/random.ts'

export type Random = ReturnType<typeof seededRandom>

export const randomBytes = (random: Random, length: number): Uint8Array => {
  const bytes = new Uint8Array(length)
  for (let at = 0; at < length; at += 1) bytes[at] = random.below(256)
  return bytes
}

/** A length between nothing and a page, small ones most often. */
export const randomLength = (random: Random): number => random.below(2 ** random.below(13))

type Damage = (bytes: Uint8Array, random: Random, other: Uint8Array) => Uint8Array

const flipBits: Damage = (bytes, random) => {
  const copy = bytes.slice()
  for (let count = 1 + random.below(8); count > 0; count -= 1) {
    const at = random.below(copy.length)
    copy[at] = (copy[at] ?? 0) ^ (1 << random.below(8))
  }
  return copy
}

const cut: Damage = (bytes, random) => bytes.slice(0, random.below(bytes.length))
const lengthen: Damage = (bytes, random) =>
  concatBytes(bytes, randomBytes(random, 1 + random.below(200)))
const insert: Damage = (bytes, random) => {
  const at = random.below(bytes.length)
  const piece = randomBytes(random, 1 + random.below(20))
  return concatBytes(bytes.slice(0, at), piece, bytes.slice(at))
}
const overwrite: Damage = (bytes, random) => {
  const at = random.below(bytes.length)
  const copy = bytes.slice()
  copy.fill(random.pick([0, 0x7f, 0x80, 0xff]), at, at + 1 + random.below(40))
  return copy
}
/** The beginning of one and the end of another. */
const splice: Damage = (bytes, random, other) =>
  concatBytes(bytes.slice(0, random.below(bytes.length)), other.slice(random.below(other.length)))

/** The two parts of the envelope among and instead of each other, twice, or of two envelopes. */
const shuffleParts: Damage = (bytes, random, other) => {
  const inner = partsOf(bytes)
  const others = partsOf(other)
  return encodeFields([[1, encodeFields(shuffleFields(random, inner, others))]])
}

const partsOf = (message: Uint8Array): readonly Field[] => {
  const value = decodeFields(message)[0]?.[1]
  return value instanceof Uint8Array ? decodeFields(value) : []
}

/** Fields dropped, twice, in another order, under another number, or with another value. */
export const shuffleFields = (
  random: Random,
  fields: readonly Field[],
  others: readonly Field[] = [],
): readonly Field[] => {
  const all = [...fields]
  for (let count = 1 + random.below(3); count > 0 && all.length > 0; count -= 1) {
    const at = random.below(all.length)
    const [no, value] = all[at] ?? [1, 0n]
    switch (random.below(6)) {
      case 0:
        all.splice(at, 1)
        break
      case 1:
        all.push([no, value])
        break
      case 2:
        all.unshift(...all.splice(at, 1))
        break
      case 3:
        all[at] = [1 + random.below(40), value]
        break
      case 4:
        all[at] = others.length > 0 ? random.pick(others) : [no, randomValue(random)]
        break
      default:
        all[at] = [no, randomValue(random)]
    }
  }
  return all
}

export const randomValue = (random: Random): FieldValue => {
  switch (random.below(5)) {
    case 0:
      return BigInt(random.below(2 ** 31)) * BigInt(random.below(2 ** 31))
    case 1:
      return random.pick([0n, 1n, 2n, 2n ** 32n, 2n ** 63n, 2n ** 64n - 1n])
    case 2:
      return random.chance(0.5)
    case 3:
      return 'x'.repeat(randomLength(random))
    default:
      return randomBytes(random, random.pick([0, 1, 16, 31, 32, 33, 64, randomLength(random)]))
  }
}

const damages = [flipBits, flipBits, cut, lengthen, insert, overwrite, splice]

/** Any bytes damaged in one way; `other` are others. */
export const damage = (random: Random, bytes: Uint8Array, other: Uint8Array): Uint8Array =>
  bytes.length === 0
    ? randomBytes(random, randomLength(random))
    : random.pick(damages)(bytes, random, other)

/** As `damage`, of good envelopes. */
export const damageEnvelope = (random: Random, bytes: Uint8Array, other: Uint8Array): Uint8Array =>
  random.chance(0.15) ? shuffleParts(bytes, random, other) : damage(random, bytes, other)
