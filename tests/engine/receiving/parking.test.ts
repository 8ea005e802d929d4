/** How much is parked, and what is dropped: docs/protocol.md section 8, In, step 3. */

import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type NewlyParked, Parking } from '../../../src/engine/receiving/parking.ts'
import { commit } from '../../../src/engine/runtime/change.ts'
import {
  type Address,
  type InstallationId,
  parseInstallationId,
} from '../../../src/protocol/ids.ts'
import { openIdbStore } from '../../../src/store/idb.ts'
import { tables } from '../../../src/store/tables.ts'
import { addressOf, passed } from '../../support/checked.ts'
import { freshDatabase, loadTestCrypto } from '../../support/engine.ts'
import { runSeed } from '../../support/random.ts'

const address = (n: number): Address =>
  addressOf({ address: `0x${n.toString(16).padStart(40, '0')}` })

const installation = (n: number): InstallationId =>
  passed(parseInstallationId(`${String(n).padStart(42, 'a')}A`))

const mib = 1024 * 1024
const shared = new Uint8Array(mib)

const parked = (from: number, bytes: number, sequence = 1n): NewlyParked => ({
  message: shared.subarray(0, bytes),
  sequence,
  nodeNs: sequence,
  isAccepted: true,
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

test('four megabytes of one address are parked: what comes later is dropped', async () => {
  const { store, parking, park } = await aParking()
  for (let n = 1n; n <= 4n; n++) expect(await park(parked(1, mib, n))).toBe(0)
  expect(await park(parked(1, 1, 5n))).toBe(1)
  expect(await park(parked(2, mib, 6n))).toBe(0)
  const rows = parking.of(claimed(1))
  expect(rows.map(({ nodeNs }) => nodeNs)).toEqual([1n, 2n, 3n, 4n])

  // The store agrees, and a client that opens it again too.
  const reopened = new Parking(store)
  await reopened.load()
  expect([...reopened.addresses()]).toEqual([address(1), address(2)])
  expect(reopened.of(claimed(1)).map(({ nodeNs }) => nodeNs)).toEqual([1n, 2n, 3n, 4n])
})

test('at 16 megabytes the newest of the largest address goes, not the one that comes', async () => {
  const { store, parking, park } = await aParking()
  // Three addresses with 4 MiB, then one with 3: 15 MiB.
  for (let from = 1; from <= 3; from++) {
    const all = [1n, 2n, 3n, 4n].map((n) => parked(from, mib, BigInt(from) * 10n + n))
    expect(await park(...all)).toBe(0)
  }
  expect(await park(parked(16, mib, 161n), parked(16, mib, 162n), parked(16, mib, 163n))).toBe(0)
  expect(await park(parked(17, mib, 171n))).toBe(0)
  // Now full. A stranger with little to say costs one of the largest its newest.
  expect(await park(parked(18, 1, 181n))).toBe(1)
  expect(parking.of(claimed(18)).map(({ nodeNs }) => nodeNs)).toEqual([181n])
  expect(parking.of(claimed(1)).map(({ nodeNs }) => nodeNs)).toEqual([11n, 12n, 13n])
  const reopened = new Parking(store)
  await reopened.load()
  expect(reopened.of(claimed(1)), 'the store agrees').toHaveLength(3)
  for (let from = 2; from <= 3; from++) {
    expect(parking.of(claimed(from))).toHaveLength(4)
  }
  // Two of one megabyte: room for one is made already, but not for both.
  expect(await park(parked(19, mib, 191n), parked(20, mib, 201n))).toBe(2)
})

test('what was dropped takes no room later', async () => {
  const { store, parking, park } = await aParking()
  const five = [1n, 2n, 3n, 4n, 5n].map((n) => parked(1, mib, n))
  for (const round of ['first', 'second', 'third']) {
    expect(await park(...five), round).toBe(1)
    expect(parking.of(claimed(1)).map(({ nodeNs }) => nodeNs)).toEqual([1n, 2n, 3n, 4n])
    await commit(store, parking.removalChange(parking.of(claimed(1))))
  }
})

test('the bounds of parking hold in any order, and nothing is lost uncounted', async () => {
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
        expect([...sums.values()].reduce((a, b) => a + b)).toBeLessThanOrEqual(16 * mib)
        expect([...parking.addresses()].sort()).toEqual([...sums.keys()].sort())
      },
    ),
    { seed: runSeed(), numRuns: 12 },
  )
  // Whatever the seed chose, the bound of one address is met once.
  dropped += await park(...Array.from({ length: 6 }, () => parked(1, mib)))
  expect(dropped).toBeGreaterThan(0)
})

test('envelopes that were worked off are parked no longer', async () => {
  const { store, parking, park } = await aParking()
  await park(parked(1, 10, 1n), parked(1, 10, 2n), parked(2, 10, 3n))
  expect(parking.has(claimed(1))).toBe(true)
  expect(parking.installations(new Set([address(1), address(3)]))).toEqual([claimed(1)])
  const two = parking.of(claimed(1))
  await commit(store, parking.removalChange(two.slice(0, 1)))
  expect(parking.has(claimed(1)), 'one of two is left').toBe(true)
  await commit(store, parking.removalChange(two.slice(1)))
  expect(parking.has(claimed(1))).toBe(false)
  expect([...parking.addresses()]).toEqual([address(2)])
})
