/**
 * Describes protobuf files in the bundle by plain arrays instead of serialised descriptors. Reading
 * those needs the descriptor of descriptors, which is larger, compressed, than all of ours
 * together. Anything that the arrays cannot express (extensions, proto2, most options) stops the
 * build.
 */
import { readFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { fromBinary } from '@bufbuild/protobuf'
import { base64Decode } from '@bufbuild/protobuf/wire'
import {
  type DescriptorProto,
  type EnumDescriptorProto,
  type FieldDescriptorProto,
  FieldDescriptorProto_Label,
  FileDescriptorProtoSchema,
  type ServiceDescriptorProto,
} from '@bufbuild/protobuf/wkt'
import type { Plugin } from 'esbuild'

const expect = (isPlain: boolean, what: string): void => {
  if (!isPlain) throw new Error(`scripts/descriptors.ts cannot describe ${what}`)
}

const camelCase = (name: string): string =>
  name.replace(/_+([a-z0-9])/g, (_, letter: string) => letter.toUpperCase())

/** Drops false, empty or absent values at the end; elsewhere they become holes. */
const packed = (values: readonly unknown[]): unknown[] => {
  const last = values.findLastIndex((value) => value !== undefined)
  return values.slice(0, last + 1).map((value) => value ?? 0)
}

const orUndefined = <T>(list: readonly T[]): readonly T[] | undefined =>
  list.length > 0 ? list : undefined

const describeField = (field: FieldDescriptorProto): unknown[] => {
  const { name, number, type, label } = field
  expect(!field.options && !field.extendee && !field.defaultValue, `the options of ${name}`)
  expect(label !== FieldDescriptorProto_Label.REQUIRED, `a required ${name}`)
  expect(!field.jsonName || field.jsonName === camelCase(name), `the JSON name of ${name}`)
  return packed([
    name,
    number,
    type,
    field.typeName || undefined,
    label === FieldDescriptorProto_Label.REPEATED ? 1 : undefined,
    // Counted from 1, so that 0 means none.
    Object.hasOwn(field, 'oneofIndex') ? field.oneofIndex + 1 : undefined,
    field.proto3Optional ? 1 : undefined,
  ])
}

const describeEnum = (type: EnumDescriptorProto): unknown[] => {
  const { name, value } = type
  expect(!type.options && value.every(({ options }) => !options), `the options of ${name}`)
  return [name, value.flatMap((one) => [one.name, one.number])]
}

const describeMessage = (message: DescriptorProto): unknown[] => {
  const { name, field, oneofDecl, nestedType, enumType, options } = message
  const isMapEntry = options?.mapEntry === true
  expect(isMapEntry || !options, `the options of ${name}`)
  expect(!oneofDecl.some((oneof) => oneof.options), `the options of a oneof in ${name}`)
  expect(message.extension.length === 0, `the extensions in ${name}`)
  return packed([
    name,
    field.map(describeField),
    orUndefined(oneofDecl.map((oneof) => oneof.name)),
    orUndefined(nestedType.map(describeMessage)),
    orUndefined(enumType.map(describeEnum)),
    isMapEntry ? 1 : undefined,
  ])
}

const describeService = ({ name, method, options }: ServiceDescriptorProto): unknown[] => {
  expect(!options && method.every((one) => !one.options), `the options of ${name}`)
  return [
    name,
    method.map((one) => [
      one.name,
      one.inputType,
      one.outputType,
      (one.clientStreaming ? 1 : 0) + (one.serverStreaming ? 2 : 0),
    ]),
  ]
}

/** The arrays that {@link hydrate} reads. @throws when a file uses what they cannot express. */
const describeFile = (base64: string): unknown[] => {
  const file = fromBinary(FileDescriptorProtoSchema, base64Decode(base64))
  expect(file.syntax === 'proto3', `${file.name}, which is not proto3`)
  expect(file.extension.length === 0, `the extensions in ${file.name}`)
  // Most file options name packages of other languages, but features change the encoding.
  expect(!file.options?.features && !file.options?.deprecated, `the options of ${file.name}`)
  return packed([
    file.name,
    file.package,
    orUndefined(file.messageType.map(describeMessage)),
    orUndefined(file.enumType.map(describeEnum)),
    orUndefined(file.service.map(describeService)),
  ])
}

/** A generated module whose descriptor is a call of `fileDesc` with arrays. */
const describeInPlace = (module: string): string =>
  module.replace(
    /\bfileDesc\("([\w+/=]+)"/g,
    (_, base64: string) => `fileDesc(${JSON.stringify(describeFile(base64))}`,
  )

/**
 * Replaces protobuf's `codegenv2/file.js`: builds from the arrays what that builds from a
 * serialised descriptor.
 */
const hydrate = `
import { createEmbeddedFileRegistry } from '../registry.js'
import { protoCamelCase } from '../reflect/names.js'

const none = []
const field = ([name, number, type, typeName, repeated, oneof, proto3Optional]) => ({
  name,
  number,
  type,
  typeName: typeName || '',
  label: repeated ? 3 : 1,
  oneofIndex: oneof ? oneof - 1 : undefined,
  proto3Optional: !!proto3Optional,
  jsonName: protoCamelCase(name),
})
const enumeration = ([name, pairs]) => ({
  name,
  value: pairs.flatMap((one, at) => (at % 2 ? none : { name: one, number: pairs[at + 1] })),
})
const message = ([name, fields, oneofs, nested, enums, mapEntry]) => ({
  name,
  field: fields.map(field),
  oneofDecl: (oneofs || none).map((name) => ({ name })),
  nestedType: (nested || none).map(message),
  enumType: (enums || none).map(enumeration),
  extension: none,
  options: mapEntry ? { mapEntry: true } : undefined,
})
const service = ([name, methods]) => ({
  name,
  method: methods.map(([name, inputType, outputType, streaming]) => ({
    name,
    inputType,
    outputType,
    clientStreaming: (streaming & 1) > 0,
    serverStreaming: (streaming & 2) > 0,
  })),
})

export function fileDesc([name, packageName, messages, enums, services], imports = none) {
  const root = {
    $typeName: 'google.protobuf.FileDescriptorProto',
    name,
    package: packageName,
    syntax: 'proto3',
    dependency: imports.map((file) => file.proto.name),
    messageType: (messages || none).map(message),
    enumType: (enums || none).map(enumeration),
    service: (services || none).map(service),
    extension: none,
  }
  return createEmbeddedFileRegistry(root, (wanted) =>
    imports.find((file) => file.proto.name === wanted),
  ).getFile(name)
}
`

/** Descriptors are read at build time, which saves 5 kB compressed. */
export const plainDescriptors: Plugin = {
  name: 'padlock-descriptors',
  setup(build) {
    const described = /[\\/](?:src[\\/]gen[\\/].*|any|status)_pb\.(?:js|ts)$/
    build.onLoad({ filter: described }, ({ path }) => ({
      contents: describeInPlace(readFileSync(path, 'utf8')),
      loader: path.endsWith('.ts') ? 'ts' : 'js',
    }))
    const filter = /@bufbuild[\\/]protobuf[\\/]dist[\\/]esm[\\/]codegenv2[\\/]file\.js$/
    build.onLoad({ filter }, ({ path }) => ({ contents: hydrate, resolveDir: dirname(path) }))
  },
}
