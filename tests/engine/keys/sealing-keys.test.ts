/** Sealing keys: docs/protocol.md section 2, to the millisecond; one part alone. */

import { expect, test } from 'vitest'
import { commit } from '../../../src/engine/runtime/change.ts'
import { PadlockError } from '../../../src/errors.ts'
import { encodeHex } from '../../../src/protocol/bytes.ts'
import { sealingKeySignature } from '../../../src/protocol/contact.ts'
import { dayMs } from '../../../src/protocol/limits.ts'
import { aHolder, down } from '../../support/key-holder.ts'

test('section 2: a sealing key is replaced after thirty days to the millisecond, by both clocks, also after a restart', async () => {
  const all = await aHolder()
  all.turn(30 * dayMs - 1)
  await all.sealingKeys.rotateIfDue()
  expect(all.bundles()).toEqual([])
  // Our own clock alone ends nothing (section 1).
  all.clock.nowMs += 10 * dayMs
  await all.sealingKeys.rotateIfDue()
  expect(all.bundles()).toEqual([])
  all.clock.nowMs -= 10 * dayMs
  const { sealingKeys } = await all.again()
  await sealingKeys.rotateIfDue()
  expect(all.bundles()).toEqual([])
  all.turn(1)
  for (let n = 0; n < 2; n += 1) await sealingKeys.rotateIfDue()
  expect(all.bundles()).toHaveLength(1)
})

test('a new sealing key is under the same grant, signed, newer, and stored before it leaves', async () => {
  const all = await aHolder()
  all.turn(30 * dayMs)
  await all.sealingKeys.rotateIfDue()
  const [bundle] = all.bundles()
  if (!bundle) throw new Error('no bundle')
  expect(bundle).toMatchObject({
    address: all.context.account.address,
    keys: all.context.account.keys,
    currentTime: '2026-11-20T08:13:00.000Z',
  })
  expect(all.context.crypto.verify([sealingKeySignature(bundle)])).toEqual([true])
  expect(bundle.sealingKey.createdNs).toBe(all.context.time.createdNs(0n))
  expect(all.storedAt[0]?.sealing?.secrets.map(({ publicKey }) => publicKey)).toEqual([
    bundle.sealingKey.key,
    all.first.sealing.publicKey,
  ])
  expect(all.storedAt[0]?.sealing?.pendingBundle).toEqual(all.requests[0]?.message)
  expect(all.committed[0]).toEqual({ tables: ['account'], durability: 'strict' })
  const after = await all.stored()
  expect(after.sealing?.pendingBundle).toHaveLength(0)
  expect(after.sealing?.secrets).toHaveLength(2)
  expect(after.identity?.contactBundle).toEqual(all.requests[0]?.message)
  expect(after.identity?.address).toBe(all.context.account.address)
})

test('section 2: three sealing secrets are kept, the newest first', async () => {
  const all = await aHolder()
  for (let n = 0; n < 4; n += 1) {
    all.turn(30 * dayMs)
    await all.sealingKeys.rotateIfDue()
  }
  const keys = all.bundles().map(({ sealingKey }) => sealingKey.key)
  expect(keys).toHaveLength(4)
  const { sealing } = await all.stored()
  const expected = keys.slice(-3).reverse()
  expect(sealing?.secrets.map(({ publicKey }) => publicKey)).toEqual(expected)
  expect(all.sealingKeys.secrets).toEqual(sealing?.secrets.map(({ secret }) => secret))
  for (const key of expected) expect(all.sealingKeys.has(key)).toBe(true)
  expect(all.sealingKeys.has(keys[0] ?? new Uint8Array())).toBe(false)
  expect(all.sealingKeys.newestCreatedNs).toBe(sealing?.secrets[0]?.createdNs)
})

test('a bundle that was not acknowledged goes again with the same bytes, also after a restart, and no other is made', async () => {
  const all = await aHolder()
  all.turn(30 * dayMs)
  all.answers.push(down(), down())
  await expect(all.sealingKeys.rotateIfDue()).rejects.toMatchObject({ code: 'network_unavailable' })
  all.turn(31 * dayMs)
  await expect(all.sealingKeys.rotateIfDue()).rejects.toMatchObject({ code: 'network_unavailable' })
  expect((await all.stored()).identity?.contactBundle).toEqual(all.bundle)
  const later = await all.again()
  await later.sealingKeys.rotateIfDue()
  const messages = all.requests.map(({ message }) => encodeHex(message))
  expect(messages).toHaveLength(3)
  expect(new Set(messages).size).toBe(1)
  await later.sealingKeys.publishPending()
  expect(all.requests).toHaveLength(3)
  expect((await all.stored()).identity?.contactBundle).toEqual(all.requests[0]?.message)
})

test('a key that the node calls not newer is given up for the bundle, and kept to open mail', async () => {
  const all = await aHolder()
  all.turn(30 * dayMs)
  all.answers.push(new PadlockError('sealing_key_not_newer'))
  await all.sealingKeys.rotateIfDue()
  const after = await all.stored()
  expect(after.identity?.contactBundle).toEqual(all.bundle)
  expect(after.sealing?.pendingBundle).toHaveLength(0)
  expect(after.sealing?.secrets).toHaveLength(2)
})

test('a new sealing key is above every key here and above what it must be', async () => {
  const all = await aHolder()
  const above = all.createdNs + 10_000_000_000n
  const made = await all.sealingKeys.make(above)
  expect(made.secrets[0]?.createdNs).toBe(above + 1n)
  await commit(all.store, all.sealingKeys.newKeyChange(made))
  all.clock.nowMs -= dayMs
  const next = await all.sealingKeys.make(0n)
  expect(next.secrets[0]?.createdNs).toBe(above + 2n)
})
