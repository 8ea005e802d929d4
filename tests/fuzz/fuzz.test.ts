/**
 * Three thousand good and bad requests over real sockets to a node in its own process. The long run
 * is `node scripts/fuzz.ts`; PADLOCK_SEED chooses other requests.
 */
import { createGrpcTransport } from '@connectrpc/connect-node'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { inboxEnvelope, nodeClient, register } from '../node/support.ts'
import { aDatabase } from '../support/postgres.ts'
import { runSeed, seededRandom } from '../support/random.ts'
import { faultOf, readOutcome } from './answers.ts'
import { Campaign } from './campaign.ts'
import { type FuzzNode, faultsInOutput, startFuzzNode } from './fuzz-node.ts'
import { swarmCalls } from './limits.ts'
import { canary, FuzzWorld } from './samples.ts'
import { openWire } from './transports.ts'

const seed = runSeed()
let node: FuzzNode

beforeAll(async () => {
  node = await startFuzzNode()
})
afterAll(() => node.close())

const works = async (name: string) => {
  const client = nodeClient(createGrpcTransport({ baseUrl: node.url }))
  const { nodeNs } = await client.getInfo({})
  const bob = await register(client, name, nodeNs)
  const { receipts } = await client.publish({ envelopes: [inboxEnvelope(bob, 'hello')] })
  expect(receipts).toMatchObject([{ sequence: 1n }])
}

test('each of 3,000 requests, good and bad, gets its answer, and nothing refused is stored', {
  timeout: 300_000,
}, async () => {
  const campaign = await Campaign.begin(node, seed)
  try {
    // The first third brings the process to the size that it works in.
    await campaign.run({ first: 0, requests: 1_000, concurrency: 12 })
    const warm = await node.held()
    const rate = await campaign.run({ first: 1_000, requests: 2_000, concurrency: 12 })
    const held = await node.held()
    const { stored } = await campaign.compare()
    console.log(
      `seed ${seed}: ${Math.round(rate)} requests/s, ${stored} stored, ${warm} MiB held, then ${held} MiB`,
    )
    expect(campaign.faults).toEqual([])
    // The harness would prove nothing if it only ever sent one kind of request.
    for (const ending of ['success', 'refused: malformed', 'refused: too_large', 'HTTP 404']) {
      expect(campaign.endings.get(ending), ending).toBeGreaterThan(5)
    }
    expect(stored).toBeGreaterThan(500)
    expect(held).toBeLessThan(warm + 32)
  } finally {
    campaign.close()
  }
  expect(faultsInOutput(node.output, [canary])).toEqual([])
  await works('after bad input')
})

test('the same on PostgreSQL', { timeout: 300_000 }, async () => {
  const other = await startFuzzNode({ database: await aDatabase() })
  const campaign = await Campaign.begin(other, seed)
  try {
    await campaign.run({ first: 0, requests: 300, concurrency: 12 })
    const warm = await other.held()
    await campaign.run({ first: 300, requests: 400, concurrency: 12 })
    const held = await other.held()
    const { stored } = await campaign.compare()
    console.log(`${stored} stored on PostgreSQL, ${warm} MiB held, then ${held} MiB`)
    expect(campaign.faults).toEqual([])
    expect(stored).toBeGreaterThan(100)
    expect(held).toBeLessThan(warm + 32)
  } finally {
    campaign.close()
    await other.close()
  }
  expect(faultsInOutput(other.output, [canary])).toEqual([])
})

test('a request of a million parts is refused and costs little', {
  timeout: 300_000,
}, async () => {
  const client = nodeClient(createGrpcTransport({ baseUrl: node.url }))
  const { nodeId, nodeNs } = await client.getInfo({})
  const world = new FuzzWorld(seed, nodeId, nodeNs)
  const wire = openWire(node.url)
  const before = node.memory()
  const costs: string[] = []
  for (const call of swarmCalls(world, seededRandom(seed), 30)) {
    const what = `${call.rpc}, ${call.carrier.name}, ${call.what}`
    // Not by the clock, which runs on while others have the processor.
    const busyBefore = node.busyMs()
    const answer = await wire.send(call)
    const ms = node.busyMs() - busyBefore
    const growth = node.memory() - before
    expect(faultOf(call, readOutcome(call.rpc, answer)), what).toBeUndefined()
    if (ms > 2_000 || growth > 256) costs.push(`${what}: ${ms} ms, ${growth} MiB`)
  }
  wire.close()
  expect(costs).toEqual([])
  await works('after swarms')
})
