/** The pure rules of the engine, each on its own. */

import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type NewlyParked, Parking } from '../../src/engine/receiving/parking.ts'
import { LookupLimiter } from '../../src/engine/receiving/sender-lookup.ts'
import { Backoff } from '../../src/engine/runtime/backoff.ts'
import { commit } from '../../src/engine/runtime/change.ts'
import { Mutex } from '../../src/engine/runtime/mutex.ts'
import { NodeTime } from '../../src/engine/runtime/node-time.ts'
import type { Platform } from '../../src/platform/platform.ts'
import {
  type Address,
  type InstallationId,
  parseAddress,
  parseInstallationId,
} from '../../src/protocol/ids.ts'
import { openIdbStore } from '../../src/store/idb.ts'
import { messageOrder, tables } from '../../src/store/tables.ts'
import { freshDatabase, loadTestCrypto } from '../support/engine.ts'
import { runSeed } from '../support/random.ts'

const address = (n: number): Address => {
  const parsed = parseAddress(`0x${n.toString(16).padStart(40, '0')}`)
  if (!parsed.ok) throw new Error('an address')
  return parsed.value
}

const installation = (n: number): InstallationId => {
  const parsed = parseInstallationId(`${String(n).padStart(42, 'a')}A`)
  if (!parsed.ok) throw new Error('an installation id')
  return parsed.value
}

/** A platform whose clocks and randomness the test sets. */
const aPlatform = () => {
  const clock = { nowMs: 1_800_000_000_000, monotonicMs: 5_000, byte: 0 }
  const platform: Platform = {
    nowMs: () => clock.nowMs,
    monotonicMs: () => clock.monotonicMs,
    randomBytes: (length) => new Uint8Array(length).fill(clock.byte),
    wait: async () => undefined,
    takeLock: async () => undefined,
    onOnline: () => () => undefined,
  }
  return { clock, platform }
}

// Backoff.

test('back-off doubles from half a second and never passes a minute', () => {
  const { clock, platform } = aPlatform()
  for (const byte of [0, 255]) {
    clock.byte = byte
    const backoff = new Backoff(platform)
    const share = 0.5 + byte / 512
    const waits = Array.from({ length: 12 }, () => backoff.next())
    const full = [500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000, 60_000]
    expect(waits.slice(0, 10)).toEqual(full.map((ms) => ms * share))
    expect(Math.max(...waits)).toBeLessThanOrEqual(60_000)
    backoff.reset()
    expect(backoff.next()).toBe(500 * share)
  }
})

test('a node may ask for a longer wait, up to five minutes', () => {
  const backoff = new Backoff(aPlatform().platform)
  expect(backoff.next(20_000)).toBe(20_000)
  expect(backoff.next(Number.MAX_SAFE_INTEGER)).toBe(300_000)
  expect(backoff.next(0)).toBe(1_000)
})

// Lookups: docs/protocol.md section 8, step 3.

test('fifty look-ups a minute, whoever asks for more', () => {
  const { clock, platform } = aPlatform()
  const lookups = new LookupLimiter(platform)
  const many = Array.from({ length: 70 }, (_, n) => address(n))
  expect(lookups.take(many.slice(0, 30))).toEqual(many.slice(0, 30))
  expect(lookups.take(many.slice(30))).toEqual(many.slice(30, 50))
  expect(lookups.take(many.slice(50))).toEqual([])
  clock.monotonicMs += 59_999
  expect(lookups.take(many.slice(50))).toEqual([])
  clock.monotonicMs += 1
  expect(lookups.take(many.slice(50))).toEqual(many.slice(50))
})

test('section 8: look-ups are counted over any minute, not from one minute to the next', () => {
  const { clock, platform } = aPlatform()
  const lookups = new LookupLimiter(platform)
  const many = Array.from({ length: 200 }, (_, n) => address(n))
  lookups.take(many.slice(0, 10))
  clock.monotonicMs += 59_000
  lookups.take(many.slice(10, 50))
  clock.monotonicMs += 1_000
  expect(lookups.left).toBe(10)
  expect(lookups.take(many.slice(50, 150))).toHaveLength(10)
})

test('section 8: accounts with a conversation are looked up before all others, then one by one in turn', () => {
  const { clock, platform } = aPlatform()
  const lookups = new LookupLimiter(platform)
  const many = Array.from({ length: 70 }, (_, n) => address(n))
  const friends = new Set([address(68), address(69)])
  expect(lookups.take(many, friends).slice(0, 3)).toEqual([address(68), address(69), address(0)])
  clock.monotonicMs += 60_000
  // Twenty-two had no turn yet.
  expect(lookups.take(many, friends).slice(0, 22)).toEqual([
    address(68),
    address(69),
    ...many.slice(48, 68),
  ])
})

