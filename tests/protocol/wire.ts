/**
 * Runs the `encode` and `decode` vectors: between a vector's fields, named as in the .proto files, and
 * the generated messages, by the schema's own description.
 */
import { create, type DescField, type DescMessage, ScalarType, toBinary } from '@bufbuild/protobuf'
import { type ReflectMessage, reflect } from '@bufbuild/protobuf/reflect'
import { expect } from 'vitest'
import { file_padlock_v1_contact } from '../../src/gen/padlock/v1/contact_pb.ts'
import { file_padlock_v1_content } from '../../src/gen/padlock/v1/content_pb.ts'
import { file_padlock_v1_message } from '../../src/gen/padlock/v1/message_pb.ts'
import { decodeMessage } from '../../src/protocol/protobuf.ts'
import { expectBytes, Fields, type Json, readBytes, type Vector } from '../vectors/vectors.ts'

const schemas = new Map<string, DescMessage>(
  [file_padlock_v1_contact, file_padlock_v1_content, file_padlock_v1_message]
    .flatMap((file) => file.messages)
    .map((schema) => [schema.name, schema]),
)

function schemaOf(vector: Vector): DescMessage {
  const schema = schemas.get(vector.input.text('message'))
  if (schema === undefined) throw new Error('no such message')
  return schema
}

export function runEncode(vector: Vector): void {
  const schema = schemaOf(vector)
  const message = readMessage(schema, vector.input.object('fields'))
  expectBytes(toBinary(schema, message.message), vector.output ?? null)
}

export function runDecode(vector: Vector): void {
  const schema = schemaOf(vector)
  const message = decodeMessage(schema, vector.input.bytes('data'))
  if (vector.code === undefined) {
    if (message === undefined) throw new Error('does not decode')
    expect(writeMessage(reflect(schema, message))).toEqual(vector.output)
  } else {
    expect(message).toBeUndefined()
  }
}

function readMessage(schema: DescMessage, fields: Fields): ReflectMessage {
  const message = reflect(schema, create(schema))
  expect(Object.keys(fields.json).sort()).toEqual(schema.fields.map((field) => field.name).sort())
  for (const field of schema.fields) {
    const json = fields.value(field.name)
    if (json === null) continue
    switch (field.fieldKind) {
      case 'scalar':
        message.set(field, readScalar(field.scalar, json))
        break
      case 'enum':
        message.set(field, Number(json))
        break
      case 'message':
        message.set(field, readMessage(field.message, new Fields(json)))
        break
      case 'list':
        for (const item of fields.list(field.name)) {
          if (field.listKind === 'message') {
            message.get(field).add(readMessage(field.message, new Fields(item)))
          } else if (field.listKind === 'scalar') {
            message.get(field).add(readScalar(field.scalar, item))
          }
        }
        break
      case 'map':
        for (const [key, value] of Object.entries(new Fields(json).json)) {
          message.get(field).set(key, value)
        }
        break
    }
  }
  return message
}

function readScalar(scalar: ScalarType, json: Json) {
  switch (scalar) {
    case ScalarType.BYTES:
      return readBytes(json)
    case ScalarType.UINT64:
      return BigInt(String(json))
    case ScalarType.UINT32:
      return Number(json)
    case ScalarType.BOOL:
      return json === true
    default:
      return String(json)
  }
}

function writeMessage(message: ReflectMessage): Json {
  const written: Record<string, Json> = {}
  for (const field of message.fields) written[field.name] = writeField(message, field)
  return written
}

function writeField(message: ReflectMessage, field: DescField): Json {
  switch (field.fieldKind) {
    case 'list':
      return [...message.get(field)].map((item) => writeValue(item))
    case 'map':
      return Object.fromEntries(
        [...message.get(field)].map(([key, value]) => [String(key), writeValue(value)]),
      )
    case 'message':
      return message.isSet(field) ? writeMessage(message.get(field)) : null
    case 'enum':
      if (field.proto.proto3Optional && !message.isSet(field)) return null
      // Vectors show an enum as the varint on the wire, where -1 has ten bytes.
      return BigInt.asUintN(64, BigInt(message.get(field))).toString()
    case 'scalar':
      if (field.proto.proto3Optional && !message.isSet(field)) return null
      return writeValue(message.get(field))
  }
}

function writeValue(value: unknown): Json {
  if (value instanceof Uint8Array) return Buffer.from(value).toString('hex')
  if (typeof value === 'boolean' || typeof value === 'string') return value
  if (typeof value === 'bigint' || typeof value === 'number') return value.toString()
  return writeMessage(value as ReflectMessage)
}
