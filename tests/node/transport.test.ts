/** A whole node over real sockets: three protocols on one port, CORS, and bytes that are no request. */
import { mkdtempSync, rmSync } from 'node:fs'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fromBinary } from '@bufbuild/protobuf'
import { Code, type Transport } from '@connectrpc/connect'
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from '@connectrpc/connect-node'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type RunningNode, startNode } from '../../node/src/node.ts'
import { freePort } from '../../scripts/free-port.ts'
import { ErrorDetailSchema } from '../../src/gen/padlock/v1/node_pb.ts'
import { readWhileOthersPublish } from './seam.ts'
import {
  inboxEnvelope,
  minuteNs,
  nodeClient,
  refusalOf,
  register,
  TestInstallation,
  TestStream,
  testAccount,
} from './support.ts'

let folder: string
let node: RunningNode
const start = async (data: string, port = 0) => startNode({ data, port, host: '127.0.0.1' })

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'padlock-node-'))
  node = await start(join(folder, 'data'))
})
afterAll(async () => {
  await node.close()
  rmSync(folder, { recursive: true })
})

const service = (rpc: string) => `${node.url}/padlock.v1.NodeService/${rpc}`
const rpcs = ['Publish', 'Query', 'Subscribe', 'ClaimPrekeys', 'GetInfo']

const transports: Record<string, () => Transport> = {
  'gRPC over HTTP/2': () => createGrpcTransport({ baseUrl: node.url }),
  'gRPC-web over HTTP/1.1': () => createGrpcWebTransport({ baseUrl: node.url, httpVersion: '1.1' }),
  'gRPC-web over HTTP/2': () => createGrpcWebTransport({ baseUrl: node.url, httpVersion: '2' }),
  'Connect over HTTP/1.1': () =>
    createConnectTransport({ baseUrl: node.url, httpVersion: '1.1', useBinaryFormat: false }),
  'Connect over HTTP/2': () => createConnectTransport({ baseUrl: node.url, httpVersion: '2' }),
}

describe.each(Object.keys(transports))('%s', (name) => {
  const client = () => {
    const transport = transports[name]
    if (transport === undefined) throw new Error('no such transport')
    return nodeClient(transport())
  }

  test('registers, publishes, reads and follows an inbox', async () => {
    const one = client()
    const { nodeId, nodeNs } = await one.getInfo({})
    expect(nodeId).toEqual(node.nodeId)
    const bob = await register(one, `bob by ${name}`, nodeNs)
    const proofs = [bob.proof(nodeId, nodeNs + 5n * minuteNs)]
    const topics = [{ topic: bob.inbox, afterSequence: 0n }]
    const large = inboxEnvelope(bob, 'large', 1024 * 1024)
    await one.publish({ envelopes: [inboxEnvelope(bob, 'a'), large] })
    expect((await one.query({ topics, proofs })).envelopes).toMatchObject([
      { sequence: 1n },
      { sequence: 2n, message: large.message },
    ])
    const stream = new TestStream(one, { topics, proofs })
    expect((await stream.nextOf('started')).nodeId).toEqual(node.nodeId)
    expect(await stream.envelopes(2)).toHaveLength(2)
    await stream.nextOf('caughtUp')
    await one.publish({ envelopes: [inboxEnvelope(bob, 'b')] })
    expect(await stream.envelopes(1)).toMatchObject([{ sequence: 3n }])
    stream.close()
  })

  test('a refusal arrives with its status, code and envelope', async () => {
    const nobody = new TestInstallation(testAccount('nobody'), 'nobody')
    const one = client()
    const { nodeNs } = await one.getInfo({})
    const bob = await register(one, `bob refused by ${name}`, nodeNs)
    const refused = one.publish({
      envelopes: [inboxEnvelope(bob, 'a'), inboxEnvelope(nobody, 'b')],
    })
    expect(await refusalOf(refused)).toMatchObject({
      code: 'recipient_gone',
      status: Code.FailedPrecondition,
      envelopeIndex: 1,
    })
    const stream = new TestStream(one, { topics: [{ topic: bob.inbox, afterSequence: 0n }] })
    expect(await stream.ending()).toMatchObject({
      code: 'bad_proof',
      status: Code.PermissionDenied,
    })
  })
})

test('nothing is missed or doubled over sockets, with the database on its own thread', () =>
  readWhileOthersPublish(nodeClient(createGrpcTransport({ baseUrl: node.url })), 200))

