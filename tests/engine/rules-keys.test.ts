/** Keys that age: docs/protocol.md sections 2 and 6, to the millisecond; one part alone. */

import { expect, test, vi } from 'vitest'
import { Answering } from '../../src/engine/answering.ts'
import type { Context } from '../../src/engine/context.ts'
import { Decryption } from '../../src/engine/decryption.ts'
import { Prekeys } from '../../src/engine/prekeys.ts'
import { SealingKeys } from '../../src/engine/sealing-keys.ts'
import { Upkeep } from '../../src/engine/upkeep.ts'
import { PadlockError, type PadlockErrorCode } from '../../src/errors.ts'
import type { OutgoingEnvelope } from '../../src/network/network.ts'
import { encodeHex } from '../../src/protocol/bytes.ts'
import {
  buildContactBundle,
  parseContactBundle,
  sealingKeySignature,
} from '../../src/protocol/contact.ts'
import {
  type PrekeyUpload,
  parsePrekeyUpload,
  prekeySignatures,
} from '../../src/protocol/prekey.ts'
import { contactTopic, prekeyTopic } from '../../src/protocol/topics.ts'
import { put, remove, tables } from '../../src/store/tables.ts'
import { until } from '../support/engine.ts'
import { aPartWorld, sendingParts } from '../support/engine-context.ts'

const hourMs = 3_600_000
const dayMs = 24 * hourMs

const value = <T>(
  checked: { readonly ok: true; readonly value: T } | { readonly ok: false },
): T => {
  if (!checked.ok) throw new Error('refused')
  return checked.value
}

/** An installation as registering left it, over a node that answers as the test says. */
const aHolder = async () => {
  const world = await aPartWorld()
  const requests: OutgoingEnvelope[] = []
  /** What the next requests are answered with; then each is taken. */
  const answers: (PadlockError | undefined)[] = []
  const stored = async () => ({
    sealing: (await world.store.get(tables.sealing, 'sealing'))?.value,
    prekeys: (await world.store.get(tables.prekeys, 'prekeys'))?.value,
    times: (await world.store.get(tables.times, 'times'))?.value,
    identity: (await world.store.get(tables.identity, 'identity'))?.value,
  })
  /** What lay in the store when each request left. */
  const storedAt: Awaited<ReturnType<typeof stored>>[] = []
  const context: Context = {
    ...world.context,
    network: {
      ...world.context.network,
      publish: async (envelopes) => {
        requests.push(...envelopes)
        storedAt.push(await stored())
        const answer = answers.shift()
        if (answer) throw answer
        return envelopes.map(() => ({ sequence: 1n, nodeNs: 1n }))
      },
    },
  }
  const { crypto, account } = context
  const createdNs = context.time.createdNs(0n)
  const [sealing, fallback, ...oneTime] = crypto
    .createKeyPairs(5)
    .map((pair) => ({ ...pair, createdNs }))
  if (!sealing || !fallback) throw new Error('no keys')
  const bundle = buildContactBundle({
    keys: account.keys,
    address: account.address,
    currentTime: '2026-11-20T08:13:00.000Z',
    signature: { kind: 'eip191', signature: new Uint8Array(65).fill(27) },
    sealingKey: { key: sealing.publicKey, createdNs, signature: new Uint8Array(64) },
  })
  await world.store.advance([], () => ({
    writes: [
      put(tables.identity, 'identity', { address: account.address, contactBundle: bundle }),
      put(tables.sealing, 'sealing', { secrets: [sealing] }),
      put(tables.prekeys, 'prekeys', { oneTime, fallback: [fallback] }),
      put(tables.times, 'times', { lastCreatedNs: createdNs, lastComposedNs: 5n }),
    ],
    result: undefined,
  }))
  world.committed.length = 0
  const sealingKeys = new SealingKeys(context)
  const prekeys = new Prekeys(context)
  await sealingKeys.load()
  await prekeys.load()
  const uploads = (): readonly PrekeyUpload[] =>
    requests
      .filter(({ topic }) => topic === prekeyTopic(account.installationId))
      .map(({ message }) => value(parsePrekeyUpload(message)))
  const bundles = () =>
    requests
      .filter(({ topic }) => topic === contactTopic(account.address))
      .map(({ message }) => value(parseContactBundle(message)))
  const again = async () => {
    const later = { sealingKeys: new SealingKeys(context), prekeys: new Prekeys(context) }
    await later.sealingKeys.load()
    await later.prekeys.load()
    return later
  }
  const warned = (code: PadlockErrorCode) =>
    context.status.current.warnings.find((warning) => warning.code === code)?.count ?? 0
  return {
    ...world,
    context,
    sealingKeys,
    prekeys,
    requests,
    answers,
    stored,
    storedAt,
    uploads,
    bundles,
    again,
    createdNs,
    first: { sealing, fallback, oneTime },
    bundle,
    warned,
    get waits() {
      return world.waits
    },
  }
}

