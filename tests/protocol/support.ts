/** What the tests of the pure protocol share: property checks with a fixed seed, and generators. */
import fc from 'fast-check'
import type { Address, IdentityKeys, InstallationId } from '../../src/protocol/ids.ts'
import { deriveInstallationId } from '../../src/protocol/ids.ts'
import type { Checked } from '../../src/protocol/result.ts'

/** The seed of every property, so that a failure comes back; fast-check prints it with the failure. */
const seed = 20261120

/** Checks a property on 200 values, the same in each run. */
export const check = <T>(arbitrary: fc.Arbitrary<T>, property: (value: T) => void): void =>
  fc.assert(fc.property(arbitrary, property), { seed, numRuns: 200 })

/** The value of a check that must pass. */
export function passed<T>(result: Checked<T>): T {
  if (!result.ok) throw new Error(`refused: ${result.code}, ${result.why}`)
  return result.value
}

const hexDigits = '0123456789abcdef'

export const addresses: fc.Arbitrary<Address> = fc
  .string({ unit: fc.constantFrom(...hexDigits), minLength: 40, maxLength: 40 })
  .map((digits) => `0x${digits}` as Address)

export const bytesOf = (length: number): fc.Arbitrary<Uint8Array> =>
  fc.uint8Array({ minLength: length, maxLength: length })

export const identityKeys: fc.Arbitrary<IdentityKeys> = fc.record({
  curve25519: bytesOf(32),
  ed25519: bytesOf(32),
})

export const installationIds: fc.Arbitrary<InstallationId> = identityKeys.map((keys) =>
  passed(deriveInstallationId(keys)),
)

export const timesNs: fc.Arbitrary<bigint> = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })

/** Bytes that are not what a parser wants: random ones, and a good message cut or changed in one bit. */
export const damaged = (good: Uint8Array): fc.Arbitrary<Uint8Array> =>
  fc.oneof(
    fc.uint8Array({ maxLength: 300 }),
    fc.nat({ max: Math.max(0, good.length - 1) }).map((length) => good.slice(0, length)),
    fc.nat({ max: good.length * 8 - 1 }).map((bit) => {
      const changed = Uint8Array.from(good)
      changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      return changed
    }),
  )
