/**
 * Connections that only cost a node: many silent ones, more than there are descriptors for, and
 * streams that nobody reads.
 */
import http2 from 'node:http2'
import net, { type Socket } from 'node:net'
import { create, toBinary } from '@bufbuild/protobuf'
import { createGrpcTransport } from '@connectrpc/connect-node'
import { afterEach, expect, test } from 'vitest'
import { SubscribeRequestSchema } from '../../src/gen/padlock/v1/node_pb.ts'
import {
  inboxEnvelope,
  minuteNs,
  nodeClient,
  readRefusal,
  register,
  TestStream,
} from '../node/support.ts'
import { frame, pathOf } from './calls.ts'
import { type FuzzNode, type FuzzNodeOptions, faultsInOutput, startFuzzNode } from './fuzz-node.ts'

const running = new Set<FuzzNode>()
const sockets = new Set<{ destroy(): void }>()
afterEach(async () => {
  for (const socket of sockets) socket.destroy()
  sockets.clear()
  for (const node of running) await node.close()
  running.clear()
})

async function start(options?: FuzzNodeOptions) {
  const node = await startFuzzNode(options)
  running.add(node)
  return { node, client: nodeClient(createGrpcTransport({ baseUrl: node.url })) }
}

/** A connection that says what it is told, and nothing more; resolves when open or refused. */
const open = (node: FuzzNode, first = ''): Promise<Socket> =>
  new Promise((resolve) => {
    const socket = net.connect(Number(new URL(node.url).port), '127.0.0.1')
    sockets.add(socket)
    socket.once('connect', () => socket.write(first, () => resolve(socket)))
    socket.on('error', () => resolve(socket))
    // What nobody listens to is not read: for these, that is the point.
    socket.resume()
  })

const openMany = async (node: FuzzNode, count: number, first?: string) => {
  for (let at = 0; at < count; at += 100) {
    await Promise.all(Array.from({ length: Math.min(100, count - at) }, () => open(node, first)))
  }
}

test.each([
  ['nothing', ''],
  ['half a preface of HTTP/2', 'PRI * HTT'],
  ['half a request', `POST ${pathOf('Publish')} HTTP/1.1\r\nHost: a\r\n`],
])('2,000 connections that say %s leave room and memory for others', async (_, first) => {
  const { node, client } = await start()
  await client.getInfo({})
  const before = node.memory()
  await openMany(node, 2_000, first)
  const { nodeNs } = await client.getInfo({})
  await register(client, 'bob', nodeNs)
  expect(node.memory() - before).toBeLessThan(160)
  expect(faultsInOutput(node.output, [])).toEqual([])
})

test('more connections than descriptors end neither the node nor what it stores', async () => {
  // A node keeps 128 of them for itself.
  const { node, client } = await start({ descriptors: 256 })
  const { nodeNs } = await client.getInfo({})
  const bob = await register(client, 'bob', nodeNs)
  await openMany(node, 400)
  expect(node.alive).toBe(true)
  // The caller that was there first is still served.
  await client.publish({ envelopes: [inboxEnvelope(bob, 'in between')] })
  for (const socket of sockets) socket.destroy()
  const later = nodeClient(createGrpcTransport({ baseUrl: node.url }))
  // The node hears of four hundred ends first.
  const answers = () =>
    later.getInfo({}).then(
      () => true,
      () => false,
    )
  await expect.poll(answers, { timeout: 60_000 }).toBe(true)
  await later.publish({ envelopes: [inboxEnvelope(bob, 'afterwards')] })
  expect(faultsInOutput(node.output, [])).toEqual([])
})

test('subscribers that never read hold a bounded part of what is published', {
  timeout: 300_000,
}, async () => {
  const { node, client } = await start()
  const { nodeId, nodeNs } = await client.getInfo({})
  const bob = await register(client, 'bob', nodeNs)
  const topics = [{ topic: bob.inbox, afterSequence: 0n }]
  const proofs = [bob.proof(nodeId, nodeNs + 5n * minuteNs)]
  const body = frame(
    toBinary(SubscribeRequestSchema, create(SubscribeRequestSchema, { topics, proofs })),
  )
  const mebibyte = 1024 * 1024
  const publish = async (count: number, name: string) => {
    for (let n = 0; n < count; n += 1) {
      const envelopes = Array.from({ length: 4 }, (_, m) =>
        inboxEnvelope(bob, `${name} ${n} ${m}`, mebibyte),
      )
      await client.publish({ envelopes })
    }
  }
  // What publishing alone costs is there before anything is measured.
  await publish(10, 'before')
  const head =
    `POST ${pathOf('Subscribe')} HTTP/1.1\r\nHost: a\r\nContent-Type: application/grpc-web+proto\r\n` +
    `Content-Length: ${body.length}\r\n\r\n`
  for (let n = 0; n < 4; n += 1) {
    const socket = await open(node, head)
    socket.pause()
    socket.write(body)
    const session = http2.connect(node.url)
    sockets.add(session)
    session.on('error', () => {})
    const stream = session.request({
      ':method': 'POST',
      ':path': pathOf('Subscribe'),
      'content-type': 'application/grpc+proto',
      te: 'trailers',
    })
    stream.on('error', () => {})
    stream.pause()
    stream.end(body)
  }
  let position = 40n
  const openReader = () =>
    new TestStream(client, { topics: [{ topic: bob.inbox, afterSequence: position }], proofs })
  let reader = openReader()
  await reader.nextOf('caughtUp')
  const before = node.memory()
  /** As clients do: on from the last number, if 160 MiB at once were too much for the live buffer. */
  const read = async (until: bigint): Promise<void> => {
    while (position < until) {
      try {
        for (const { sequence } of (await reader.nextOf('envelopes')).envelopes) {
          expect(sequence).toBe(position + 1n)
          position = sequence
        }
      } catch (error) {
        if (readRefusal(error).code !== 'slow_reader') throw error
        reader.close()
        reader = openReader()
      }
    }
  }
  // 160 MiB to nine readers, of whom one reads.
  await Promise.all([read(200n), publish(40, 'live')])
  expect(position).toBe(200n)
  reader.close()
  console.log(`never read: ${before} MiB, then ${node.memory()} MiB`)
  // Eight live buffers of 32 MiB share what they hold; more than that is held for nobody.
  expect(node.memory() - before).toBeLessThan(320)
  expect(node.alive).toBe(true)
  expect(faultsInOutput(node.output, [])).toEqual([])
})
