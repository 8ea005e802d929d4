/**
 * Protobuf messages as lists of fields, so that a test may leave one out, name one twice, or add one
 * that nobody knows. Writing and reading are the library's; only the choice is ours.
 */

import { BinaryReader, BinaryWriter, WireType } from '@bufbuild/protobuf/wire'
import { concatBytes, encodeUtf8 } from '../../../src/protocol/bytes.ts'

/** A varint, or what has a length before it. */
export type FieldValue = bigint | boolean | string | Uint8Array

/** A field by its number; number 0 stands for bytes that go out as they are. */
export type Field = readonly [no: number, value: FieldValue]

export type ChangeFields = (fields: readonly Field[]) => readonly Field[]

export const encodeFields = (fields: readonly Field[]): Uint8Array =>
  concatBytes(
    ...fields.map(([no, value]) => {
      if (no === 0) return value instanceof Uint8Array ? value : new Uint8Array()
      const writer = new BinaryWriter()
      if (value instanceof Uint8Array) writer.tag(no, WireType.LengthDelimited).bytes(value)
      else if (typeof value === 'string') {
        writer.tag(no, WireType.LengthDelimited).bytes(encodeUtf8(value))
      } else writer.tag(no, WireType.Varint).uint64(BigInt(value))
      return writer.finish()
    }),
  )

/** The fields of bytes that were written so. */
export const decodeFields = (bytes: Uint8Array): readonly Field[] => {
  const reader = new BinaryReader(bytes)
  const fields: Field[] = []
  while (reader.pos < reader.len) {
    const [no, type] = reader.tag()
    if (type === WireType.Varint) fields.push([no, BigInt(reader.uint64())])
    else if (type === WireType.LengthDelimited) fields.push([no, reader.bytes().slice()])
    else throw new Error('not a field of ours')
  }
  return fields
}

/** Another value in the field's place. */
export const set =
  (no: number, value: FieldValue): ChangeFields =>
  (fields) =>
    fields.map((field) => (field[0] === no ? [no, value] : field))

/** Another value made of the one that is there. */
export const edit =
  (no: number, change: (value: Uint8Array) => Uint8Array): ChangeFields =>
  (fields) =>
    fields.map((field) => {
      const [at, value] = field
      if (at !== no) return field
      if (typeof value === 'string') return [no, change(encodeUtf8(value))]
      return value instanceof Uint8Array ? [no, change(value)] : field
    })

export const without =
  (no: number): ChangeFields =>
  (fields) =>
    fields.filter((field) => field[0] !== no)

/** A field more, behind the others: of two the last counts. */
export const also =
  (no: number, value: FieldValue): ChangeFields =>
  (fields) => [...fields, [no, value]]

/** A field more, before the others. */
export const ahead =
  (no: number, value: FieldValue): ChangeFields =>
  (fields) => [[no, value], ...fields]

/** One change after the other. */
export const inTurn =
  (...changes: readonly ChangeFields[]): ChangeFields =>
  (fields) =>
    changes.reduce((done, change) => change(done), fields)

/** One bit turned; counted from the end where `at` is negative. */
export const flip =
  (at: number) =>
  (bytes: Uint8Array): Uint8Array => {
    const copy = bytes.slice()
    const place = at < 0 ? bytes.length + at : at
    copy[place] = (copy[place] ?? 0) ^ 1
    return copy
  }

/** Zeros added behind, or as many bytes cut off. */
export const lengthen =
  (by: number) =>
  (bytes: Uint8Array): Uint8Array =>
    by < 0 ? bytes.slice(0, by) : concatBytes(bytes, new Uint8Array(by))
