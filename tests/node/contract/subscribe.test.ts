/** Subscriptions: order of events, no gap and no double between catch-up and live, and their end. */
import { randomBytes } from 'node:crypto'
import { Code } from '@connectrpc/connect'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { InProcessNode, InProcessNodeOptions } from '../../../node/src/testing.ts'
import { envelopeLimitBytes, topicsLimit } from '../../../src/protocol/limits.ts'
import { until } from '../../support/until.ts'
import { readWhileOthersPublish } from '../seam.ts'
import {
  inboxEnvelope,
  minuteNs,
  type NodeClient,
  nodeClient,
  register,
  type TestClock,
  type TestInstallation,
  TestStream,
  testClock,
} from '../support.ts'
import { openNode } from './store.ts'

let clock: TestClock
let node: InProcessNode
let client: NodeClient
let bob: TestInstallation
const streams: TestStream[] = []

type Options = Omit<InProcessNodeOptions, 'clock'>
const start = async (options: Options = {}) => {
  clock = testClock()
  node = await openNode({ clock, ...options })
  client = nodeClient(node.transport)
  bob = await register(client, 'bob', clock.nowNs)
}
beforeEach(() => start())
afterEach(async () => {
  for (const stream of streams.splice(0)) stream.close()
  await node.close()
})

const proofOf = (one: TestInstallation) => one.proof(node.store.nodeId, clock.nowNs + 5n * minuteNs)
const open = (
  topics: { topic: string; afterSequence: bigint }[],
  owners: TestInstallation[] = [],
) => {
  const stream = new TestStream(client, { topics, proofs: owners.map(proofOf) })
  streams.push(stream)
  return stream
}
const openInbox = (after = 0n) => open([{ topic: bob.inbox, afterSequence: after }], [bob])

test('section 5: started, everything after the cursor, caught-up, then what is stored from then on', async () => {
  for (const name of ['a', 'b', 'c'])
    await client.publish({ envelopes: [inboxEnvelope(bob, name)] })
  const stream = openInbox(1n)
  expect(await stream.next()).toMatchObject({
    case: 'started',
    value: { nodeId: node.store.nodeId },
  })
  const caughtUpWith = await stream.next()
  expect(caughtUpWith).toMatchObject({
    case: 'envelopes',
    value: {
      envelopes: [{ sequence: 2n }, { sequence: 3n, message: inboxEnvelope(bob, 'c').message }],
    },
  })
  expect(await stream.next()).toMatchObject({ case: 'caughtUp' })
  await client.publish({ envelopes: [inboxEnvelope(bob, 'd'), inboxEnvelope(bob, 'e')] })
  const live = await stream.next()
  expect(live).toMatchObject({
    case: 'envelopes',
    value: { envelopes: [{ sequence: 4n }, { sequence: 5n, topic: bob.inbox }] },
  })
})

test('section 5: only the topics asked for arrive, and known bytes do not arrive again', async () => {
  const carol = await register(client, 'carol', clock.nowNs)
  const stream = openInbox()
  await stream.nextOf('caughtUp')
  await client.publish({ envelopes: [inboxEnvelope(carol, 'a')] })
  await client.publish({ envelopes: [inboxEnvelope(bob, 'b')] })
  await client.publish({ envelopes: [inboxEnvelope(bob, 'b'), inboxEnvelope(bob, 'c')] })
  const envelopes = await stream.envelopes(2)
  expect(envelopes.map(({ sequence, topic }) => [topic, sequence])).toEqual([
    [bob.inbox, 1n],
    [bob.inbox, 2n],
  ])
})

test('section 5: a bundle on a contact topic arrives at those who follow it', async () => {
  const topic = `contact-${bob.account.address}`
  const stream = open([{ topic, afterSequence: 1n }])
  await stream.nextOf('caughtUp')
  const bundle = await bob.bundle(clock.nowNs + 1n)
  await client.publish({ envelopes: [bundle] })
  expect(await stream.envelopes(1)).toMatchObject([
    { topic, sequence: 2n, message: bundle.message },
  ])
})

test('section 5: nothing is missed or doubled on 1,000 topics while others publish at full rate', () =>
  readWhileOthersPublish(client, 1_000))

test('section 5: a heartbeat with the node’s time comes when nothing else does, and when much does', async () => {
  await node.close()
  await start({ heartbeatMs: 20 })
  const stream = openInbox()
  await stream.nextOf('caughtUp')
  expect(await stream.next()).toMatchObject({ case: 'heartbeat', value: { nodeNs: clock.nowNs } })
  clock.nowNs += minuteNs
  let publishing = true
  const publisher = (async () => {
    for (let n = 0; publishing; n += 1)
      await client.publish({ envelopes: [inboxEnvelope(bob, `${n}`)] })
  })()
  expect((await stream.nextOf('heartbeat')).nodeNs).toBe(clock.nowNs)
  expect((await stream.nextOf('heartbeat')).nodeNs).toBe(clock.nowNs)
  publishing = false
  await publisher
})