test('the wall clock gives no look-ups', () => {
  const { clock, platform } = aPlatform()
  const lookups = new LookupLimiter(platform)
  lookups.take(Array.from({ length: 50 }, (_, n) => address(n)))
  clock.nowMs += 86_400_000
  expect(lookups.take([address(99)])).toEqual([])
})

// Parking: docs/protocol.md section 8, step 3.

const mib = 1024 * 1024
const shared = new Uint8Array(mib)

const parked = (from: number, bytes: number, sequence = 1n): NewlyParked => ({
  message: shared.subarray(0, bytes),
  sequence,
  nodeNs: sequence,
  address: address(from),
  installationId: installation(from),
})

const claimed = (from: number) => ({ address: address(from), installationId: installation(from) })

const aParking = async () => {
  const database = freshDatabase()
  const crypto = await loadTestCrypto()
  const store = await openIdbStore(database, crypto, () => undefined)
  const parking = new Parking(store)
  await parking.load()
  const park = async (...envelopes: NewlyParked[]): Promise<number> => {
    const parked = parking.parkChange(envelopes, 1)
    await commit(store, parked)
    return parked.dropped
  }
  return { store, parking, park }
}

test('of one address four megabytes are parked: what comes later is dropped', async () => {
  const { store, parking, park } = await aParking()
  for (let n = 1n; n <= 4n; n++) expect(await park(parked(1, mib, n))).toBe(0)
  expect(await park(parked(1, 1, 5n))).toBe(1)
  expect(await park(parked(2, mib, 6n))).toBe(0)
  const rows = await parking.of(claimed(1))
  expect(rows.map(({ value }) => value.sequence)).toEqual([1n, 2n, 3n, 4n])

  // The store agrees, and a client that opens it again too.
  const reopened = new Parking(store)
  await reopened.load()
  expect([...reopened.addresses()]).toEqual([address(1), address(2)])
  expect((await reopened.of(claimed(1))).map(({ value }) => value.sequence)).toEqual([
    1n,
    2n,
    3n,
    4n,
  ])
})

test('at 64 megabytes the newest of the largest address goes, not the one that comes', async () => {
  const { store, parking, park } = await aParking()
  // 15 addresses with 4 MiB, then one with 3: 63 MiB.
  for (let from = 1; from <= 15; from++) {
    const all = [1n, 2n, 3n, 4n].map((n) => parked(from, mib, BigInt(from) * 10n + n))
    expect(await park(...all)).toBe(0)
  }
  expect(await park(parked(16, mib, 161n), parked(16, mib, 162n), parked(16, mib, 163n))).toBe(0)
  expect(await park(parked(17, mib, 171n))).toBe(0)
  // Now full. A stranger with little to say costs one of the largest its newest.
  expect(await park(parked(18, 1, 181n))).toBe(1)
  expect((await parking.of(claimed(18))).map(({ value }) => value.sequence)).toEqual([181n])
  expect((await parking.of(claimed(1))).map(({ value }) => value.sequence)).toEqual([11n, 12n, 13n])
  const reopened = new Parking(store)
  await reopened.load()
  expect(await reopened.of(claimed(1)), 'the store agrees').toHaveLength(3)
  for (let from = 2; from <= 15; from++) {
    expect(await parking.of(claimed(from))).toHaveLength(4)
  }
  // Two of one megabyte: room for one is made already, but not for both.
  expect(await park(parked(19, mib, 191n), parked(20, mib, 201n))).toBe(2)
})

test('whatever is parked in whatever order, the bounds hold and nothing is lost uncounted', async () => {
  const { store, parking, park } = await aParking()
  let arrived = 0
  let dropped = 0
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: mib })), {
        minLength: 1,
        maxLength: 40,
      }),
      async (batch) => {
        dropped += await park(...batch.map(([from, bytes]) => parked(from, bytes)))
        arrived += batch.length
        const rows = await store.all(tables.parked)
        const sums = new Map<string, number>()
        for (const { value } of rows) {
          sums.set(value.address, (sums.get(value.address) ?? 0) + value.message.length)
        }
        expect(rows.length).toBe(arrived - dropped)
        expect(Math.max(...sums.values())).toBeLessThanOrEqual(4 * mib)
        expect([...sums.values()].reduce((a, b) => a + b)).toBeLessThanOrEqual(64 * mib)
        expect([...parking.addresses()].sort()).toEqual([...sums.keys()].sort())
      },
    ),
    { seed: runSeed(), numRuns: 12 },
  )
  // Whatever the seed chose, the bound of one address is met once.
  dropped += await park(...Array.from({ length: 6 }, () => parked(1, mib)))
  expect(dropped).toBeGreaterThan(0)
})

