/** Rate limits through a node and its sockets: who asks too much waits as long as it is told, and nobody else notices. */
import { randomBytes } from 'node:crypto'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { Code, createContextValues } from '@connectrpc/connect'
import { connectNodeAdapter, createConnectTransport } from '@connectrpc/connect-node'
import { afterEach, expect, test } from 'vitest'
import type { Chains } from '../../node/src/chains/chains.ts'
import type { RateLimits } from '../../node/src/limits/rate-limits.ts'
import { callerKey } from '../../node/src/server/caller.ts'
import { createInProcessNode, type InProcessNode } from '../../node/src/testing.ts'
import { until } from '../support/until.ts'
import {
  inboxEnvelope,
  minuteNs,
  type NodeClient,
  nodeClient,
  refusalOf,
  register,
  TestInstallation,
  TestStream,
  testAccount,
  testClock,
} from './support.ts'
import { hourMs, limitsOf, testTime } from './turned-limits.ts'

let close = async (): Promise<void> => {}
afterEach(() => close())

/** A node where who calls stands in a header. */
interface Served {
  readonly node: InProcessNode
  readonly as: (caller: string) => NodeClient
}

async function serve(limits: RateLimits | undefined, chains?: Chains): Promise<Served> {
  const clock = testClock()
  const node = createInProcessNode({ clock, ...(limits && { limits }), ...(chains && { chains }) })
  const handler = connectNodeAdapter({
    routes: node.service.routes,
    contextValues: ({ headers }) =>
      createContextValues().set(callerKey, String(headers['x-test-caller'])),
  })
  const server = http.createServer(handler)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  close = async () => {
    await node.close()
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  }
  const as = (caller: string) =>
    nodeClient(
      createConnectTransport({
        baseUrl: `http://127.0.0.1:${port}`,
        httpVersion: '1.1',
        interceptors: [
          (next) => (request) => {
            request.header.set('x-test-caller', caller)
            return next(request)
          },
        ],
      }),
    )
  return { node, as }
}

const retryOf = async (call: Promise<unknown>): Promise<number> => {
  const refused = await refusalOf(call)
  expect(refused).toMatchObject({ code: 'rate_limited', status: Code.ResourceExhausted })
  return Number(refused.retryAfterMs)
}

test('past its requests a caller is refused with the time to wait, and only that caller', async () => {
  const time = testTime()
  const { as } = await serve(limitsOf({ requestsPerSecond: 2, requestsBurst: 3 }, time))
  const abuser = as('abuser')
  for (let n = 0; n < 3; n += 1) await abuser.getInfo({})
  const waitMs = await retryOf(abuser.getInfo({}))
  expect(waitMs).toBe(500)
  expect(await retryOf(abuser.query({}))).toBe(500)
  const stream = new TestStream(abuser, {})
  expect(await stream.ending()).toMatchObject({ code: 'rate_limited', retryAfterMs: 500n })
  await as('friend').getInfo({})
  time.nowMs += waitMs
  await abuser.getInfo({})
})

test('past its bytes, its envelopes or those of an inbox nothing of a request is stored', async () => {
  const time = testTime()
  const limits = limitsOf(
    {
      publishedBytesPerSecond: 1_000,
      publishedBytesBurst: 6_000,
      callerInboxEnvelopesPerSecond: 1,
      callerInboxEnvelopesBurst: 2,
    },
    time,
  )
  const { node, as } = await serve(limits)
  const bob = await register(nodeClient(node.transport), 'bob', node.clock())
  const carol = await register(nodeClient(node.transport), 'carol', node.clock())
  time.nowMs += hourMs
  const alice = as('alice')
  const stored = async (owner: TestInstallation) => {
    const proofs = [owner.proof(node.store.nodeId, node.clock() + 5n * minuteNs)]
    const topics = [{ topic: owner.inbox, afterSequence: 0n }]
    return (await alice.query({ topics, proofs })).envelopes.length
  }
  await alice.publish({ envelopes: [inboxEnvelope(bob, 'a'), inboxEnvelope(bob, 'b')] })
  const third = { envelopes: [inboxEnvelope(carol, 'c'), inboxEnvelope(bob, 'c')] }
  const refused = await refusalOf(alice.publish(third))
  expect(refused).toMatchObject({ code: 'rate_limited', envelopeIndex: 1, retryAfterMs: 1_000n })
  expect([await stored(bob), await stored(carol)]).toEqual([2, 0])
  time.nowMs += 1_000
  await alice.publish(third)
  expect([await stored(bob), await stored(carol)]).toEqual([3, 1])

  const large = { envelopes: [inboxEnvelope(carol, 'large', 6_000)] }
  const waitMs = await retryOf(alice.publish(large))
  expect(await stored(carol)).toBe(1)
  await as('friend').publish({ envelopes: [inboxEnvelope(carol, 'friend')] })
  time.nowMs += waitMs
  await alice.publish(large)
  expect(await stored(carol)).toBe(3)
  // What is refused for its form is so before anything is counted.
  expect(await refusalOf(alice.publish({}))).toMatchObject({ code: 'malformed' })
})

