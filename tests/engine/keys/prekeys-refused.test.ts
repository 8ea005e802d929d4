/** Uploads of prekeys that are refused, replaced or bounded: docs/protocol.md sections 6 and 10; one part alone. */

import { expect, test } from 'vitest'
import { commit } from '../../../src/engine/runtime/change.ts'
import { PadlockError } from '../../../src/errors.ts'
import { dayMs } from '../../../src/protocol/limits.ts'
import { parsePrekeyUpload, prekeySignatures } from '../../../src/protocol/prekey.ts'
import { put, remove, tables } from '../../../src/store/tables.ts'
import { passed } from '../../support/checked.ts'
import { until } from '../../support/engine.ts'
import { aHolder, down } from '../../support/key-holder.ts'

test('a fallback is replaced after seven days to the millisecond, by both clocks, also after a restart; the one before it is kept until the next', async () => {
  const all = await aHolder()
  all.turn(7 * dayMs - 1)
  await all.prekeys.rotateIfDue()
  all.clock.nowMs += dayMs
  await all.prekeys.rotateIfDue()
  all.clock.nowMs -= dayMs
  const restarted = await all.again()
  await restarted.prekeys.rotateIfDue()
  expect(all.uploads()).toEqual([])
  all.turn(1)
  await restarted.prekeys.rotateIfDue()
  const [upload] = all.uploads()
  expect(upload).toMatchObject({ replace: false, oneTime: [] })
  const [first, second] = [all.first.fallback.publicKey, upload?.fallback?.key ?? new Uint8Array()]
  for (const key of [first, second]) expect(restarted.prekeys.find(key)).toBeDefined()
  all.turn(7 * dayMs)
  const { prekeys: last } = await all.again()
  await last.rotateIfDue()
  const third = all.uploads()[1]?.fallback?.key ?? new Uint8Array()
  expect(last.find(first)).toBeUndefined()
  for (const key of [second, third]) expect(last.find(key)).toBeDefined()
  const { prekeys } = await all.stored()
  expect(prekeys?.fallback.map(({ publicKey }) => publicKey)).toEqual([third, second])
})

test.each(['stale_upload', 'stock_full'] as const)(
  'section 6: on %s the keys of that upload go, and its fallback comes again, signed anew',
  async (code) => {
    const all = await aHolder()
    all.turn(7 * dayMs)
    // Ahead of this clock, but not more than clocks may be.
    const heard = all.context.time.createdNs(0n) + 300_000_000_000n
    all.answers.push(down())
    await all.prekeys.onStock(0, all.createdNs)
    await all.prekeys.onStock(0, all.createdNs)
    all.answers.push(down())
    await all.prekeys.rotateIfDue()
    // It brought a fallback, and one-time keys that it never will.
    all.answers.push(new PadlockError(code))
    await all.prekeys.onStock(20, heard)
    const [, , rotation, refused, next] = all.uploads()
    expect(refused).toEqual(rotation)
    expect(refused?.fallback).toBeDefined()
    expect(next?.fallback?.key).toEqual(refused?.fallback?.key)
    expect(next?.createdNs).toBeGreaterThan(heard)
    expect(next?.oneTime).toHaveLength(30)
    const { ed25519 } = all.context.account.keys
    if (!next) return
    expect(new Set(all.context.crypto.verify(prekeySignatures(next, ed25519)))).toEqual(
      new Set([true]),
    )
    for (const { key } of refused?.oneTime ?? []) expect(all.prekeys.find(key)).toBeUndefined()
    const { prekeys } = await all.stored()
    expect(prekeys?.pendingUpload).toHaveLength(0)
    // One new fallback and the one before it, not the same twice.
    expect(prekeys?.fallback.map(({ publicKey }) => publicKey)).toEqual([
      next.fallback?.key,
      all.first.fallback.publicKey,
    ])
  },
)

test('an upload without a fallback that was refused is made anew without one; what is refused twice waits for the next time', async () => {
  const all = await aHolder()
  all.answers.push(new PadlockError('stale_upload'), new PadlockError('stale_upload'))
  await all.prekeys.onStock(10, all.createdNs)
  expect(all.uploads().map(({ fallback }) => fallback)).toEqual([undefined, undefined])
  expect(all.warned('stale_upload')).toBe(1)
  const [first, second] = all.uploads()
  for (const { key } of [...(first?.oneTime ?? []), ...(second?.oneTime ?? [])]) {
    expect(all.prekeys.find(key)).toBeUndefined()
  }
  // Those from before are not touched.
  for (const { publicKey } of all.first.oneTime) expect(all.prekeys.find(publicKey)).toBeDefined()
  await all.prekeys.onStock(10, all.createdNs)
  expect(all.uploads()).toHaveLength(3)
  expect(all.uploads()[2]?.createdNs).toBeGreaterThan(second?.createdNs ?? 0n)
})