const down = () => new PadlockError('network_unavailable')

// Sealing keys.

test('a sealing key is replaced after thirty days to the millisecond, by both clocks: section 2', async () => {
  const all = await aHolder()
  all.turn(30 * dayMs - 1)
  await all.sealingKeys.keepUp()
  expect(all.bundles()).toEqual([])
  // The own clock alone ends nothing (section 1).
  all.clock.nowMs += 10 * dayMs
  await all.sealingKeys.keepUp()
  expect(all.bundles()).toEqual([])
  all.clock.nowMs -= 10 * dayMs
  all.turn(1)
  await all.sealingKeys.keepUp()
  expect(all.bundles()).toHaveLength(1)
  await all.sealingKeys.keepUp()
  expect(all.bundles()).toHaveLength(1)
})

test('a new sealing key is under the same grant, signed, newer, and stored before it leaves', async () => {
  const all = await aHolder()
  all.turn(30 * dayMs)
  await all.sealingKeys.keepUp()
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

test('three sealing secrets are kept, the newest first: section 2', async () => {
  const all = await aHolder()
  for (let n = 0; n < 4; n += 1) {
    all.turn(30 * dayMs)
    await all.sealingKeys.keepUp()
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
  await expect(all.sealingKeys.keepUp()).rejects.toMatchObject({ code: 'network_unavailable' })
  all.turn(31 * dayMs)
  await expect(all.sealingKeys.keepUp()).rejects.toMatchObject({ code: 'network_unavailable' })
  expect((await all.stored()).identity?.contactBundle).toEqual(all.bundle)
  const later = await all.again()
  await later.sealingKeys.publishPending()
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
  await all.sealingKeys.keepUp()
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
  all.sealingKeys.saved(made)
  all.clock.nowMs -= dayMs
  const next = await all.sealingKeys.make(0n)
  expect(next.secrets[0]?.createdNs).toBe(above + 2n)
})

// Prekeys.

test.each([
  [0, 50],
  [24, 26],
  [25, 0],
  [49, 0],
])('of %s one-time keys in stock a client fills up with %s: section 6', async (left, expected) => {
  const all = await aHolder()
  await all.prekeys.heardStock(left, all.createdNs)
  expect(all.uploads().map(({ oneTime }) => oneTime.length)).toEqual(expected ? [expected] : [])
})

test('an upload is signed, above all before it, and its secrets are on the disk before it leaves', async () => {
  const all = await aHolder()
  const newest = all.createdNs + 5_000_000_000n
  await all.prekeys.heardStock(10, newest)
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
  await all.prekeys.heardStock(0, all.createdNs)
  expect(all.warned('network_unavailable')).toBe(1)
  await all.prekeys.heardStock(100, all.createdNs)
  const later = await all.again()
  await later.prekeys.heardStock(100, all.createdNs)
  const messages = all.requests.map(({ message }) => encodeHex(message))
  expect(messages).toHaveLength(3)
  expect(new Set(messages).size).toBe(1)
  await later.prekeys.heardStock(100, all.createdNs)
  expect(all.requests).toHaveLength(3)
})

test('no fallback is made while an upload is not acknowledged', async () => {
  const all = await aHolder()
  all.answers.push(down())
  await all.prekeys.heardStock(0, all.createdNs)
  all.turn(8 * dayMs)
  await all.prekeys.keepUp()
  expect(all.uploads().map(({ fallback }) => fallback)).toEqual([undefined, undefined])
  await all.prekeys.keepUp()
  expect(all.uploads()[2]?.fallback).toBeDefined()
})

test('who asks to fill up twice at once fills up once', async () => {
  const all = await aHolder()
  await Promise.all([
    all.prekeys.heardStock(0, all.createdNs),
    all.prekeys.heardStock(0, all.createdNs),
    all.prekeys.refill(),
  ])
  expect(all.uploads()).toHaveLength(1)
})

test('nothing is filled up before it is known what is there', async () => {
  const all = await aHolder()
  await all.prekeys.refill()
  expect(all.requests).toEqual([])
})

test('keys count once they are acknowledged; used ones count no more, and below 25 it fills up: section 6', async () => {
  const all = await aHolder()
  await all.prekeys.heardStock(20, all.createdNs)
  const [upload] = all.uploads()
  const keys = upload?.oneTime.map(({ key }) => key) ?? []
  expect(keys).toHaveLength(30)
  // 50 are there: 25 may go.
  for (const key of keys.slice(0, 25)) all.prekeys.committed([key])
  await all.prekeys.refill()
  expect(all.uploads().map(({ oneTime }) => oneTime.length)).toEqual([30, 25])
  for (const key of keys.slice(25, 30)) all.prekeys.committed([key])
  expect(all.uploads()).toHaveLength(2)
})

test('the twenty-sixth key that goes has the stock filled up by itself', async () => {
  const all = await aHolder()
  await all.prekeys.heardStock(20, all.createdNs)
  const keys = all.uploads()[0]?.oneTime.map(({ key }) => key) ?? []
  all.prekeys.committed(keys.slice(0, 25))
  await Promise.resolve()
  expect(all.uploads()).toHaveLength(1)
  all.prekeys.committed([])
  all.prekeys.committed(keys.slice(25, 26))
  await until(() => all.uploads().length === 2)
  expect(all.uploads()[1]?.oneTime).toHaveLength(26)
})

test('a used one-time secret goes with what is written, a fallback never does: section 6', async () => {
  const all = await aHolder()
  const { oneTime, fallback } = all.first
  const [used, ...others] = oneTime
  if (!used) return
  expect(all.prekeys.find(used.publicKey)).toEqual(used.secret)
  expect(all.prekeys.find(fallback.publicKey)).toEqual(fallback.secret)
  expect(all.prekeys.isOneTime(fallback.publicKey)).toBe(false)
  expect(all.prekeys.useWrites([fallback.publicKey])).toEqual([])
  expect(all.prekeys.find(new Uint8Array(32))).toBeUndefined()
  const writes = all.prekeys.useWrites([used.publicKey, fallback.publicKey])
  // Not before it is committed.
  expect(all.prekeys.find(used.publicKey)).toBeDefined()
  await all.store.advance([], () => ({ writes, result: undefined }))
  all.prekeys.committed([used.publicKey])
  expect(all.prekeys.find(used.publicKey)).toBeUndefined()
  const { prekeys } = await all.stored()
  expect(prekeys?.oneTime.map(({ publicKey }) => publicKey)).toEqual(
    others.map(({ publicKey }) => publicKey),
  )
  expect(prekeys?.fallback).toHaveLength(1)
})

test('a fallback is replaced after seven days to the millisecond, by both clocks; the one before it is kept until the next', async () => {
  const all = await aHolder()
  all.turn(7 * dayMs - 1)
  await all.prekeys.keepUp()
  all.clock.nowMs += dayMs
  await all.prekeys.keepUp()
  all.clock.nowMs -= dayMs
  expect(all.uploads()).toEqual([])
  all.turn(1)
  await all.prekeys.keepUp()
  const [upload] = all.uploads()
  expect(upload).toMatchObject({ replace: false, oneTime: [] })
  const [first, second] = [all.first.fallback.publicKey, upload?.fallback?.key ?? new Uint8Array()]
  for (const key of [first, second]) expect(all.prekeys.find(key)).toBeDefined()
  all.turn(7 * dayMs)
  await all.prekeys.keepUp()
  const third = all.uploads()[1]?.fallback?.key ?? new Uint8Array()
  expect(all.prekeys.find(first)).toBeUndefined()
  for (const key of [second, third]) expect(all.prekeys.find(key)).toBeDefined()
  const { prekeys } = await all.stored()
  expect(prekeys?.fallback.map(({ publicKey }) => publicKey)).toEqual([third, second])
})

test('one-time secrets that nobody used are dropped after ninety days to the millisecond, by both clocks', async () => {
  const all = await aHolder()
  const count = async () => (await all.stored()).prekeys?.oneTime.length
  all.turn(90 * dayMs - 1)
  await all.prekeys.keepUp()
  expect(await count()).toBe(3)
  all.clock.nowMs += dayMs
  await all.prekeys.keepUp()
  expect(await count()).toBe(3)
  all.clock.nowMs -= dayMs
  all.turn(1)
  await all.prekeys.keepUp()
  expect(await count()).toBe(0)
  for (const { publicKey } of all.first.oneTime) {
    expect(all.prekeys.find(publicKey)).toBeUndefined()
  }
  expect(all.prekeys.find(all.first.fallback.publicKey)).toBeDefined()
})

test.each(['stale_upload', 'stock_full'] as const)(
  'on %s the keys of that upload go, and its fallback comes again, signed anew: section 6',
  async (code) => {
    const all = await aHolder()
    all.turn(7 * dayMs)
    // Ahead of this clock, but not more than clocks may be.
    const heard = all.context.time.createdNs(0n) + 300_000_000_000n
    all.answers.push(down())
    await all.prekeys.heardStock(0, all.createdNs)
    await all.prekeys.heardStock(0, all.createdNs)
    all.answers.push(down())
    await all.prekeys.keepUp()
    // It brought a fallback, and one-time keys that it never will.
    all.answers.push(new PadlockError(code))
    await all.prekeys.heardStock(20, heard)
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
  await all.prekeys.heardStock(10, all.createdNs)
  expect(all.uploads().map(({ fallback }) => fallback)).toEqual([undefined, undefined])
  expect(all.warned('stale_upload')).toBe(1)
  const [first, second] = all.uploads()
  for (const { key } of [...(first?.oneTime ?? []), ...(second?.oneTime ?? [])]) {
    expect(all.prekeys.find(key)).toBeUndefined()
  }
  // Those from before are not touched.
  for (const { publicKey } of all.first.oneTime) expect(all.prekeys.find(publicKey)).toBeDefined()
  await all.prekeys.heardStock(10, all.createdNs)
  expect(all.uploads()).toHaveLength(3)
  expect(all.uploads()[2]?.createdNs).toBeGreaterThan(second?.createdNs ?? 0n)
})

test('another refusal leaves the upload as it is, for the next time', async () => {
  const all = await aHolder()
  all.answers.push(new PadlockError('rate_limited'))
  await all.prekeys.heardStock(10, all.createdNs)
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
  await all.prekeys.heardStock(0, all.createdNs)
  await all.prekeys.replace()
  expect(all.uploads().map(({ replace }) => replace)).toEqual([true, true, false, true])
})

test('an older copy of itself knows by uploads above every one known here', async () => {
  const all = await aHolder()
  expect(all.prekeys.isBehind(all.createdNs)).toBe(false)
  expect(all.prekeys.isBehind(all.createdNs + 1n)).toBe(true)
  const above = all.createdNs + 1_000_000_000_000n
  const made = all.prekeys.makeReplacement(above)
  expect(made.createdNs).toBe(above + 1n)
  expect(value(parsePrekeyUpload(made.upload))).toMatchObject({
    replace: true,
    createdNs: above + 1n,
  })
  expect(made.oneTime).toHaveLength(50)
  // Nothing is kept before it is saved.
  expect(all.prekeys.find(made.oneTime[0]?.publicKey ?? new Uint8Array())).toBeUndefined()
  all.prekeys.saved(made)
  expect(all.prekeys.isBehind(above + 1n)).toBe(false)
  await all.prekeys.refill()
  expect(all.requests[0]?.message).toEqual(made.upload)
})

test('an upload from the future, which a node claims, is not followed there', async () => {
  const all = await aHolder()
  const now = all.context.time.createdNs(0n)
  await all.prekeys.heardStock(0, now + 600_000_000_000n)
  expect(all.uploads()[0]?.createdNs).toBe(now + 600_000_000_001n)
  const other = await aHolder()
  await other.prekeys.heardStock(0, now + 600_000_000_001n)
  expect(other.uploads()[0]?.createdNs).toBe(other.createdNs + 1n)
})

test('of one-time secrets there are a thousand at most: a node that wants ever more gets no more', async () => {
  const all = await aHolder()
  for (let n = 0; n < 21; n += 1) await all.prekeys.heardStock(0, all.createdNs)
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
})

test('a replacement carries the fallback of an upload that was not acknowledged, and makes no other', async () => {
  const all = await aHolder()
  all.turn(7 * dayMs)
  all.answers.push(down())
  await all.prekeys.keepUp()
  await all.prekeys.replace()
  const [rotation, replacement] = all.uploads()
  expect(rotation?.fallback).toBeDefined()
  expect(replacement).toMatchObject({ replace: true })
  expect(replacement?.fallback?.key).toEqual(rotation?.fallback?.key)
  expect(all.prekeys.find(all.first.fallback.publicKey)).toBeDefined()
})

test('a replacement counts for itself: what was in stock before is gone', async () => {
  const all = await aHolder()
  await all.prekeys.heardStock(20, all.createdNs)
  await all.prekeys.replace()
  const keys = all.uploads()[1]?.oneTime.map(({ key }) => key) ?? []
  all.prekeys.committed(keys.slice(0, 26))
  await until(() => all.uploads().length === 3)
  expect(all.uploads()[2]?.oneTime).toHaveLength(26)
})

test('a replacement waits for the upload that is under way', async () => {
  const all = await aHolder()
  const filling = all.prekeys.heardStock(0, all.createdNs)
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
  await all.prekeys.heardStock(0, all.createdNs)
  await all.prekeys.heardStock(100, all.createdNs)
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
  await all.prekeys.heardStock(10, all.createdNs)
  all.prekeys.committed([])
  expect(all.prekeys.useWrites([])).toEqual([])
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
    await all.store.advance([], () => ({
      writes: [remove(tables[gone], gone)],
      result: undefined,
    }))
    expect(await codeOf(() => all.again())).toBe('storage_damaged')
  }
  const all = await aHolder()
  all.answers.push(down())
  all.turn(30 * dayMs)
  await codeOf(() => all.sealingKeys.keepUp())
  await all.store.advance([], () => ({
    writes: [remove(tables.identity, 'identity')],
    result: undefined,
  }))
  expect(await codeOf(() => all.sealingKeys.publishPending())).toBe('storage_damaged')
  expect(await codeOf(() => all.sealingKeys.make(0n))).toBe('storage_damaged')
  await all.store.advance([], () => ({
    writes: [put(tables.identity, 'identity', { contactBundle: Uint8Array.of(0xff) })],
    result: undefined,
  }))
  expect(await codeOf(() => all.sealingKeys.make(0n))).toBe('storage_damaged')
})

// Upkeep.

test('all that ages is looked after at each connect and once an hour, each for itself', async () => {
  const all = await aHolder()
  const { context, sealingKeys, prekeys } = all
  const parts = sendingParts(context)
  const answering = new Answering(context, parts)
  const decryption = new Decryption(context, parts.sessions, prekeys)
  const spies = [
    vi.spyOn(sealingKeys, 'keepUp').mockRejectedValue(down()),
    vi.spyOn(prekeys, 'keepUp').mockRejectedValue(new Error('what')),
    vi.spyOn(parts.sessions, 'prune').mockResolvedValue(),
    vi.spyOn(decryption, 'forgetOld').mockResolvedValue(),
    vi.spyOn(answering, 'forgetOld').mockResolvedValue(),
  ]
  const counts = () => spies.map((spy) => spy.mock.calls.length)
  const upkeep = new Upkeep(context, {
    sealingKeys,
    prekeys,
    sessions: parts.sessions,
    decryption,
    answering,
  })
  void upkeep.run()
  await until(() => all.waits.length === 1)
  expect(counts()).toEqual([0, 0, 0, 0, 0])
  upkeep.setLive(true)
  await until(() => all.waits.length === 1)
  expect(counts()).toEqual([1, 1, 1, 1, 1])
  expect(spies[2]?.mock.calls).toEqual([[context.time.passedMs()]])
  expect(all.warned('network_unavailable')).toBe(1)
  expect(all.warned('internal')).toBe(1)
  all.turn(hourMs - 1)
  await until(() => all.waits.length === 1)
  expect(counts()).toEqual([1, 1, 1, 1, 1])
  all.turn(1)
  await until(() => all.waits.length === 1)
  expect(counts()).toEqual([2, 2, 2, 2, 2])
  upkeep.setLive(false)
  all.turn(2 * hourMs)
  await until(() => all.waits.length === 1)
  expect(counts()).toEqual([2, 2, 2, 2, 2])
})
