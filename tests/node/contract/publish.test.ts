/** Publish: sequence, time, idempotency, atomicity and its limits, on the real service and store. */
import { Code } from '@connectrpc/connect'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { InProcessNode } from '../../../node/src/testing.ts'
import {
  contactLimitBytes,
  envelopeLimitBytes,
  prekeyUploadLimitBytes,
  requestLimitBytes,
  requestLimitEnvelopes,
  revocationLimitBytes,
} from '../../../src/protocol/limits.ts'
import {
  everything,
  inboxEnvelope,
  type NodeClient,
  nodeClient,
  refusalOf,
  register,
  secondNs,
  type TestClock,
  TestInstallation,
  testAccount,
  testClock,
} from '../support.ts'
import { openNode } from './store.ts'

let clock: TestClock
let node: InProcessNode
let client: NodeClient
let bob: TestInstallation

beforeEach(async () => {
  clock = testClock()
  node = await openNode({ clock })
  client = nodeClient(node.transport)
  bob = await register(client, 'bob', clock.nowNs)
})
afterEach(() => node.close())

const stored = async (topic: string) =>
  (await node.store.page([{ topic, afterSequence: 0n }], everything)).envelopes

test('section 5: a topic counts 1, 2, 3 and keeps the bytes as they came', async () => {
  for (const name of ['a', 'b', 'c'])
    await client.publish({ envelopes: [inboxEnvelope(bob, name)] })
  const envelopes = await stored(bob.inbox)
  expect(envelopes.map(({ sequence }) => sequence)).toEqual([1n, 2n, 3n])
  expect(envelopes.map(({ message }) => message)).toEqual(
    ['a', 'b', 'c'].map((name) => inboxEnvelope(bob, name).message),
  )
})

test('section 5: everything of one request bears one node_ns, and a topic never goes back', async () => {
  const carol = await register(client, 'carol', clock.nowNs)
  const first = await client.publish({
    envelopes: [inboxEnvelope(bob, 'a'), inboxEnvelope(carol, 'b'), inboxEnvelope(bob, 'c')],
  })
  expect(new Set(first.receipts.map(({ nodeNs }) => nodeNs)).size).toBe(1)
  expect(first.receipts[0]?.nodeNs).toBe(clock.nowNs)

  // The clock stands still, then is set back: above the latest of those topics all the same.
  const second = await client.publish({ envelopes: [inboxEnvelope(bob, 'd')] })
  expect(second.receipts[0]?.nodeNs).toBe(clock.nowNs + 1n)
  clock.nowNs -= 3600n * secondNs
  const third = await client.publish({
    envelopes: [inboxEnvelope(bob, 'e'), inboxEnvelope(carol, 'f')],
  })
  expect(third.receipts.map(({ nodeNs }) => nodeNs)).toEqual([
    clock.nowNs + 3600n * secondNs + 2n,
    clock.nowNs + 3600n * secondNs + 2n,
  ])
  // So is what other topics get meanwhile; known bytes keep their time.
  const dave = await register(client, 'dave', clock.nowNs)
  const mixed = await client.publish({
    envelopes: [inboxEnvelope(bob, 'e'), inboxEnvelope(dave, 'g')],
  })
  expect(mixed.receipts[0]?.nodeNs).toBe(third.receipts[0]?.nodeNs)
  // After the bundle of dave, which came after the third.
  expect(mixed.receipts[1]?.nodeNs).toBe(clock.nowNs + 3600n * secondNs + 4n)
})

test('section 5: the same bytes again return the first receipt and store nothing', async () => {
  const [first] = (await client.publish({ envelopes: [inboxEnvelope(bob, 'a')] })).receipts
  clock.nowNs += secondNs
  const [again] = (await client.publish({ envelopes: [inboxEnvelope(bob, 'a')] })).receipts
  expect(again).toEqual(first)
  expect(await stored(bob.inbox)).toHaveLength(1)
})

