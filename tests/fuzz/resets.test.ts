/** Cancelled requests on one connection of HTTP/2: behind a proxy it is shared by many callers. */
import { once } from 'node:events'
import http2 from 'node:http2'
import { create, toBinary } from '@bufbuild/protobuf'
import { afterEach, expect, test } from 'vitest'
import { GetInfoRequestSchema, SubscribeRequestSchema } from '../../src/gen/padlock/v1/node_pb.ts'
import { type FuzzNode, faultsInOutput, startFuzzNode } from './fuzz-node.ts'
import { Stranger } from './stranger.ts'

let node: FuzzNode
let connection: Stranger
afterEach(async () => {
  connection.destroy()
  expect(faultsInOutput(node.output, [])).toEqual([])
  await node.close()
})

const info = toBinary(GetInfoRequestSchema, create(GetInfoRequestSchema))
const nothing = toBinary(SubscribeRequestSchema, create(SubscribeRequestSchema))

async function start(...args: string[]) {
  node = await startFuzzNode({ args: ['--limit-local', 'yes', ...args] })
  connection = new Stranger(node.url)
  await once(connection.session, 'connect')
}

/** Opens so many requests, from this address, and cancels each as soon as it is out. */
async function cancel(count: number, from: string): Promise<void> {
  for (let n = 0; n < count && !connection.session.closed; n += 1) {
    const stream = connection.open('GetInfo', info, { 'x-forwarded-for': from })
    stream.close(http2.constants.NGHTTP2_CANCEL)
    await new Promise((resolve) => stream.once('close', resolve))
  }
}

/** A subscription with its first frame read. */
async function subscribe(from: string): Promise<http2.ClientHttp2Stream> {
  const stream = connection.open('Subscribe', nothing, { 'x-forwarded-for': from })
  await once(stream, 'data')
  return stream
}

test('on the connection of a trusted proxy 2,700 cancelled requests of one caller end nothing of another', async () => {
  await start('--trust-proxy', '1')
  const healthy = await subscribe('203.0.113.9')
  await cancel(2_700, '203.0.113.1')
  expect(connection.session.closed).toBe(false)
  // What was opened while the cancelled ones were still there may have to be sent again.
  const answers = async () =>
    (await connection.ask('GetInfo', info, { 'x-forwarded-for': '203.0.113.9' })).grpcStatus
  await expect.poll(answers, { timeout: 30_000 }).toBe(0)
  expect(healthy.closed).toBe(false)
})

test('on a connection of its own a caller that cancels that much loses it', async () => {
  await start()
  await subscribe('203.0.113.9')
  const closed = new Promise((resolve) => connection.session.once('close', resolve))
  await cancel(2_700, '203.0.113.1')
  await closed
})