test('another refusal leaves the upload as it is, for the next time', async () => {
  const all = await aHolder()
  all.answers.push(new PadlockError('rate_limited'))
  await all.prekeys.onStock(10, all.createdNs)
  expect(all.uploads()).toHaveLength(1)
  expect((await all.stored()).prekeys?.pendingUpload).toEqual(all.requests[0]?.message)
})

test('a node that has nothing of ours gets fifty one-time keys and a fallback that replace the stock', async () => {
  const all = await aHolder()
  all.answers.push(down())
  await expect(all.prekeys.replace()).rejects.toMatchObject({ code: 'network_unavailable' })
  await all.prekeys.replace()
  const [first, second] = all.uploads()
  expect(first).toMatchObject({ replace: true })
  expect(first?.oneTime).toHaveLength(50)
  expect(first?.fallback).toBeDefined()
  expect(second).toEqual(first)
  // Fifty are there now.
  await all.prekeys.refill()
  expect(all.uploads()).toHaveLength(2)
  // An upload that replaces nothing does not stand for one that does.
  all.answers.push(down())
  await all.prekeys.onStock(0, all.createdNs)
  await all.prekeys.replace()
  expect(all.uploads().map(({ replace }) => replace)).toEqual([true, true, false, true])
})

test('an older copy knows itself by an upload above every one known here', async () => {
  const all = await aHolder()
  expect(all.prekeys.isBehind(all.createdNs)).toBe(false)
  expect(all.prekeys.isBehind(all.createdNs + 1n)).toBe(true)
  const above = all.createdNs + 1_000_000_000_000n
  const made = all.prekeys.makeReplacement(above)
  expect(made.createdNs).toBe(above + 1n)
  expect(passed(parsePrekeyUpload(made.upload))).toMatchObject({
    replace: true,
    createdNs: above + 1n,
  })
  expect(made.oneTime).toHaveLength(50)
  // Nothing is kept before it is saved.
  expect(all.prekeys.find(made.oneTime[0]?.publicKey ?? new Uint8Array())).toBeUndefined()
  await commit(all.store, all.prekeys.uploadChange(made))
  expect(all.prekeys.isBehind(above + 1n)).toBe(false)
  await all.prekeys.refill()
  expect(all.requests[0]?.message).toEqual(made.upload)
})

test('an upload from the future, which a node claims, is not followed there', async () => {
  const all = await aHolder()
  const now = all.context.time.createdNs(0n)
  await all.prekeys.onStock(0, now + 600_000_000_000n)
  expect(all.uploads()[0]?.createdNs).toBe(now + 600_000_000_001n)
  const other = await aHolder()
  await other.prekeys.onStock(0, now + 600_000_000_001n)
  expect(other.uploads()[0]?.createdNs).toBe(other.createdNs + 1n)
})

test('there are at most a thousand one-time secrets: a node that wants ever more gets no more', async () => {
  const all = await aHolder()
  for (let n = 0; n < 21; n += 1) await all.prekeys.onStock(0, all.createdNs)
  const keys = all.uploads().flatMap(({ oneTime }) => oneTime.map(({ key }) => key))
  // Three were there before.
  expect(keys).toHaveLength(997)
  for (const key of keys) expect(all.prekeys.find(key)).toBeDefined()
  expect((await all.stored()).prekeys?.oneTime).toHaveLength(1_000)
  // A replacement takes the room of the oldest, on the disk and in memory.
  await all.prekeys.replace()
  const fresh =
    all
      .uploads()
      .at(-1)
      ?.oneTime.map(({ key }) => key) ?? []
  expect(fresh).toHaveLength(50)
  const kept = [...keys.slice(47), ...fresh]
  expect((await all.stored()).prekeys?.oneTime.map(({ publicKey }) => publicKey)).toEqual(kept)
  for (const key of kept) expect(all.prekeys.find(key)).toBeDefined()
  for (const key of keys.slice(0, 47)) expect(all.prekeys.find(key)).toBeUndefined()
})