test('section 5: a request may mix known and new envelopes, and name one twice', async () => {
  const [first] = (await client.publish({ envelopes: [inboxEnvelope(bob, 'a')] })).receipts
  clock.nowNs += secondNs
  const { receipts } = await client.publish({
    envelopes: [
      inboxEnvelope(bob, 'b'),
      inboxEnvelope(bob, 'a'),
      inboxEnvelope(bob, 'b'),
      inboxEnvelope(bob, 'c'),
    ],
  })
  expect(receipts.map(({ sequence }) => sequence)).toEqual([2n, 1n, 2n, 3n])
  expect(receipts[1]).toEqual(first)
  expect(await stored(bob.inbox)).toHaveLength(3)
})

test('section 5: the same bytes on another topic are another envelope', async () => {
  const carol = await register(client, 'carol', clock.nowNs)
  await client.publish({ envelopes: [inboxEnvelope(bob, 'a'), inboxEnvelope(carol, 'a')] })
  expect(await stored(bob.inbox)).toHaveLength(1)
  expect(await stored(carol.inbox)).toHaveLength(1)
})

test('section 5: known bytes are answered before any rule: a bundle after its installation went stale', async () => {
  const bundle = await bob.bundle(clock.nowNs)
  const [first] = (await client.publish({ envelopes: [bundle] })).receipts
  clock.nowNs += secondNs
  await client.publish({ envelopes: [await bob.bundle(clock.nowNs)] })
  // By the rules it would be sealing_key_not_newer now.
  expect((await client.publish({ envelopes: [bundle] })).receipts[0]).toEqual(first)
})

test('section 5: all of a request or nothing, and the refusal names the envelope', async () => {
  const nobody = new TestInstallation(testAccount('nobody'), 'nobody')
  const refusal = await refusalOf(
    client.publish({
      envelopes: [
        inboxEnvelope(bob, 'a'),
        inboxEnvelope(bob, 'b'),
        inboxEnvelope(nobody, 'c'),
        inboxEnvelope(bob, 'd'),
      ],
    }),
  )
  expect(refusal).toMatchObject({
    code: 'recipient_gone',
    status: Code.FailedPrecondition,
    envelopeIndex: 2,
  })
  expect(await stored(bob.inbox)).toHaveLength(0)
  const [next] = (await client.publish({ envelopes: [inboxEnvelope(bob, 'e')] })).receipts
  expect(next?.sequence).toBe(1n)
})

test('section 5: a refused registration leaves no trace of its good part', async () => {
  const carol = new TestInstallation(testAccount('carol'), 'carol')
  const bundle = await carol.bundle(clock.nowNs)
  const upload = carol.upload({ createdNs: clock.nowNs, oneTime: 101 })
  const refusal = await refusalOf(client.publish({ envelopes: [bundle, upload] }))
  expect(refusal).toMatchObject({ code: 'stock_full', envelopeIndex: 1 })
  expect(await stored(bundle.topic)).toHaveLength(0)
  expect((await refusalOf(client.publish({ envelopes: [inboxEnvelope(carol, 'a')] }))).code).toBe(
    'recipient_gone',
  )
  const fits = carol.upload({ createdNs: clock.nowNs, oneTime: 100, fallback: true })
  const { receipts } = await client.publish({
    envelopes: [bundle, fits, inboxEnvelope(carol, 'a')],
  })
  expect(receipts.map(({ sequence }) => sequence)).toEqual([1n, 1n, 1n])
  expect((await node.store.stock(carol.id)).oneTimeLeft).toBe(100)
})

test('section 5: requests that share a transaction fail each for itself', async () => {
  const nobody = new TestInstallation(testAccount('nobody'), 'nobody')
  const results = await Promise.allSettled(
    Array.from({ length: 40 }, (_, n) =>
      client.publish({
        envelopes: [
          inboxEnvelope(bob, `x${n}`),
          inboxEnvelope(n % 4 === 3 ? nobody : bob, `y${n}`),
        ],
      }),
    ),
  )
  expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(30)
  const sequences = (await stored(bob.inbox)).map(({ sequence }) => sequence)
  expect(sequences).toEqual(Array.from({ length: 60 }, (_, n) => BigInt(n + 1)))
})