test('what was worked off is parked no longer', async () => {
  const { store, parking, park } = await aParking()
  await park(parked(1, 10, 1n), parked(1, 10, 2n), parked(2, 10, 3n))
  expect(parking.has(claimed(1))).toBe(true)
  expect(parking.installations(new Set([address(1), address(3)]))).toEqual([claimed(1)])
  const numbers = (await parking.of(claimed(1))).map(({ number }) => number)
  await commit(store, parking.removalChange(numbers.slice(0, 1)))
  expect(parking.has(claimed(1)), 'one of two is left').toBe(true)
  await commit(store, parking.removalChange(numbers.slice(1)))
  expect(parking.has(claimed(1))).toBe(false)
  expect([...parking.addresses()]).toEqual([address(2)])
})

// Order: docs/protocol.md section 8, Order.

const ns = fc.bigInt({ min: 1n, max: 2n ** 64n - 2n })

const compare = (a: Uint8Array, b: Uint8Array): number => Buffer.compare(a, b)

test('messages stand by node time, then by time of composition', () => {
  fc.assert(
    fc.property(ns, ns, ns, ns, (nodeA, composedA, nodeB, composedB) => {
      const expected =
        nodeA === nodeB ? Math.sign(Number(composedA - composedB)) : nodeA < nodeB ? -1 : 1
      const order = compare(messageOrder(nodeA, composedA), messageOrder(nodeB, composedB))
      expect(Math.sign(order)).toBe(expected)
    }),
    { seed: runSeed() },
  )
  expect(compare(messageOrder(7n, 1n), messageOrder(7n, 2n))).toBe(-1)
  expect(compare(messageOrder(7n, 2n), messageOrder(7n, 2n))).toBe(0)
})

test('pending messages stand last, in the order in which they were written', () => {
  fc.assert(
    fc.property(ns, ns, ns, (node, composed, pending) => {
      expect(compare(messageOrder(0n, pending), messageOrder(node, composed))).toBe(1)
    }),
    { seed: runSeed() },
  )
  expect(compare(messageOrder(0n, 1n), messageOrder(0n, 2n))).toBe(-1)
})

// Serial.

test('tasks run one after the other, in the order of their asking', async () => {
  const serial = new Mutex()
  const log: string[] = []
  let inside = 0
  const task = (name: string, turns: number) => async () => {
    inside += 1
    expect(inside).toBe(1)
    log.push(`${name} begins`)
    for (let turn = 0; turn < turns; turn++) await Promise.resolve()
    log.push(`${name} ends`)
    inside -= 1
    return name
  }
  const results = await Promise.all([
    serial.runExclusive(task('a', 5)),
    serial.runExclusive(task('b', 0)),
    serial.runExclusive(task('c', 2)),
  ])
  expect(results).toEqual(['a', 'b', 'c'])
  expect(log).toEqual(['a begins', 'a ends', 'b begins', 'b ends', 'c begins', 'c ends'])
})

test('a task that fails fails its caller and nobody else', async () => {
  const serial = new Mutex()
  const failing = serial.runExclusive(async () => {
    throw new Error('one')
  })
  const throwing = serial.runExclusive(() => {
    throw new Error('two')
  })
  const good = serial.runExclusive(async () => 3)
  await expect(failing).rejects.toThrow('one')
  await expect(throwing).rejects.toThrow('two')
  expect(await good).toBe(3)
})

// NodeTime: docs/protocol.md section 1, Clocks.

const msToNs = 1_000_000n

test('node time is unknown at first, then the node’s word plus the time since', () => {
  const { clock, platform } = aPlatform()
  const time = new NodeTime(platform)
  expect(time.nodeNs()).toBeUndefined()
  time.onNodeTime(1_000n)
  expect(time.nodeNs()).toBe(1_000n)
  clock.monotonicMs += 250.9
  clock.nowMs -= 3_600_000
  expect(time.nodeNs()).toBe(1_000n + 250n * msToNs)
  time.onNodeTime(5_000n)
  expect(time.nodeNs()).toBe(5_000n)
})

test('created_ns is later than the last, and else the earlier of the two clocks', () => {
  const { clock, platform } = aPlatform()
  const time = new NodeTime(platform)
  const own = BigInt(clock.nowMs) * msToNs
  expect(time.createdNs(0n)).toBe(own)
  time.onNodeTime(own + 60_000n * msToNs)
  expect(time.createdNs(0n)).toBe(own)
  time.onNodeTime(own - 60_000n * msToNs)
  expect(time.createdNs(0n)).toBe(own - 60_000n * msToNs)
  expect(time.createdNs(own)).toBe(own + 1n)
})

test('composed_ns is the own clock and ascends, also when the clock jumps back', () => {
  const { clock, platform } = aPlatform()
  const time = new NodeTime(platform)
  time.onNodeTime(1n)
  let last = 0n
  for (const step of [0, 0, 5, -86_400_000, 1, 0]) {
    clock.nowMs += step
    const next = time.composedNs(last)
    expect(next).toBeGreaterThan(last)
    last = next
  }
  expect(last).toBe(BigInt(1_800_000_000_005) * msToNs + 3n)
})