test('a replacement that is refused as stale is made anew as a replacement, with the same fallback', async () => {
  const all = await aHolder()
  all.answers.push(new PadlockError('stale_upload'))
  await all.prekeys.replace()
  const [first, second] = all.uploads()
  expect([first?.replace, second?.replace]).toEqual([true, true])
  expect(second?.oneTime).toHaveLength(50)
  expect(second?.fallback?.key).toEqual(first?.fallback?.key)
  expect(second?.createdNs).toBeGreaterThan(first?.createdNs ?? 0n)
  for (const { key } of first?.oneTime ?? []) expect(all.prekeys.find(key)).toBeUndefined()
  // Nor are they on the disk.
  const { prekeys } = await all.stored()
  expect(prekeys?.oneTime.map(({ publicKey }) => publicKey)).toEqual([
    ...all.first.oneTime.map(({ publicKey }) => publicKey),
    ...(second?.oneTime ?? []).map(({ key }) => key),
  ])
})

test('a replacement counts for itself: what was in stock before is gone', async () => {
  const all = await aHolder()
  await all.prekeys.onStock(20, all.createdNs)
  await all.prekeys.replace()
  const keys = all.uploads()[1]?.oneTime.map(({ key }) => key) ?? []
  await commit(all.store, all.prekeys.usedChange(keys.slice(0, 26)))
  await until(() => all.uploads().length === 3)
  expect(all.uploads()[2]?.oneTime).toHaveLength(26)
})

test('a replacement waits for the upload that is under way', async () => {
  const all = await aHolder()
  const filling = all.prekeys.onStock(0, all.createdNs)
  await all.prekeys.replace()
  await filling
  expect(all.uploads().map(({ replace }) => replace)).toEqual([false, true])
  expect((await all.stored()).prekeys?.pendingUpload).toHaveLength(0)
  for (const { oneTime } of all.uploads()) {
    for (const { key } of oneTime) expect(all.prekeys.find(key)).toBeDefined()
  }
})

test('a refused upload that nothing takes the place of is forgotten with its keys', async () => {
  const all = await aHolder()
  all.answers.push(down(), new PadlockError('stock_full'))
  await all.prekeys.onStock(0, all.createdNs)
  await all.prekeys.onStock(100, all.createdNs)
  expect(all.uploads()).toHaveLength(2)
  const { prekeys } = await all.stored()
  expect(prekeys?.pendingUpload).toHaveLength(0)
  expect(prekeys?.oneTime).toHaveLength(3)
  for (const { key } of all.uploads()[0]?.oneTime ?? []) {
    expect(all.prekeys.find(key)).toBeUndefined()
  }
})

test('a batch that used no key asks for none', async () => {
  const all = await aHolder()
  all.answers.push(down())
  await all.prekeys.onStock(10, all.createdNs)
  const unused = all.prekeys.usedChange([])
  expect(unused.writes).toEqual([])
  await commit(all.store, unused)
  expect(all.requests).toHaveLength(1)
})

test('a database in which keys are missing is damaged, and says so', async () => {
  const codeOf = async (run: () => unknown): Promise<string> => {
    try {
      await run()
      return 'none'
    } catch (error) {
      return error instanceof PadlockError ? error.code : 'another'
    }
  }
  for (const gone of ['sealing', 'prekeys', 'times'] as const) {
    const all = await aHolder()
    await all.store.transaction([], () => ({
      writes: [remove(tables[gone], gone)],
      result: undefined,
    }))
    expect(await codeOf(() => all.again())).toBe('storage_damaged')
  }
  const all = await aHolder()
  all.answers.push(down())
  all.turn(30 * dayMs)
  await codeOf(() => all.sealingKeys.rotateIfDue())
  await all.store.transaction([], () => ({
    writes: [remove(tables.identity, 'identity')],
    result: undefined,
  }))
  expect(await codeOf(() => all.sealingKeys.publishPending())).toBe('storage_damaged')
  expect(await codeOf(() => all.sealingKeys.make(0n))).toBe('storage_damaged')
  await all.store.transaction([], () => ({
    writes: [put(tables.identity, 'identity', { contactBundle: Uint8Array.of(0xff) })],
    result: undefined,
  }))
  expect(await codeOf(() => all.sealingKeys.make(0n))).toBe('storage_damaged')
})
