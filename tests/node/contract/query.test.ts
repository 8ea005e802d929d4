/** Query and inbox proofs: order, pages, limits, and who may read what. */
import { Code, ConnectError } from '@connectrpc/connect'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { InProcessNode } from '../../../node/src/testing.ts'
import { errorMessages } from '../../../src/error-messages.ts'
import type { InboxProof } from '../../../src/gen/padlock/v1/node_pb.ts'
import { envelopeLimitBytes, topicsLimit } from '../../../src/protocol/limits.ts'
import {
  bytesFor,
  inboxEnvelope,
  minuteNs,
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
let carol: TestInstallation

beforeEach(async () => {
  clock = testClock()
  node = await openNode({ clock })
  client = nodeClient(node.transport)
  bob = await register(client, 'bob', clock.nowNs)
  carol = await register(client, 'carol', clock.nowNs)
})
afterEach(() => node.close())

const cursor = (topic: string, afterSequence = 0n) => ({ topic, afterSequence })
const proofOf = (one: TestInstallation) => one.proof(node.store.nodeId, clock.nowNs + 5n * minuteNs)

test('section 5: anyone reads contact and revoked topics, in order and after a cursor', async () => {
  const topic = `contact-${bob.account.address}`
  const second = await bob.bundle(clock.nowNs + 1n)
  await client.publish({ envelopes: [second] })
  const all = await client.query({ topics: [cursor(topic)] })
  expect(all.envelopes.map(({ sequence }) => sequence)).toEqual([1n, 2n])
  expect(all.hasMore).toBe(false)
  const rest = await client.query({ topics: [cursor(topic, 1n)] })
  expect(rest.envelopes).toMatchObject([{ topic, sequence: 2n, message: second.message }])
  const none = await client.query({
    topics: [cursor(topic, 2n), cursor(topic.replace('contact', 'revoked'))],
  })
  expect(none).toMatchObject({ envelopes: [], hasMore: false })
})

test('section 5: pages go over all topics by time, then topic, then sequence', async () => {
  const inboxes = [bob, carol]
  // Requests that hit both topics, and one by one, in a fixed pattern.
  for (let n = 0; n < 30; n += 1) {
    clock.nowNs += n % 3 === 0 ? 0n : secondNs
    const to = n % 5 === 0 ? inboxes : [inboxes[n % 2] ?? bob]
    await client.publish({
      envelopes: to.flatMap((one) => [inboxEnvelope(one, `${n} a`), inboxEnvelope(one, `${n} b`)]),
    })
  }
  const proofs = inboxes.map(proofOf)
  const seen = []
  const positions = new Map(inboxes.map(({ inbox }) => [inbox, 0n]))
  for (let hasMore = true; hasMore; ) {
    const topics = Array.from(positions, ([topic, after]) => cursor(topic, after))
    const page = await client.query({ topics, proofs, limit: 7 })
    expect(page.envelopes.length).toBeLessThanOrEqual(7)
    expect(page.envelopes.length).toBeGreaterThan(0)
    for (const { topic, sequence } of page.envelopes) positions.set(topic, sequence)
    seen.push(...page.envelopes)
    hasMore = page.hasMore
  }
  expect(seen).toHaveLength(72)
  const expected = [...seen].sort((a, b) => {
    if (a.nodeNs !== b.nodeNs) return a.nodeNs < b.nodeNs ? -1 : 1
    if (a.topic !== b.topic) return a.topic < b.topic ? -1 : 1
    return a.sequence < b.sequence ? -1 : 1
  })
  expect(seen.map(({ topic, sequence }) => [topic, sequence])).toEqual(
    expected.map(({ topic, sequence }) => [topic, sequence]),
  )
  // Several were stored at one time on both topics, or this would show nothing.
  expect(new Set(seen.map(({ nodeNs }) => nodeNs)).size).toBeLessThan(seen.length)
})

test('section 11: a page has at most 500 envelopes, whatever limit is asked for', async () => {
  for (const start of [0, 300]) {
    const envelopes = Array.from({ length: 300 }, (_, n) => inboxEnvelope(bob, `${start + n}`, 16))
    await client.publish({ envelopes })
  }
  const page = async (limit: number, after = 0n) => {
    const { envelopes, hasMore } = await client.query({
      topics: [cursor(bob.inbox, after)],
      proofs: [proofOf(bob)],
      limit,
    })
    return [envelopes.length, hasMore]
  }
  expect(await page(0)).toEqual([500, true])
  expect(await page(499)).toEqual([499, true])
  expect(await page(500)).toEqual([500, true])
  expect(await page(501)).toEqual([500, true])
  expect(await page(0, 99n)).toEqual([500, true])
  expect(await page(0, 100n)).toEqual([500, false])
  expect(await page(0, 101n)).toEqual([499, false])
  expect(await page(0, 2n ** 64n - 1n)).toEqual([0, false])
})

test('section 11: a page has at most 4 MiB, and always one envelope', async () => {
  const large = (name: string, length = envelopeLimitBytes) => inboxEnvelope(bob, name, length)
  await client.publish({ envelopes: [large('1'), large('2'), large('3'), large('4')] })
  await client.publish({
    envelopes: [large('5', 1), large('6'), large('7'), large('8', envelopeLimitBytes - 1)],
  })
  const page = async (after: bigint, limit = 0) => {
    const { envelopes, hasMore } = await client.query({
      topics: [cursor(bob.inbox, after)],
      proofs: [proofOf(bob)],
      limit,
    })
    return [envelopes.length, hasMore]
  }
  // Four times 1 MiB are exactly 4 MiB; a byte more is not in.
  expect(await page(0n)).toEqual([4, true])
  expect(await page(1n)).toEqual([4, true])
  expect(await page(2n)).toEqual([4, true])
  expect(await page(4n)).toEqual([4, false])
  expect(await page(7n, 1)).toEqual([1, false])
})

test('section 11: a query may name 1,000 topics, each once', async () => {
  const topics = Array.from({ length: topicsLimit - 1 }, (_, n) =>
    cursor(`contact-0x${n.toString(16).padStart(40, '0')}`),
  )
  const own = cursor(`contact-${bob.account.address}`)
  expect((await client.query({ topics: [...topics, own] })).envelopes).toHaveLength(1)
  const over = [...topics, own, cursor(`contact-${carol.account.address}`)]
  expect((await refusalOf(client.query({ topics: over }))).code).toBe('too_large')
  expect((await refusalOf(client.query({ topics: [own, own] }))).code).toBe('malformed')
  expect(await client.query({})).toMatchObject({ envelopes: [], hasMore: false })
})

test('section 5: topics that are none are refused, and prekeys are not to be queried', async () => {
  const code = async (topic: string, proofs: InboxProof[] = []) =>
    (await refusalOf(client.query({ topics: [cursor(topic)], proofs }))).code
  expect(await code('nothing')).toBe('unknown_topic')
  expect(await code('contact-0xAB')).toBe('malformed')
  expect(await code(`prekey-${bob.id}`)).toBe('bad_proof')
  expect(await code(`prekey-${bob.id}`, [proofOf(bob)])).toBe('malformed')
})

test('section 5: an inbox is served to its owner only', async () => {
  await client.publish({ envelopes: [inboxEnvelope(bob, 'private')] })
  const query = (proofs: InboxProof[]) => client.query({ topics: [cursor(bob.inbox)], proofs })
  const refused = async (...proofs: InboxProof[]) => {
    expect(await refusalOf(query(proofs))).toMatchObject({
      code: 'bad_proof',
      status: Code.PermissionDenied,
    })
  }
  const { nodeId } = node.store
  const inTime = clock.nowNs + 5n * minuteNs

  expect((await query([proofOf(bob)])).envelopes).toHaveLength(1)
  expect((await query([proofOf(carol), proofOf(bob)])).envelopes).toHaveLength(1)
  await refused()
  await refused(proofOf(carol))
  await refused(bob.proof(bytesFor('another node').subarray(0, 16), inTime))
  // Signed by Carol under Bob's keys.
  const signature = proofOf(carol).signature
  await refused({ ...proofOf(bob), ...(signature && { signature }) })
  const { signature: _, ...unsigned } = proofOf(bob)
  await refused(unsigned)

  // Lives while clock < expires_ns ≤ clock + 10 minutes.
  await refused(bob.proof(nodeId, clock.nowNs))
  expect((await query([bob.proof(nodeId, clock.nowNs + 1n)])).envelopes).toHaveLength(1)
  expect((await query([bob.proof(nodeId, clock.nowNs + 10n * minuteNs)])).envelopes).toHaveLength(1)
  await refused(bob.proof(nodeId, clock.nowNs + 10n * minuteNs + 1n))
})

test('section 5: one who never registered may ask for his inbox, and it is empty', async () => {
  const dave = new TestInstallation(testAccount('dave'), 'dave')
  const { envelopes } = await client.query({
    topics: [cursor(dave.inbox)],
    proofs: [proofOf(dave)],
  })
  expect(envelopes).toEqual([])
})

test('section 5: GetInfo says who the node is and what time it has', async () => {
  const info = await client.getInfo({})
  expect(info.nodeId).toHaveLength(16)
  expect(info.nodeNs).toBe(clock.nowNs)
  expect(info.retentionNs).toBe(60n * 24n * 60n * minuteNs)
  expect(info.limits.page_envelopes).toBe(500n)
  expect(info.version).toMatch(/^padlock\/1/)
})

test('section 13: `malformed` says which field it is about, and quotes nothing', async () => {
  const said = (call: Promise<unknown>) =>
    call.then(
      () => 'nothing',
      (error: unknown) => ConnectError.from(error).rawMessage,
    )
  const topics = (...names: string[]) => ({
    topics: names.map((topic) => ({ topic, afterSequence: 0n })),
  })
  const contact = `contact-${bob.account.address}`
  const about = (field: string) => `${errorMessages.malformed} Look at ${field}.`
  expect(await said(client.query(topics(contact, contact)))).toBe(
    about('topics, one of them twice'),
  )
  expect(await said(client.query(topics(contact, 'contact-0xAB')))).toMatch(
    about('topics[1].topic: address is not canonical'),
  )
  expect(await said(client.publish({}))).toBe(about('envelopes'))
  const message = new Uint8Array(3)
  const envelopes = [inboxEnvelope(bob, 'a'), { topic: contact, message }]
  expect(await said(client.publish({ envelopes }))).toBe(
    about('envelopes[1].message: not protobuf'),
  )
  const bad = [{ topic: 'contact-0xAB', message }]
  expect(await said(client.publish({ envelopes: bad }))).toBe(
    about('envelopes[0].topic: address is not canonical'),
  )
  const installationIds = [bob.id, `${bob.id}x`]
  expect(await said(client.claimPrekeys({ claimId: message, installationIds }))).toBe(
    about('claim_id'),
  )
  const claimId = new Uint8Array(16)
  expect(await said(client.claimPrekeys({ claimId, installationIds }))).toBe(
    about('installation_ids[1]'),
  )
})
