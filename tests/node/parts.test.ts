/** Requests of very many parts: small on the wire, large in memory, refused before they are parsed. */
import { create, fromBinary, toBinary, toJsonString } from '@bufbuild/protobuf'
import type { ConnectRouter } from '@connectrpc/connect'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Listener, listen } from '../../node/src/server/listen.ts'
import { problemOfFields, problemOfMembers } from '../../node/src/server/parts.ts'
import {
  ErrorDetailSchema,
  NodeService,
  PublishRequestSchema,
  QueryRequestSchema,
} from '../../src/gen/padlock/v1/node_pb.ts'

const mebibyte = 1024 * 1024

/** The largest query that makes sense: every topic with a proof. */
const largest = create(QueryRequestSchema, {
  topics: Array.from({ length: 1_000 }, (_, n) => ({
    topic: `message-${'x'.repeat(39)}${n + 1_000}`,
    afterSequence: 2n ** 63n,
  })),
  proofs: Array.from({ length: 1_000 }, () => ({
    keys: { curve25519: new Uint8Array(32), ed25519: new Uint8Array(32) },
    expiresNs: 2n ** 63n,
    signature: { signature: new Uint8Array(64) },
  })),
})

const repeated = (pair: readonly number[], length: number): Buffer =>
  Buffer.alloc(length - (length % pair.length), Uint8Array.from(pair))
/** A length-delimited field. */
const field = (number: number, content: Buffer): Buffer => {
  const length = []
  for (let rest = content.length; ; rest >>>= 7) {
    length.push(rest > 127 ? (rest & 127) | 128 : rest)
    if (rest <= 127) break
  }
  return Buffer.concat([Buffer.from([(number << 3) | 2, ...length]), content])
}

test('the largest requests that make sense are few parts', () => {
  expect(problemOfFields(QueryRequestSchema, toBinary(QueryRequestSchema, largest))).toBeUndefined()
  expect(problemOfMembers(Buffer.from(toJsonString(QueryRequestSchema, largest)))).toBeUndefined()
  // What is inside of a message is nobody's business here.
  const message = repeated([0x0a, 0], mebibyte)
  const envelopes = Array.from({ length: 25 }, () => ({ topic: 'message-x', message }))
  const request = toBinary(PublishRequestSchema, create(PublishRequestSchema, { envelopes }))
  expect(problemOfFields(PublishRequestSchema, request)).toBeUndefined()
})

const swarms: [string, Buffer][] = [
  ['empty envelopes', repeated([0x0a, 0], mebibyte)],
  ['unknown fields', repeated([0x78, 1], mebibyte)],
  ['a topic again and again in one envelope', field(1, repeated([0x0a, 0], mebibyte))],
]
test.each(swarms)('%s are many parts', (_, bytes) => {
  expect(problemOfFields(PublishRequestSchema, bytes)).toBe('too_large')
})

test.each([',', '[', '{'])('JSON with many %s is many parts', (mark) => {
  expect(problemOfMembers(Buffer.from(mark.repeat(16_384)))).toBeUndefined()
  expect(problemOfMembers(Buffer.from(mark.repeat(16_385)))).toBe('too_large')
})

test.each([
  ['what is no message', Buffer.from([0x0a, 0xff, 0xff])],
  ['a group, which hides what is in it', Buffer.from([0x7b, 0x78, 1, 0x7c])],
])('%s is malformed', (_, bytes) => {
  expect(problemOfFields(PublishRequestSchema, bytes)).toBe('malformed')
})

describe('over a socket', () => {
  let listener: Listener
  beforeAll(async () => {
    const routes = (router: ConnectRouter): void => {
      router.service(NodeService, { publish: () => ({}), query: () => ({}) })
    }
    listener = await listen({ host: '127.0.0.1', port: 0, routes })
  })
  afterAll(() => listener.close(0))

  const framed = (bytes: Uint8Array, flags: number): Buffer => {
    const prefix = Buffer.alloc(5)
    prefix.writeUInt8(flags)
    prefix.writeUInt32BE(bytes.length, 1)
    return Buffer.concat([prefix, bytes])
  }
  const ask = async (rpc: string, headers: Record<string, string>, body: Uint8Array) => {
    const response = await fetch(`${listener.url}/padlock.v1.NodeService/${rpc}`, {
      method: 'POST',
      headers,
      body: Uint8Array.from(body),
    })
    const text = await response.text()
    const [, detail = ''] = /(?:grpc-status-details-bin: |"value":")([\w+/=]+)/.exec(text) ?? []
    return { status: response.status, text, detail: Buffer.from(detail, 'base64') }
  }

  const swarm = repeated([0x0a, 0], 20 * mebibyte)
  const json = Buffer.from(`{"envelopes":[${'{},'.repeat(mebibyte)}{}]}`)
  const grpcWeb = 'application/grpc-web+proto'
  test.each<[string, Record<string, string>, Uint8Array]>([
    ['Connect', { 'content-type': 'application/proto' }, swarm],
    ['JSON', { 'content-type': 'application/json' }, json],
    ['gRPC-web', { 'content-type': grpcWeb }, framed(swarm, 0)],
  ])('%s is refused as too large', async (_, headers, body) => {
    const { text, detail } = await ask('Publish', headers, body)
    expect(text).toMatch(/grpc-status: 3\r|"code":"invalid_argument"/)
    if (text.startsWith('{')) expect(fromBinary(ErrorDetailSchema, detail).code).toBe('too_large')
    else expect(detail.toString('latin1')).toContain('too_large')
    expect(listener.bodyBytes).toBe(0)
  })

  test('the largest query goes through', async () => {
    const bytes = toBinary(QueryRequestSchema, largest)
    expect((await ask('Query', { 'content-type': 'application/proto' }, bytes)).status).toBe(200)
  })
})
