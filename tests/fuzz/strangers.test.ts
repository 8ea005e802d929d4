/**
 * What strangers cause in a node is bounded in memory, also when they do it many times at once. The
 * nodes limit callers on their own machine too: these tests are no exempt ones.
 */
import { gzipSync } from 'node:zlib'
import { create, toBinary } from '@bufbuild/protobuf'
import { Code } from '@connectrpc/connect'
import { createGrpcTransport } from '@connectrpc/connect-node'
import { afterEach, expect, test } from 'vitest'
import {
  ClaimPrekeysRequestSchema,
  PublishRequestSchema,
} from '../../src/gen/padlock/v1/node_pb.ts'
import {
  inboxEnvelope,
  nodeClient,
  readRefusal,
  register,
  TestInstallation,
  testAccount,
} from '../node/support.ts'
import { type FuzzNode, faultsInOutput, startFuzzNode } from './fuzz-node.ts'
import { peakDuring, Stranger } from './stranger.ts'

const running = new Set<FuzzNode>()
const strangers = new Set<Stranger>()
afterEach(async () => {
  for (const one of strangers) one.destroy()
  strangers.clear()
  for (const node of running) {
    expect(faultsInOutput(node.output, [])).toEqual([])
    await node.close()
  }
  running.clear()
})

async function start(...args: string[]) {
  const node = await startFuzzNode({ args: ['--limit-local', 'yes', ...args] })
  running.add(node)
  return { node, client: nodeClient(createGrpcTransport({ baseUrl: node.url })) }
}

function aStranger(node: FuzzNode, settings?: ConstructorParameters<typeof Stranger>[1]) {
  const stranger = new Stranger(node.url, settings)
  strangers.add(stranger)
  return stranger
}

test('48 bodies of some kilobytes that inflate to 34 MiB each take no memory', async () => {
  const { node, client } = await start()
  await client.getInfo({})
  const bomb = gzipSync(new Uint8Array(34 << 20))
  const stranger = aStranger(node)
  const before = node.memory()
  const asking = Array.from({ length: 48 }, () =>
    stranger.ask('Publish', bomb, { 'grpc-encoding': 'gzip' }, 1),
  )
  const { result, peak } = await peakDuring(node.memory, Promise.all(asking))
  expect(peak - before).toBeLessThan(64)
  for (const { grpcStatus } of result) expect(grpcStatus).toBe(Code.Unimplemented)
  await client.getInfo({})
})

test('who claims the keys of everybody again and again is refused, and others are served meanwhile', async () => {
  const { node, client } = await start()
  const { nodeNs } = await client.getInfo({})
  const bob = await register(client, 'bob', nodeNs)
  const upload = bob.upload({ createdNs: nodeNs, oneTime: 0, fallback: true })
  await client.publish({ envelopes: [upload] })
  const installationIds = Array<string>(200).fill(bob.id)
  const claim = (n: number) => {
    const claimId = Buffer.alloc(16)
    claimId.writeUInt32BE(n)
    return toBinary(
      ClaimPrekeysRequestSchema,
      create(ClaimPrekeysRequestSchema, { claimId, installationIds }),
    )
  }
  const stranger = aStranger(node)
  const asking = Array.from({ length: 400 }, (_, n) => stranger.ask('ClaimPrekeys', claim(n)))
  const startedMs = performance.now()
  await client.publish({ envelopes: [inboxEnvelope(bob, 'meanwhile')] })
  const waitedMs = performance.now() - startedMs
  const statuses = (await Promise.all(asking)).map(({ grpcStatus }) => grpcStatus)
  console.log(`a publish waited ${Math.round(waitedMs)} ms beside 400 claims of 200`)
  // 50,000 at once, and some that came back while they were asked for.
  const served = statuses.filter((status) => status === 0).length
  expect(served).toBeGreaterThanOrEqual(250)
  expect(served).toBeLessThan(260)
  expect(statuses.filter((status) => status === Code.ResourceExhausted)).toHaveLength(400 - served)
})