test('anyone with curl can ask: Connect is JSON by POST', async () => {
  const response = await fetch(service('GetInfo'), {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: '{}',
  })
  expect(response.status).toBe(200)
  const info: unknown = await response.json()
  expect(info).toMatchObject({ nodeId: Buffer.from(node.nodeId).toString('base64') })

  const refused = await fetch(service('Publish'), {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ envelopes: [{ topic: 'x', message: 'AA==' }] }),
  })
  expect(refused.status).toBe(400)
  const body: { code: string; details: { type: string; value: string }[] } = await refused.json()
  expect(body.code).toBe('invalid_argument')
  expect(body.details[0]?.type).toBe('padlock.v1.ErrorDetail')
  const detail = fromBinary(ErrorDetailSchema, Buffer.from(body.details[0]?.value ?? '', 'base64'))
  expect(detail.code).toBe('unknown_topic')
})

test('a browser may call from any origin, and see what gRPC-web puts in headers', async () => {
  const preflight = await fetch(service('Publish'), {
    method: 'OPTIONS',
    headers: {
      origin: 'https://app.example',
      'access-control-request-method': 'POST',
      'access-control-request-headers': 'content-type,x-grpc-web,x-user-agent,grpc-timeout',
    },
  })
  expect(preflight.status).toBe(204)
  expect(preflight.headers.get('access-control-allow-origin')).toBe('*')
  expect(preflight.headers.get('access-control-allow-methods')).toContain('POST')
  const allowed = preflight.headers.get('access-control-allow-headers')?.toLowerCase() ?? ''
  for (const name of ['content-type', 'x-grpc-web', 'x-user-agent', 'grpc-timeout']) {
    expect(allowed).toContain(name)
  }
  expect(Number(preflight.headers.get('access-control-max-age'))).toBeGreaterThan(0)

  const call = await fetch(service('GetInfo'), {
    method: 'POST',
    headers: { origin: 'https://app.example', 'content-type': 'application/json' },
    body: '{}',
  })
  expect(call.headers.get('access-control-allow-origin')).toBe('*')
  expect(call.headers.get('access-control-expose-headers')?.toLowerCase()).toContain('grpc-status')
  await call.body?.cancel()
})