test('past its queries a caller waits, and a query of many topics counts for several', async () => {
  const time = testTime()
  const { as } = await serve(limitsOf({ queriesPerSecond: 10, queriesBurst: 12 }, time))
  const topicsOf = (count: number) =>
    Array.from({ length: count }, (_, n) => ({
      topic: `contact-0x${n.toString(16).padStart(40, '0')}`,
      afterSequence: 0n,
    }))
  const alice = as('alice')
  await alice.query({ topics: topicsOf(1_000) })
  await alice.query({ topics: topicsOf(101) })
  const waitMs = await retryOf(alice.query({ topics: topicsOf(1) }))
  expect(waitMs).toBe(100)
  await as('friend').query({ topics: topicsOf(1) })
  time.nowMs += waitMs
  await alice.query({ topics: topicsOf(100) })
})

test('a caller has so many subscriptions at a time; one that it leaves makes room for another', async () => {
  const { node, as } = await serve(limitsOf({ openStreams: 2 }, testTime()))
  const alice = as('alice')
  const streams = [new TestStream(alice, {}), new TestStream(alice, {})]
  for (const stream of streams) await stream.nextOf('caughtUp')
  const third = new TestStream(alice, {})
  expect(await third.ending()).toMatchObject({ code: 'rate_limited', retryAfterMs: 5_000n })
  const friend = new TestStream(as('friend'), {})
  await friend.nextOf('caughtUp')
  streams[0]?.close()
  await until(() => node.service.subscribers === 2)
  const fourth = new TestStream(alice, {})
  await fourth.nextOf('caughtUp')
  for (const stream of [...streams, friend, fourth]) stream.close()
})

test('past the limit of claims the stock stays as it is, the fallback is served, a retry gets its key', async () => {
  const time = testTime()
  const limits = limitsOf({ callerTargetClaimsPerHour: 1, callerTargetClaimsBurst: 1 }, time)
  const { node, as } = await serve(limits)
  const direct = nodeClient(node.transport)
  const bob = await register(direct, 'bob', node.clock())
  const carol = await register(direct, 'carol', node.clock())
  const createdNs = node.clock()
  for (const who of [bob, carol]) {
    await direct.publish({ envelopes: [who.upload({ createdNs, oneTime: 5, fallback: true })] })
  }
  const claim = async (caller: string, claimId: Uint8Array, of: readonly TestInstallation[]) => {
    const ids = of.map((one) => one.id)
    const { claimed } = await as(caller).claimPrekeys({ claimId, installationIds: ids })
    return claimed.map(({ prekey }) => prekey)
  }
  const oneTime = 1
  const fallback = 2
  const first = randomBytes(16)
  const [given] = await claim('alice', first, [bob])
  expect(given?.kind).toBe(oneTime)
  const second = randomBytes(16)
  const both = await claim('alice', second, [bob, carol])
  expect(both.map((prekey) => prekey?.kind)).toEqual([fallback, oneTime])
  expect((await node.store.stock(bob.id)).oneTimeLeft).toBe(4)
  // Sent again: the same keys, whatever the limits say by now.
  expect(await claim('alice', first, [bob])).toEqual([given])
  expect(await claim('alice', second, [bob, carol])).toEqual(both)
  // In another list the limits do not know it, and the store gives what it remembers all the same.
  expect(await claim('alice', first, [bob, carol])).toMatchObject([given, { kind: fallback }])
  expect((await node.store.stock(bob.id)).oneTimeLeft).toBe(4)
  expect(await claim('friend', randomBytes(16), [bob])).toMatchObject([{ kind: oneTime }])
})

test('past its questions to chains a caller waits, and nothing is asked or stored', async () => {
  let asked = 0
  const chains: Chains = {
    ids: [1n],
    verify: async () => {
      asked += 1
      return 'valid'
    },
    close() {},
  }
  const limits = limitsOf({ chainQuestionsPerSecond: 1, chainQuestionsBurst: 1 }, testTime())
  const { node, as } = await serve(limits, chains)
  const bundleOf = (name: string) =>
    new TestInstallation(testAccount(name), name).contractBundle(node.clock())
  const first = bundleOf('first')
  const second = bundleOf('second')
  await as('alice').publish({ envelopes: [first] })
  expect(asked).toBe(1)
  expect(await retryOf(as('alice').publish({ envelopes: [second] }))).toBe(1_000)
  expect(asked).toBe(1)
  const topics = [{ topic: second.topic, afterSequence: 0n }]
  expect((await as('alice').query({ topics })).envelopes).toHaveLength(0)
  await as('friend').publish({ envelopes: [second] })
  expect(asked).toBe(2)
})