test('requests full of signatures whose last one is wrong are checked a few times, not for ever', async () => {
  const { node, client } = await start('--trust-proxy', '1')
  const { nodeNs } = await client.getInfo({})
  const bob = await register(client, 'bob', nodeNs)
  const account = testAccount('mallory')
  const envelopes = []
  for (let n = 0; n < 99; n += 1) {
    envelopes.push(await new TestInstallation(account, `m${n}`).bundle(nodeNs))
  }
  const bad = { topic: 'contact-0x0', message: new Uint8Array(1) }
  const request = toBinary(
    PublishRequestSchema,
    create(PublishRequestSchema, { envelopes: [...envelopes, bad] }),
  )
  const stranger = aStranger(node)
  const headers = { 'x-forwarded-for': '203.0.113.1' }
  const asking = Array.from({ length: 48 }, () => stranger.ask('Publish', request, headers))
  const startedMs = performance.now()
  await client.publish({ envelopes: [inboxEnvelope(bob, 'meanwhile')] })
  console.log(
    `a publish waited ${Math.round(performance.now() - startedMs)} ms beside 48 requests of 100 grants`,
  )
  const statuses = (await Promise.all(asking)).map(({ grpcStatus }) => grpcStatus)
  const checked = statuses.filter((status) => status === Code.InvalidArgument).length
  expect(checked).toBeGreaterThan(0)
  // 500 at once, and some that came back meanwhile.
  expect(checked).toBeLessThanOrEqual(7)
  expect(statuses.filter((status) => status === Code.ResourceExhausted)).toHaveLength(48 - checked)
})

test('a proxy on this machine that nobody told the node about has limits, and so has who says to be this machine', async () => {
  const node = await startFuzzNode({
    args: ['--rate', 'requests-burst=50', '--rate', 'requests-per-second=5', '--trust-proxy', '1'],
  })
  running.add(node)
  const client = nodeClient(createGrpcTransport({ baseUrl: node.url }))
  for (const headers of [
    { 'x-forwarded-for': '127.0.0.1' },
    { 'x-forwarded-for': '' },
    { forwarded: 'for=192.0.2.1' },
  ]) {
    const calls = Array.from({ length: 300 }, () => refusedWith(client.getInfo({}, { headers })))
    const refused = (await Promise.all(calls)).filter((code) => code === 'rate_limited')
    expect(refused.length).toBeGreaterThan(150)
  }
  // The operator is not among them.
  for (let n = 0; n < 300; n += 1) await client.getInfo({})
})

test('an inbox that a crowd floods still takes what others write to it', async () => {
  const { node, client } = await start(
    '--trust-proxy',
    '1',
    '--rate',
    'inbox-envelopes-burst=3000',
    '--rate',
    'inbox-envelopes-per-second=1',
  )
  const { nodeNs } = await client.getInfo({})
  const bob = await register(client, 'bob', nodeNs)
  const flood = (caller: number) =>
    Array.from({ length: 20 }, (_, n) => {
      const envelopes = Array.from({ length: 100 }, (_, at) =>
        inboxEnvelope(bob, `${caller} ${n} ${at}`),
      )
      return aStranger(node).ask(
        'Publish',
        toBinary(PublishRequestSchema, create(PublishRequestSchema, { envelopes })),
        { 'x-forwarded-for': `203.0.113.${caller}` },
      )
    })
  const flooding = await Promise.all([1, 2, 3, 4].flatMap(flood))
  const refused = flooding.filter(({ grpcStatus }) => grpcStatus === Code.ResourceExhausted)
  expect(refused.length).toBeGreaterThan(20)
  const headers = { 'x-forwarded-for': '198.51.100.1' }
  for (let n = 0; n < 40; n += 1) {
    await client.publish({ envelopes: [inboxEnvelope(bob, `honest ${n}`)] }, { headers })
  }
})

const refusedWith = (call: Promise<unknown>) =>
  call.then(
    () => undefined,
    (error: unknown) => readRefusal(error).code,
  )
