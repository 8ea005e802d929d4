/**
 * Answers that nobody reads: four strangers, each from an address of its own, ask for as much as they
 * may over windows of 0 bytes. What the node holds for them is bounded, and others are served.
 */
import { create, toBinary } from '@bufbuild/protobuf'
import { createGrpcTransport } from '@connectrpc/connect-node'
import { afterEach, expect, test } from 'vitest'
import { QueryRequestSchema, SubscribeRequestSchema } from '../../src/gen/padlock/v1/node_pb.ts'
import { inboxEnvelope, minuteNs, nodeClient, register, TestStream } from '../node/support.ts'
import { type FuzzNode, faultsInOutput, startFuzzNode } from './fuzz-node.ts'
import { Stranger } from './stranger.ts'

let node: FuzzNode
const open: { close(): void }[] = []
afterEach(async () => {
  for (const one of open.splice(0)) one.close()
  expect(faultsInOutput(node.output, [])).toEqual([])
  await node.close()
})

const mebibyte = 1024 * 1024
const from = (caller: number) => ({ 'x-forwarded-for': `203.0.113.${caller}` })

/** A node with four large envelopes in bob's inbox, and what asks for them. */
async function startWithLetters() {
  node = await startFuzzNode({ args: ['--limit-local', 'yes', '--trust-proxy', '1'] })
  const client = nodeClient(createGrpcTransport({ baseUrl: node.url }))
  const { nodeId, nodeNs } = await client.getInfo({})
  const bob = await register(client, 'bob', nodeNs)
  for (let n = 0; n < 4; n += 1) {
    const envelopes = [inboxEnvelope(bob, `letter ${n}`, mebibyte - 1024)]
    await client.publish({ envelopes })
  }
  const proofs = [bob.proof(nodeId, nodeNs + 5n * minuteNs)]
  const topics = [{ topic: bob.inbox, afterSequence: 0n }]
  return { client, request: { topics, proofs } }
}

const strangers = () =>
  Array.from({ length: 4 }, (_, n) => {
    const stranger = new Stranger(node.url, { initialWindowSize: 0 })
    open.push({ close: () => stranger.destroy() })
    return { stranger, headers: from(n + 1) }
  })

test('400 queries whose answers are not read hold a bounded part of them, and others are answered', async () => {
  const { client, request } = await startWithLetters()
  const query = toBinary(QueryRequestSchema, create(QueryRequestSchema, request))
  await client.query(request)
  const before = node.memory()
  for (const { stranger, headers } of strangers()) {
    for (let n = 0; n < 100; n += 1) stranger.open('Query', query, headers)
  }
  // Whoever reads is served before long, and again: what stands still makes room.
  for (let n = 0; n < 3; n += 1) {
    const { envelopes } = await client.query(request, { headers: from(99) })
    expect(envelopes).toHaveLength(4)
  }
  const after = node.memory()
  console.log(`400 unread queries: ${before} MiB, then ${after} MiB`)
  expect(after - before).toBeLessThan(700)
})

test('400 streams whose frames are not read hold a bounded part of them, and others are served', async () => {
  const { client, request } = await startWithLetters()
  const subscribe = toBinary(SubscribeRequestSchema, create(SubscribeRequestSchema, request))
  await client.query(request)
  const before = node.memory()
  for (const { stranger, headers } of strangers()) {
    for (let n = 0; n < 100; n += 1) stranger.open('Subscribe', subscribe, headers)
  }
  for (let n = 0; n < 3; n += 1) {
    const reader = new TestStream(client, request, { headers: from(99) })
    open.push(reader)
    expect(await reader.envelopes(4)).toHaveLength(4)
  }
  const after = node.memory()
  console.log(`400 unread streams: ${before} MiB, then ${after} MiB`)
  expect(after - before).toBeLessThan(700)
})
