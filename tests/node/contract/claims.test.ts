/** Claiming prekeys: one key each, once; the same claim again; what is left when none are. */
import { randomBytes } from 'node:crypto'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { InProcessNode } from '../../../node/src/testing.ts'
import { PrekeyKind } from '../../../src/gen/padlock/v1/contact_pb.ts'
import { claimLimitInstallations } from '../../../src/protocol/limits.ts'
import { parsePrekeyUpload } from '../../../src/protocol/prekey.ts'
import {
  dayNs,
  minuteNs,
  must,
  type NodeClient,
  nodeClient,
  refusalOf,
  register,
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

const upload = (one: TestInstallation, oneTime: number, fallback = true) =>
  client.publish({ envelopes: [one.upload({ createdNs: clock.nowNs, oneTime, fallback })] })
const claim = async (one: TestInstallation, claimId = randomBytes(16)) => {
  const { claimed } = await client.claimPrekeys({ claimId, installationIds: [one.id] })
  return claimed[0]?.prekey
}

test('section 5: each claim gets another one-time key as it was uploaded, then all get the fallback', async () => {
  const { message } = bob.upload({ createdNs: clock.nowNs, oneTime: 3, fallback: true })
  const sent = must(parsePrekeyUpload(message))
  await upload(bob, 3)
  for (const expected of sent.oneTime) {
    expect(await claim(bob)).toMatchObject({
      kind: PrekeyKind.ONE_TIME,
      curve25519: expected.key,
      createdNs: expected.createdNs,
      signature: { signature: expected.signature },
    })
  }
  for (let n = 0; n < 2; n += 1) {
    expect(await claim(bob)).toMatchObject({
      kind: PrekeyKind.FALLBACK,
      curve25519: sent.fallback?.key,
    })
  }
})

test('section 5: without a fallback nothing is left, and the others are served all the same', async () => {
  const carol = await register(client, 'carol', clock.nowNs)
  const nobody = new TestInstallation(testAccount('nobody'), 'nobody')
  await upload(bob, 1, false)
  await upload(carol, 2, false)
  await claim(bob)
  const ids = [bob.id, nobody.id, carol.id]
  const { claimed } = await client.claimPrekeys({ claimId: randomBytes(16), installationIds: ids })
  expect(claimed.map(({ installationId }) => installationId)).toEqual(ids)
  expect(claimed.map(({ prekey }) => prekey !== undefined)).toEqual([false, false, true])
})

test('section 5: the latest fallback is the one that is served', async () => {
  await upload(bob, 0)
  const first = await claim(bob)
  clock.nowNs += minuteNs
  await upload(bob, 0)
  const second = await claim(bob)
  expect(second?.createdNs).toBe(clock.nowNs)
  expect(second?.curve25519).not.toEqual(first?.curve25519)
})

test('section 5: the same claim burns no second key for ten minutes', async () => {
  await upload(bob, 3)
  const claimId = randomBytes(16)
  const first = await claim(bob, claimId)
  clock.nowNs += 10n * minuteNs - 1n
  expect(await claim(bob, claimId)).toEqual(first)
  expect((await node.store.stock(bob.id)).oneTimeLeft).toBe(2)
  clock.nowNs += 1n
  expect((await claim(bob, claimId))?.curve25519).not.toEqual(first?.curve25519)
  expect((await node.store.stock(bob.id)).oneTimeLeft).toBe(1)
})

test('section 5: a claim is remembered for each installation, also within one request', async () => {
  const carol = await register(client, 'carol', clock.nowNs)
  await upload(bob, 3)
  await upload(carol, 3)
  const claimId = randomBytes(16)
  await claim(bob, claimId)
  const { claimed } = await client.claimPrekeys({
    claimId,
    installationIds: [carol.id, bob.id, carol.id],
  })
  expect(claimed[0]?.prekey).toEqual(claimed[2]?.prekey)
  expect((await node.store.stock(bob.id)).oneTimeLeft).toBe(2)
  expect((await node.store.stock(carol.id)).oneTimeLeft).toBe(2)
})

test('section 5: a claim that got nothing gets a key once there is one', async () => {
  const claimId = randomBytes(16)
  expect(await claim(bob, claimId)).toBeUndefined()
  await upload(bob, 1)
  expect(await claim(bob, claimId)).toMatchObject({ kind: PrekeyKind.ONE_TIME })
})

test('section 5: a claim that got the fallback, which is not used up, is not remembered', async () => {
  await upload(bob, 0)
  const claimId = randomBytes(16)
  expect(await claim(bob, claimId)).toMatchObject({ kind: PrekeyKind.FALLBACK })
  clock.nowNs += minuteNs
  await upload(bob, 1)
  const later = await claim(bob, claimId)
  expect(later).toMatchObject({ kind: PrekeyKind.ONE_TIME })
  expect(await claim(bob, claimId)).toEqual(later)
})

test('section 5: no two of many claims at once get the same key', async () => {
  await upload(bob, 100)
  const keys = await Promise.all(Array.from({ length: 100 }, () => claim(bob)))
  const distinct = new Set(keys.map((key) => Buffer.from(key?.curve25519 ?? []).toString('hex')))
  expect(distinct.size).toBe(100)
  expect((await node.store.stock(bob.id)).oneTimeLeft).toBe(0)
})

test('section 5: a one-time key that lay for 30 days is not given out, nor counted', async () => {
  await upload(bob, 2)
  clock.nowNs += 30n * dayNs - 1n
  expect(await claim(bob)).toMatchObject({ kind: PrekeyKind.ONE_TIME })
  clock.nowNs += 1n
  expect((await node.store.stock(bob.id)).oneTimeLeft).toBe(0)
  expect(await claim(bob)).toMatchObject({ kind: PrekeyKind.FALLBACK })
  // There is room for a hundred again.
  await upload(bob, 100)
})

test('section 11: a claim id has 16 bytes, and a claim names at most 200 good ids', async () => {
  const code = async (claimId: Uint8Array, installationIds: string[]) =>
    (await refusalOf(client.claimPrekeys({ claimId, installationIds }))).code
  expect(await code(randomBytes(15), [bob.id])).toBe('malformed')
  expect(await code(randomBytes(17), [bob.id])).toBe('malformed')
  expect(await code(randomBytes(16), [bob.id, `${bob.id}x`])).toBe('malformed')
  const ids = Array.from({ length: claimLimitInstallations }, () => bob.id as string)
  expect(await code(randomBytes(16), [...ids, bob.id])).toBe('too_large')
  const all = await client.claimPrekeys({ claimId: randomBytes(16), installationIds: ids })
  expect(all.claimed).toHaveLength(200)
})

test('section 5: what all claims take of one stock is limited, also past a step of the clock', async () => {
  await upload(bob, 20)
  const limits = { budget: { burst: 3, everyNs: minuteNs } }
  const take = async (count: number) => {
    let taken = 0
    for (let n = 0; n < count; n += 1) {
      const [one] = await node.store.claim(randomBytes(16), [bob.id], limits)
      expect(one?.isOverBudget).toBe(one?.prekey?.kind === 'fallback')
      if (one?.prekey?.kind === 'one-time') taken += 1
    }
    return taken
  }
  expect(await take(5)).toBe(3)
  clock.nowNs += 2n * minuteNs
  expect(await take(5)).toBe(2)
  // Set back by a year, the clock says nothing of what is left: it is not empty for a year.
  clock.nowNs -= 365n * dayNs
  expect(await take(5)).toBe(3)
  // Those of one batch share it, and an installation without an owner has none.
  clock.nowNs += 2n * minuteNs
  const many = await Promise.all(
    Array.from({ length: 5 }, () => node.store.claim(randomBytes(16), [bob.id], limits)),
  )
  expect(many.filter(([one]) => one?.prekey?.kind === 'one-time')).toHaveLength(2)
  // Whoever has no limits takes what is there.
  expect((await claim(bob))?.kind).toBe(PrekeyKind.ONE_TIME)
})
