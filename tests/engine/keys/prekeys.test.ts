/** The stock of prekeys and what ages in it: docs/protocol.md sections 2 and 6, to the millisecond; one part alone. */

import { expect, test } from 'vitest'
import { commit } from '../../../src/engine/runtime/change.ts'
import { encodeHex } from '../../../src/protocol/bytes.ts'
import { dayMs } from '../../../src/protocol/limits.ts'
import { prekeySignatures } from '../../../src/protocol/prekey.ts'
import { until } from '../../support/engine.ts'
import { aHolder, down } from '../../support/key-holder.ts'

test.each([
  [0, 50],
  [24, 26],
  [25, 0],
  [49, 0],
])('section 6: of %s one-time keys in stock a client fills up with %s', async (left, expected) => {
  const all = await aHolder()
  await all.prekeys.onStock(left, all.createdNs)
  expect(all.uploads().map(({ oneTime }) => oneTime.length)).toEqual(expected ? [expected] : [])
})

test('an upload is signed, above all before it, and its secrets are on the disk before it leaves', async () => {
  const all = await aHolder()
  const newest = all.createdNs + 5_000_000_000n
  await all.prekeys.onStock(10, newest)
  const [upload] = all.uploads()
  if (!upload) throw new Error('no upload')
  expect(upload).toMatchObject({ replace: false, fallback: undefined, createdNs: newest + 1n })
  const { ed25519 } = all.context.account.keys
  expect(new Set(all.context.crypto.verify(prekeySignatures(upload, ed25519)))).toEqual(
    new Set([true]),
  )
  const [before] = all.storedAt
  const secrets = new Set(before?.prekeys?.oneTime.map(({ publicKey }) => encodeHex(publicKey)))
  for (const { key } of upload.oneTime) {
    expect(secrets.has(encodeHex(key))).toBe(true)
    expect(all.prekeys.find(key)).toBeDefined()
    expect(all.prekeys.isOneTime(key)).toBe(true)
  }
  expect(secrets.size).toBe(40 + 3)
  expect(before?.prekeys?.pendingUpload).toEqual(all.requests[0]?.message)
  expect(before?.times).toMatchObject({ lastCreatedNs: newest + 1n, lastComposedNs: 5n })
  expect(before?.prekeys?.fallback).toHaveLength(1)
  expect(all.committed[0]).toEqual({ tables: ['account', 'account'], durability: 'strict' })
  expect((await all.stored()).prekeys?.pendingUpload).toHaveLength(0)
  // What memory and disk hold is the same.
  const later = await all.again()
  for (const { key } of upload.oneTime) expect(later.prekeys.find(key)).toBeDefined()
  expect(later.prekeys.isBehind(newest + 1n)).toBe(false)
  expect(later.prekeys.isBehind(newest + 2n)).toBe(true)
})

test('one upload at a time: what was not acknowledged goes again with the same bytes, though the stock is full', async () => {
  const all = await aHolder()
  all.answers.push(down(), down())
  await all.prekeys.onStock(0, all.createdNs)
  expect(all.warned('network_unavailable')).toBe(1)
  await all.prekeys.onStock(0, all.createdNs)
  const later = await all.again()
  await later.prekeys.onStock(100, all.createdNs)
  const messages = all.requests.map(({ message }) => encodeHex(message))
  expect(messages).toHaveLength(3)
  expect(new Set(messages).size).toBe(1)
  await later.prekeys.onStock(100, all.createdNs)
  expect(all.requests).toHaveLength(3)
})

test('no fallback is made while an upload is not acknowledged', async () => {
  const all = await aHolder()
  all.answers.push(down())
  await all.prekeys.onStock(0, all.createdNs)
  all.turn(8 * dayMs)
  await all.prekeys.rotateIfDue()
  expect(all.uploads().map(({ fallback }) => fallback)).toEqual([undefined, undefined])
  await all.prekeys.rotateIfDue()
  expect(all.uploads()[2]?.fallback).toBeDefined()
})

