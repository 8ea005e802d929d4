/** The arrays in a bundle describe the same as the generated code. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { DescField, DescFile, DescMessage } from '@bufbuild/protobuf'
import { build } from 'esbuild'
import { expect, test } from 'vitest'
import { plainDescriptors } from '../../scripts/descriptors.ts'

const checkout = resolve(import.meta.dirname, '../..')

const entry = `
export * from './src/gen/padlock/v1/contact_pb.ts'
export * from './src/gen/padlock/v1/content_pb.ts'
export * from './src/gen/padlock/v1/message_pb.ts'
export * from './src/gen/padlock/v1/node_pb.ts'
export * from './src/gen/padlock/store/v1/records_pb.ts'
export * from './node_modules/@connectrpc/connect/dist/esm/protocol-grpc/gen/status_pb.js'
export { file_google_protobuf_any } from '@bufbuild/protobuf/wkt'
`

const load = async (folder: string, name: string, isPlain: boolean): Promise<DescFile[]> => {
  const outfile = join(folder, name)
  await build({
    stdin: { contents: entry, resolveDir: checkout, loader: 'ts' },
    bundle: true,
    format: 'esm',
    outfile,
    plugins: isPlain ? [plainDescriptors] : [],
    logLevel: 'error',
  })
  const module: Record<string, DescFile> = await import(pathToFileURL(outfile).href)
  return Object.keys(module)
    .filter((key) => key.startsWith('file_'))
    .map((key) => module[key])
    .filter((file) => file !== undefined)
}

const fieldOf = (field: DescField) => {
  const { parent, oneof, message, enum: type, proto, ...plain } = field
  return {
    ...plain,
    string: String(field),
    oneof: oneof?.name,
    message: message?.typeName,
    enum: type?.typeName,
    getDefaultValue: 'getDefaultValue' in field ? field.getDefaultValue?.() : undefined,
    toString: undefined,
  }
}

const messageOf = (message: DescMessage): unknown => ({
  string: String(message),
  keys: Object.keys(message.field),
  fields: message.fields.map(fieldOf),
  members: message.members.map(String),
  oneofs: message.oneofs.map((oneof) => [oneof.localName, oneof.fields.map(String)]),
  messages: message.nestedMessages.map(messageOf),
  enums: message.nestedEnums.map(String),
})

const fileOf = (file: DescFile) => ({
  string: String(file),
  edition: file.edition,
  name: file.name,
  dependencies: file.dependencies.map(String),
  messages: file.messages.map(messageOf),
  enums: file.enums.map((type) => [
    String(type),
    type.open,
    type.sharedPrefix,
    type.values.map(({ name, localName, number }) => [name, localName, number]),
  ]),
  services: file.services.map(({ typeName, methods }) => [
    typeName,
    methods.map(({ name, localName, methodKind, input, output, idempotency }) => [
      [name, localName, methodKind, idempotency],
      [input.typeName, output.typeName],
    ]),
  ]),
})

test('descriptors made of arrays say what the generated ones say', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'padlock-descriptors-'))
  try {
    const plain = await load(folder, 'plain.mjs', true)
    const generated = await load(folder, 'generated.mjs', false)
    expect(generated).toHaveLength(7)
    expect(plain.map(fileOf)).toEqual(generated.map(fileOf))
  } finally {
    rmSync(folder, { recursive: true })
  }
})