describe('bytes that are no request', () => {
  const stillAnswers = async () => {
    const info = await nodeClient(createGrpcTransport({ baseUrl: node.url })).getInfo({})
    expect(info.nodeId).toEqual(node.nodeId)
  }
  // A linear congruential generator: the same garbage each time.
  const garbage = (length: number, seed: number) => {
    let state = seed
    return Uint8Array.from({ length }, () => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
      return state >>> 24
    })
  }
  /** What gRPC and gRPC-web put in front of a message: flags and length. */
  const framed = (bytes: Uint8Array) => {
    const frame = Buffer.alloc(5 + bytes.length)
    frame.writeUInt32BE(bytes.length, 1)
    frame.set(bytes, 5)
    return frame
  }

  test.each(rpcs)('%s answers garbage with a status, in every protocol', async (rpc) => {
    const types = [
      'application/json',
      'application/proto',
      'application/grpc-web+proto',
      'application/connect+proto',
      'application/connect+json',
      'text/plain',
    ]
    for (const [index, type] of types.entries()) {
      for (const length of [1, 5, 100, 10_000]) {
        for (const body of [garbage(length, index + length), framed(garbage(length, index))]) {
          const response = await fetch(service(rpc), {
            method: 'POST',
            headers: { 'content-type': type, 'connect-protocol-version': '1' },
            body,
            signal: AbortSignal.timeout(10_000),
          })
          // Whether by HTTP status or behind a 200, none of it is a failure of the node.
          expect(response.status).toBeLessThan(500)
          expect(await response.text()).not.toMatch(/internal|grpc-status: ?13/)
        }
      }
    }
    await stillAnswers()
  })

  test.each(['application/proto', 'application/json'])(
    'what is no %s is malformed',
    async (type) => {
      const response = await fetch(service('Publish'), {
        method: 'POST',
        headers: { 'content-type': type },
        body: Uint8Array.of(0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f),
      })
      const body: { code: string; details: { value: string }[] } = await response.json()
      expect(body.code).toBe('invalid_argument')
      const value = Buffer.from(body.details[0]?.value ?? '', 'base64')
      expect(fromBinary(ErrorDetailSchema, value).code).toBe('malformed')
    },
  )

  test.each(['application/grpc-web+proto', 'application/connect+proto'])(
    'what is no protobuf in %s is malformed',
    async (type) => {
      const response = await fetch(service(type.includes('grpc') ? 'Publish' : 'Subscribe'), {
        method: 'POST',
        headers: { 'content-type': type },
        body: framed(Uint8Array.of(0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f)),
      })
      const trailer = await response.text()
      expect(trailer).toMatch(/grpc-status: 3\r|"code":"invalid_argument"/)
      // The detail as base64: of a whole google.rpc.Status, or of the message alone.
      const detail = /(?:grpc-status-details-bin: |"value":")([\w+/=]+)/.exec(trailer)?.[1] ?? ''
      expect(Buffer.from(detail, 'base64').toString('latin1')).toContain('malformed')
    },
  )

  test('half of a character in JSON gets its answer, which does not repeat it', async () => {
    const response = await fetch(service('Publish'), {
      method: 'POST',
      headers: { 'content-type': 'application/grpc-web+json' },
      body: framed(Buffer.from('"\\ud800 secret"')),
    })
    const trailer = await response.text()
    expect(trailer).toMatch(/grpc-status: 3\r/)
    expect(trailer).not.toContain('secret')
  })

  test('a body over the limit is refused before it is read', async () => {
    const body = new Uint8Array(40 * 1024 * 1024)
    const refused = await fetch(service('Publish'), {
      method: 'POST',
      headers: { 'content-type': 'application/proto' },
      body,
    }).then(
      async (response) => ({ status: response.status, text: await response.text() }),
      // Cut while it was still sending.
      () => ({ status: 400, text: 'invalid_argument' }),
    )
    expect(refused.status).toBe(400)
    expect(refused.text).toContain('invalid_argument')
    await stillAnswers()
  })

  test.each<[string, string | Uint8Array]>([
    ['nothing at all', ''],
    ['half of the HTTP/2 preface', 'PRI * HT'],
    [
      'the preface and then garbage',
      'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx',
    ],
    ['no HTTP', garbage(1_000, 7)],
    ['a TLS hello', Uint8Array.of(0x16, 3, 1, 0, 5, 1, 0, 0, 1, 0)],
    ['a request without Host', 'POST /padlock.v1.NodeService/GetInfo HTTP/1.0\r\n\r\n'],
    [
      'a request with an impossible Host',
      'POST /padlock.v1.NodeService/GetInfo HTTP/1.1\r\nHost: a b%\r\n\r\n',
    ],
    [
      'a request for another host by URL',
      'POST http://[/padlock.v1.NodeService/GetInfo HTTP/1.1\r\nHost: a\r\n\r\n',
    ],
    [
      'a broken chunk',
      'POST /padlock.v1.NodeService/GetInfo HTTP/1.1\r\nHost: a\r\nContent-Type: application/proto\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n',
    ],
  ])('a connection that brings %s harms nobody', async (_, bytes) => {
    const { port } = new URL(node.url)
    await new Promise<void>((resolve, reject) => {
      const socket = net.connect(Number(port), '127.0.0.1', () => {
        socket.end(bytes)
      })
      socket.resume()
      socket.on('close', () => resolve())
      socket.on('error', (error) => {
        if ('code' in error && error.code === 'ECONNRESET') resolve()
        else reject(error)
      })
    })
    await stillAnswers()
  })
})

test('a taken port and data in use are each said in one sentence', async () => {
  const { port } = new URL(node.url)
  const other = start(join(folder, 'other'), Number(port))
  await expect(other).rejects.toThrow(
    `127.0.0.1:${port} is taken: stop what listens there, or choose another port.`,
  )
  await expect(start(join(folder, 'data'))).rejects.toThrow(/in use by another node/)
  // Nothing of the failed start is left: the folder can be used.
  const free = await start(join(folder, 'other'))
  await free.close()
})

test('stopping ends streams with a code, and the port is free again', async () => {
  const port = await freePort()
  const second = await start(join(folder, 'stopping'), port)
  const ends = [
    createGrpcTransport({ baseUrl: second.url }),
    createGrpcWebTransport({ baseUrl: second.url, httpVersion: '1.1' }),
  ].map(async (transport) => {
    const stream = new TestStream(nodeClient(transport), {})
    await stream.nextOf('caughtUp')
    return stream
  })
  const streams = await Promise.all(ends)
  const endings = Promise.all(streams.map((stream) => stream.ending()))
  const before = performance.now()
  await second.close()
  expect(performance.now() - before).toBeLessThan(4_000)
  for (const ending of await endings) expect(ending).toMatchObject({ code: 'unavailable' })
  const again = await start(join(folder, 'stopping'), port)
  expect(again.nodeId).toEqual(second.nodeId)
  await again.close()
})