test('filling up twice at once fills up once', async () => {
  const all = await aHolder()
  await Promise.all([
    all.prekeys.onStock(0, all.createdNs),
    all.prekeys.onStock(0, all.createdNs),
    all.prekeys.refill(),
  ])
  expect(all.uploads()).toHaveLength(1)
})

test('nothing is filled up before it is known what is there', async () => {
  const all = await aHolder()
  await all.prekeys.refill()
  expect(all.requests).toEqual([])
})

test('section 6: keys count once they are acknowledged; used ones count no more, and below 25 it fills up', async () => {
  const all = await aHolder()
  await all.prekeys.onStock(20, all.createdNs)
  const [upload] = all.uploads()
  const keys = upload?.oneTime.map(({ key }) => key) ?? []
  expect(keys).toHaveLength(30)
  // 50 are there: 25 may go.
  for (const key of keys.slice(0, 25)) await commit(all.store, all.prekeys.usedChange([key]))
  await all.prekeys.refill()
  expect(all.uploads().map(({ oneTime }) => oneTime.length)).toEqual([30, 25])
  for (const key of keys.slice(25, 30)) await commit(all.store, all.prekeys.usedChange([key]))
  expect(all.uploads()).toHaveLength(2)
})

test('the twenty-sixth key that goes has the stock filled up by itself', async () => {
  const all = await aHolder()
  await all.prekeys.onStock(20, all.createdNs)
  const keys = all.uploads()[0]?.oneTime.map(({ key }) => key) ?? []
  await commit(all.store, all.prekeys.usedChange(keys.slice(0, 25)))
  await Promise.resolve()
  expect(all.uploads()).toHaveLength(1)
  await commit(all.store, all.prekeys.usedChange([]))
  await commit(all.store, all.prekeys.usedChange(keys.slice(25, 26)))
  await until(() => all.uploads().length === 2)
  expect(all.uploads()[1]?.oneTime).toHaveLength(26)
})

test('section 6: a used one-time secret goes with what is written, a fallback never does', async () => {
  const all = await aHolder()
  const { oneTime, fallback } = all.first
  const [used, ...others] = oneTime
  if (!used) return
  expect(all.prekeys.find(used.publicKey)).toEqual(used.secret)
  expect(all.prekeys.find(fallback.publicKey)).toEqual(fallback.secret)
  expect(all.prekeys.isOneTime(fallback.publicKey)).toBe(false)
  expect(all.prekeys.usedChange([fallback.publicKey]).writes).toEqual([])
  expect(all.prekeys.find(new Uint8Array(32))).toBeUndefined()
  const change = all.prekeys.usedChange([used.publicKey, fallback.publicKey])
  // Not before it is committed.
  expect(all.prekeys.find(used.publicKey)).toBeDefined()
  await commit(all.store, change)
  expect(all.prekeys.find(used.publicKey)).toBeUndefined()
  const { prekeys } = await all.stored()
  expect(prekeys?.oneTime.map(({ publicKey }) => publicKey)).toEqual(
    others.map(({ publicKey }) => publicKey),
  )
  expect(prekeys?.fallback).toHaveLength(1)
})

test('unused one-time secrets are dropped after ninety days to the millisecond, by both clocks, also after a restart', async () => {
  const all = await aHolder()
  const count = async () => (await all.stored()).prekeys?.oneTime.length
  all.turn(90 * dayMs - 1)
  await all.prekeys.rotateIfDue()
  expect(await count()).toBe(3)
  all.clock.nowMs += dayMs
  await all.prekeys.rotateIfDue()
  expect(await count()).toBe(3)
  all.clock.nowMs -= dayMs
  const { prekeys } = await all.again()
  await prekeys.rotateIfDue()
  expect(await count()).toBe(3)
  all.turn(1)
  await prekeys.rotateIfDue()
  expect(await count()).toBe(0)
  for (const { publicKey } of all.first.oneTime) expect(prekeys.find(publicKey)).toBeUndefined()
  expect(prekeys.find(all.first.fallback.publicKey)).toBeDefined()
})
