/** What inboxes forget with time, and what stays for ever. */
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { InProcessNode } from '../../../node/src/testing.ts'
import {
  dayNs,
  everything,
  inboxEnvelope,
  type NodeClient,
  nodeClient,
  register,
  revocation,
  secondNs,
  type TestClock,
  type TestInstallation,
  testClock,
} from '../support.ts'
import { openNode } from './store.ts'

const retentionNs = 60n * dayNs

let clock: TestClock
let node: InProcessNode
let client: NodeClient
let bob: TestInstallation

beforeEach(async () => {
  clock = testClock()
  node = await openNode({ clock, retentionNs })
  client = nodeClient(node.transport)
  bob = await register(client, 'bob', clock.nowNs)
})
afterEach(() => node.close())

const read = async (topic: string, afterSequence = 0n) =>
  (await node.store.page([{ topic, afterSequence }], everything)).envelopes

test('section 11: an inbox keeps its envelopes for the time announced, and its numbers for ever', async () => {
  const storedNs = clock.nowNs
  for (let n = 0; n < 3; n += 1)
    await client.publish({ envelopes: [inboxEnvelope(bob, `old ${n}`)] })
  clock.nowNs += 10n * dayNs
  await client.publish({ envelopes: [inboxEnvelope(bob, 'newer')] })

  clock.nowNs = storedNs + retentionNs - 1n
  await node.store.sweep()
  expect((await read(bob.inbox)).map(({ sequence }) => sequence)).toEqual([1n, 2n, 3n, 4n])
  clock.nowNs = storedNs + retentionNs + secondNs
  await node.store.sweep()
  expect((await read(bob.inbox)).map(({ sequence }) => sequence)).toEqual([4n])
  // The same bytes are news now, and nothing is numbered anew.
  const { receipts } = await client.publish({ envelopes: [inboxEnvelope(bob, 'old 0')] })
  expect(receipts[0]?.sequence).toBe(5n)
})

test('section 11: contact and revoked topics stay', async () => {
  const other = await register(client, 'other', clock.nowNs)
  await client.publish({ envelopes: [await revocation(other.account, [other])] })
  await client.publish({ envelopes: [inboxEnvelope(bob, 'a')] })
  clock.nowNs += 10n * retentionNs
  await client.publish({ envelopes: [inboxEnvelope(bob, 'b')] })
  await node.store.sweep()
  expect(await read(bob.inbox)).toHaveLength(1)
  expect(await read(`contact-${bob.account.address}`)).toHaveLength(1)
  expect(await read(`contact-${other.account.address}`)).toHaveLength(1)
  expect(await read(`revoked-${other.account.address}`)).toHaveLength(1)
})

test('section 11: thousands of old envelopes go in small steps, and publishing goes on between them', async () => {
  const batch = (from: number) =>
    Array.from({ length: 500 }, (_, n) => inboxEnvelope(bob, `${from + n}`, 128))
  for (let n = 0; n < 8; n += 1) await client.publish({ envelopes: batch(n * 500) })
  clock.nowNs += retentionNs + secondNs
  const order: string[] = []
  const sweeping = node.store.sweep().then(() => order.push('swept'))
  const publishing = client
    .publish({ envelopes: [inboxEnvelope(bob, 'meanwhile')] })
    .then(() => order.push('published'))
  await Promise.all([sweeping, publishing])
  expect(order).toEqual(['published', 'swept'])
  await node.store.sweep()
  const left = await read(bob.inbox)
  expect(left.at(-1)?.sequence).toBe(4001n)
  // The newest row of all may have been one of the old ones: it stays until something newer lies there.
  expect(left.length).toBeLessThanOrEqual(2)
})

test('section 11: a subscription that is behind what was forgotten gets what is left, once', async () => {
  await client.publish({ envelopes: [inboxEnvelope(bob, 'old')] })
  clock.nowNs += retentionNs + secondNs
  await client.publish({ envelopes: [inboxEnvelope(bob, 'new')] })
  await node.store.sweep()
  const { nodeId, nodeNs } = await client.getInfo({})
  const { envelopes } = await client.query({
    topics: [{ topic: bob.inbox, afterSequence: 0n }],
    proofs: [bob.proof(nodeId, nodeNs + 60n * secondNs)],
  })
  expect(envelopes.map(({ sequence }) => sequence)).toEqual([2n])
})