test('section 5: a reader too slow for what is live is ended with slow_reader, and may come again', async () => {
  await node.close()
  await start({ liveLimit: { envelopes: 10, bytes: 1024 * 1024 } })
  const stream = openInbox()
  await stream.nextOf('caughtUp')
  for (let n = 0; n < 40; n += 1) await client.publish({ envelopes: [inboxEnvelope(bob, `${n}`)] })
  expect(await stream.ending()).toMatchObject({
    code: 'slow_reader',
    status: Code.ResourceExhausted,
  })
  await until(() => node.service.subscribers === 0)
  const again = openInbox()
  expect(await again.envelopes(40)).toHaveLength(40)
})

test('section 5: catch-up goes at the reader’s pace: what is stored meanwhile is read, however much', async () => {
  await node.close()
  await start({ liveLimit: { envelopes: 10, bytes: 1024 * 1024 } })
  const batch = (label: string) =>
    client.publish({
      envelopes: Array.from({ length: 500 }, (_, n) => inboxEnvelope(bob, `${label} ${n}`)),
    })
  await batch('first')
  await batch('second')
  const stream = openInbox()
  await stream.nextOf('started')
  await stream.nextOf('envelopes')
  // Fifty times the live buffer while it stands in the middle of catching up.
  await batch('third')
  expect(await stream.envelopes(1000)).toHaveLength(1000)
  await stream.nextOf('caughtUp')
  await client.publish({ envelopes: [inboxEnvelope(bob, 'live')] })
  expect(await stream.envelopes(1)).toMatchObject([{ sequence: 1501n }])
})

test('section 5: a reader that keeps up takes the largest request there is', async () => {
  const stream = openInbox()
  await stream.nextOf('caughtUp')
  const envelopes = Array.from({ length: 25 }, (_, n) =>
    inboxEnvelope(bob, `${n}`, envelopeLimitBytes),
  )
  await client.publish({ envelopes })
  let count = 0
  while (count < 25) {
    const frame = (await stream.nextOf('envelopes')).envelopes
    const bytes = frame.reduce((sum, { message }) => sum + message.length, 0)
    expect(bytes).toBeLessThanOrEqual(4 * 1024 * 1024)
    count += frame.length
  }
})

test('section 5: stock is reported after started, and on each claim that leaves less than 25', async () => {
  const topics = [{ topic: `prekey-${bob.id}`, afterSequence: 0n }]
  const createdNs = clock.nowNs
  const before = open(topics, [bob])
  await before.nextOf('started')
  expect(await before.next()).toMatchObject({
    case: 'prekeyStock',
    value: { installationId: bob.id, oneTimeLeft: 0, newestCreatedNs: 0n },
  })
  await client.publish({ envelopes: [bob.upload({ createdNs, oneTime: 27, fallback: true })] })
  const stream = open([...topics, { topic: bob.inbox, afterSequence: 0n }], [bob])
  expect(await stream.nextOf('prekeyStock')).toMatchObject({
    installationId: bob.id,
    oneTimeLeft: 27,
    newestCreatedNs: createdNs,
  })
  await stream.nextOf('caughtUp')
  const claim = () => client.claimPrekeys({ claimId: randomBytes(16), installationIds: [bob.id] })
  await claim()
  await claim()
  // 25 are left: no notice, or it would come before this.
  await client.publish({ envelopes: [inboxEnvelope(bob, 'a')] })
  expect(await stream.next()).toMatchObject({ case: 'envelopes' })
  await claim()
  expect(await stream.next()).toMatchObject({ case: 'prekeyStock', value: { oneTimeLeft: 24 } })
  await claim()
  expect(await stream.next()).toMatchObject({ case: 'prekeyStock', value: { oneTimeLeft: 23 } })
})

test('section 5: an inbox or a stock without proof, too many topics or a topic twice open no stream', async () => {
  const ending = (...args: Parameters<typeof open>) => open(...args).ending()
  const inbox = { topic: bob.inbox, afterSequence: 0n }
  const refused = { code: 'bad_proof', status: Code.PermissionDenied }
  expect(await ending([inbox])).toMatchObject(refused)
  expect(await ending([{ ...inbox, topic: `prekey-${bob.id}` }])).toMatchObject(refused)
  expect(await ending([inbox, inbox], [bob])).toMatchObject({ code: 'malformed' })
  expect(await ending([{ ...inbox, topic: 'x' }])).toMatchObject({ code: 'unknown_topic' })
  const many = Array.from({ length: topicsLimit + 1 }, (_, n) => ({
    topic: `contact-0x${n.toString(16).padStart(40, '0')}`,
    afterSequence: 0n,
  }))
  expect(await ending(many)).toMatchObject({ code: 'too_large' })
  const most = open(many.slice(0, topicsLimit))
  await most.nextOf('caughtUp')
  expect(node.service.subscribers).toBe(1)
})

test('section 5: a reader that leaves is forgotten, and a node that stops says so', async () => {
  const leaving = openInbox()
  await leaving.nextOf('caughtUp')
  const staying = openInbox()
  await staying.nextOf('caughtUp')
  leaving.close()
  await until(() => node.service.subscribers === 1)
  node.service.close()
  expect(await staying.ending()).toMatchObject({ code: 'unavailable', status: Code.Unavailable })
  expect(await openInbox().ending()).toMatchObject({ code: 'unavailable' })
})
