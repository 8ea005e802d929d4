import type http2 from 'node:http2'
import { Code, ConnectError, createClient } from '@connectrpc/connect'
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from '@connectrpc/connect-node'
import { describe, expect, test } from 'vitest'
import { NodeService } from '../../src/gen/padlock/v1/node_pb.ts'
import { http2Session, start, until } from './held-node.ts'
import { readRefusal, refusalOf } from './support.ts'

describe('bodies in memory', () => {
  const mebibyte = 1024 * 1024
  const limits = { bodyBytes: 4 * mebibyte }
  const envelopes = [{ topic: 'x', message: new Uint8Array(3 * mebibyte) }]
  const transports = {
    gRPC: createGrpcTransport,
    'gRPC-web': (options: { baseUrl: string }) =>
      createGrpcWebTransport({ ...options, httpVersion: '1.1' }),
    Connect: (options: { baseUrl: string }) =>
      createConnectTransport({ ...options, httpVersion: '1.1' }),
  }

  test.each(Object.entries(transports))(
    'what does not fit is refused by %s, to be tried again, and fits later',
    async (_, transport) => {
      const node = await start({ limits })
      const client = createClient(NodeService, transport({ baseUrl: node.url }))
      node.hold()
      const first = client.publish({ envelopes })
      await until(() => node.held() === 1)
      expect(node.listener.bodyBytes).toBeGreaterThanOrEqual(3 * mebibyte)
      expect(await refusalOf(client.publish({ envelopes }))).toEqual({
        status: Code.ResourceExhausted,
        code: 'rate_limited',
        envelopeIndex: 0,
        retryAfterMs: 1_000n,
      })
      node.release()
      await first
      await until(() => node.listener.bodyBytes === 0)
      await client.publish({ envelopes })
    },
  )

  test('one caller has a quarter, so that others have room', async () => {
    const node = await start({ limits, exempt: () => false })
    const client = createClient(NodeService, createGrpcTransport({ baseUrl: node.url }))
    expect(await refusalOf(client.publish({ envelopes }))).toMatchObject({ code: 'rate_limited' })
    const small = [{ topic: 'x', message: new Uint8Array(mebibyte / 2) }]
    await client.publish({ envelopes: small })
  })

  test('a subscription holds none of it, however long it stays', async () => {
    const node = await start({ limits })
    const client = createClient(NodeService, createGrpcTransport({ baseUrl: node.url }))
    const abort = new AbortController()
    const topics = Array.from({ length: 1_000 }, (_, n) => ({ topic: `message-${n}` }))
    const stream = client.subscribe({ topics }, { signal: abort.signal })[Symbol.asyncIterator]()
    await stream.next()
    expect(node.listener.bodyBytes).toBe(0)
    abort.abort()
    await stream.next().catch((error: unknown) => {
      expect(readRefusal(error).status).toBe(Code.Canceled)
      expect(ConnectError.from(error).code).toBe(Code.Canceled)
    })
  })
})

test('requests that are refused unread do not use up their connection', async () => {
  const { url } = await start()
  const session = await http2Session(url)
  const headers = {
    ':method': 'POST',
    ':path': '/padlock.v1.NodeService/Publish',
    'content-type': 'text/plain',
  }
  const body = Buffer.alloc(100_000)
  /** How it was answered; a reset that is not for this request alone ends the test. */
  const post = (of: http2.OutgoingHttpHeaders, what: Buffer) =>
    new Promise<number>((resolve, reject) => {
      const stream = session.request(of)
      let status = 0
      stream.once('response', (answer) => {
        status = Number(answer[':status'])
      })
      stream.once('error', reject)
      stream.once('close', () => resolve(status))
      stream.resume()
      stream.end(what)
    })
  for (let sent = 0; sent < 2_400; sent += 8) {
    const answers = Array.from({ length: 8 }, () => post(headers, body))
    for (const answer of await Promise.allSettled(answers)) {
      if (answer.status === 'rejected') {
        expect(String(answer.reason)).not.toContain('ENHANCE_YOUR_CALM')
      }
    }
  }
  const info = { ...headers, ':path': '/padlock.v1.NodeService/GetInfo' }
  expect(await post({ ...info, 'content-type': 'application/json' }, Buffer.from('{}'))).toBe(200)
})