test('section 5: sequences have no gap and times do not fall when many publish at once', async () => {
  const carol = await register(client, 'carol', clock.nowNs)
  const publishers = Array.from({ length: 16 }, async (_, publisher) => {
    for (let n = 0; n < 25; n += 1) {
      clock.nowNs += 1n
      const name = `${publisher} ${n}`
      await client.publish({ envelopes: [inboxEnvelope(bob, name), inboxEnvelope(carol, name)] })
    }
  })
  await Promise.all(publishers)
  for (const topic of [bob.inbox, carol.inbox]) {
    const envelopes = await stored(topic)
    expect(envelopes.map(({ sequence }) => sequence)).toEqual(
      Array.from({ length: 400 }, (_, n) => BigInt(n + 1)),
    )
    for (const [index, { nodeNs }] of envelopes.entries()) {
      expect(nodeNs).toBeGreaterThan(envelopes[index - 1]?.nodeNs ?? 0n)
    }
  }
})

test('section 11: one envelope may have 1 MiB and not a byte more', async () => {
  await client.publish({ envelopes: [inboxEnvelope(bob, 'a', envelopeLimitBytes)] })
  const over = client.publish({ envelopes: [inboxEnvelope(bob, 'b', envelopeLimitBytes + 1)] })
  expect((await refusalOf(over)).code).toBe('too_large')
  expect(await stored(bob.inbox)).toHaveLength(1)
  expect((await stored(bob.inbox))[0]?.message).toHaveLength(envelopeLimitBytes)
})

test.each([
  [`contact-${testAccount('bob').address}`, contactLimitBytes],
  [`revoked-${testAccount('bob').address}`, revocationLimitBytes],
  [`prekey-${new TestInstallation(testAccount('bob'), 'bob').id}`, prekeyUploadLimitBytes],
])('the size of what lies on %s is checked before its shape', async (topic, limit) => {
  const publish = (length: number) =>
    refusalOf(client.publish({ envelopes: [{ topic, message: new Uint8Array(length) }] }))
  expect((await publish(limit)).code).toBe('malformed')
  expect((await publish(limit + 1)).code).toBe('too_large')
})

test('section 11: a request may have 500 envelopes and 25 MiB, and nothing beyond', async () => {
  const small = (count: number) =>
    Array.from({ length: count }, (_, n) => inboxEnvelope(bob, `${n}`, 8))
  const full = await client.publish({ envelopes: small(requestLimitEnvelopes) })
  expect(full.receipts).toHaveLength(500)
  expect((await refusalOf(client.publish({ envelopes: small(501) }))).code).toBe('too_large')

  const carol = await register(client, 'carol', clock.nowNs)
  const large = Array.from({ length: 25 }, (_, n) =>
    inboxEnvelope(carol, `${n}`, envelopeLimitBytes),
  )
  const sum = large.reduce((bytes, { message }) => bytes + message.length, 0)
  expect(sum).toBe(requestLimitBytes)
  const over = client.publish({ envelopes: [...large, inboxEnvelope(carol, 'one more', 1)] })
  expect((await refusalOf(over)).code).toBe('too_large')
  expect((await client.publish({ envelopes: large })).receipts).toHaveLength(25)
})

test('section 5: a request without envelopes and topics of no kind are refused', async () => {
  const message = new Uint8Array(1)
  const code = async (topic: string) =>
    (await refusalOf(client.publish({ envelopes: [{ topic, message }] }))).code
  expect((await refusalOf(client.publish({}))).code).toBe('malformed')
  expect(await code('')).toBe('unknown_topic')
  expect(await code('group-1')).toBe('unknown_topic')
  expect(await code(`Message-${bob.id}`)).toBe('unknown_topic')
  expect(await code(`message-${bob.id}=`)).toBe('malformed')
  expect(await code(`message-${bob.id.slice(0, -1)}`)).toBe('malformed')
  expect(await code(`message-${'x'.repeat(100_000)}`)).toBe('malformed')
  expect(await code(`contact-${testAccount('bob').address}\n`)).toBe('malformed')
})

test('when the store is closed, a request is unavailable, and the caller is asked to come again', async () => {
  await node.store.close()
  expect(await refusalOf(client.publish({ envelopes: [inboxEnvelope(bob, 'a')] }))).toMatchObject({
    code: 'unavailable',
    status: Code.Unavailable,
    retryAfterMs: 1_000n,
  })
})
