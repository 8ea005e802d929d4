/**
 * Contact bundles and revocations: wire form, shape and wallet signatures. What a node does with
 * them over time is tested with the node; here each `accept` vector is checked against the rules
 * that need no state.
 */

import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  buildContactBundle,
  parseContactBundle,
  sealingKeySignature,
  verifyGrant,
} from '../../src/protocol/contact.ts'
import { type Address, deriveInstallationId } from '../../src/protocol/ids.ts'
import {
  buildRevocation,
  parseRevocation,
  verifyRevocation,
} from '../../src/protocol/revocation.ts'
import type { WalletSignature } from '../../src/protocol/wallet-association.ts'
import { Fields, readVectors, testVectors } from '../vectors/vectors.ts'
import { acceptWithoutState, expectAccepted } from './accept.ts'
import { addresses, bytesOf, check, damaged, identityKeys, passed, timesNs } from './support.ts'
import { runDecode, runEncode } from './wire.ts'

testVectors('contact', {
  encode: runEncode,
  decode: runDecode,
  accept: (vector) => {
    const result = acceptWithoutState(vector)
    if (vector.name === 'node: ed25519 identity key of small order') {
      // Only a strict verifier refuses this one, and this test has none: all else about it is right.
      expect(verifyGrant(passed(parseContactBundle(vector.input.bytes('message')))).ok).toBe(true)
      return
    }
    expectAccepted(vector, result)
    if (!result.ok || !vector.input.text('topic').startsWith('revoked-')) return
    const output = vector.output === undefined ? undefined : new Fields(vector.output)
    if (output?.has('revoked')) {
      const ids = passed(parseRevocation(vector.input.bytes('message'))).installationIds
      // The vector lists all that are revoked by then, these among them.
      expect(output.list('revoked')).toEqual(expect.arrayContaining([...ids]))
    }
  },
})

const walletSignatures: fc.Arbitrary<WalletSignature> = fc.oneof(
  fc
    .tuple(bytesOf(64), fc.constantFrom(27, 28))
    .map(([rs, v]) => ({ kind: 'eip191', signature: Uint8Array.of(...rs, v) }) as const),
  fc
    .tuple(timesNs, fc.uint8Array({ maxLength: 200 }))
    .map(([chainId, signature]) => ({ kind: 'erc1271', chainId, signature }) as const),
)

const bundles = fc.record({
  keys: identityKeys,
  address: addresses,
  currentTime: fc.constant('2026-11-20T08:13:00.000+01:00'),
  signature: walletSignatures,
  sealingKey: fc.record({ key: bytesOf(32), createdNs: timesNs, signature: bytesOf(64) }),
})

test('section 3: a bundle is read back as it was built', () => {
  check(bundles, (bundle) => {
    const installationId = passed(deriveInstallationId(bundle.keys))
    const value = { ...bundle, installationId }
    expect(parseContactBundle(buildContactBundle(bundle))).toEqual({ ok: true, value })
  })
})

test('section 3: what is parsed does not share memory with what it was parsed from', () => {
  const [vector] = readVectors('contact').filter((each) => each.op === 'accept')
  if (vector === undefined) throw new Error('no vector')
  const bytes = vector.input.bytes('message')
  const bundle = passed(parseContactBundle(bytes))
  const key = Uint8Array.from(bundle.sealingKey.key)
  bytes.fill(0)
  expect(bundle.sealingKey.key).toEqual(key)
  expect(bundle.sealingKey.key.buffer.byteLength).toBe(32)
  expect(verifyGrant(bundle).ok).toBe(true)
})

test('section 3: shape faults are malformed, each of them', () => {
  const bundle = {
    keys: { curve25519: new Uint8Array(32), ed25519: new Uint8Array(32) },
    address: `0x${'a'.repeat(40)}` as Address,
    currentTime: '2026-11-20T08:13:00.000Z',
    signature: { kind: 'eip191', signature: new Uint8Array(65).fill(27) } as const,
    sealingKey: { key: new Uint8Array(32), createdNs: 1n, signature: new Uint8Array(64) },
  }
  const parse = (changed: Partial<Parameters<typeof buildContactBundle>[0]>) =>
    parseContactBundle(buildContactBundle({ ...bundle, ...changed }))
  expect(parse({}).ok).toBe(true)
  const faults = [
    { currentTime: '2026-11-20T08:13:00.000Z\n' },
    { address: '0xAAAA' as Address },
    { signature: { kind: 'eip191', signature: new Uint8Array(65).fill(26) } },
    { signature: { kind: 'eip191', signature: new Uint8Array(64).fill(27) } },
    { signature: { kind: 'erc1271', chainId: 1n, signature: new Uint8Array(8193) } },
    { keys: { curve25519: new Uint8Array(32), ed25519: new Uint8Array(31) } },
    { sealingKey: { ...bundle.sealingKey, signature: new Uint8Array(63) } },
    { sealingKey: { ...bundle.sealingKey, key: new Uint8Array() } },
  ] as const
  for (const fault of faults) expect(parse(fault)).toMatchObject({ ok: false, code: 'malformed' })
  const largest = new Uint8Array(8192)
  expect(parse({ signature: { kind: 'erc1271', chainId: 1n, signature: largest } }).ok).toBe(true)
})

test('section 3: no bundle and no revocation makes a parser throw', () => {
  for (const vector of readVectors('contact')) {
    if (vector.op !== 'accept' || vector.output === undefined) continue
    const message = vector.input.bytes('message')
    if (message.length > 2000) continue
    fc.assert(
      fc.property(damaged(message), (bytes) => {
        for (const result of [parseContactBundle(bytes), parseRevocation(bytes)]) {
          if (!result.ok) expect(result.code).toBe('malformed')
        }
        const bundle = parseContactBundle(bytes)
        if (bundle.ok) {
          const grant = verifyGrant(bundle.value)
          if (!grant.ok) expect(['bad_signature', 'not_supported_yet']).toContain(grant.code)
          expect(sealingKeySignature(bundle.value).message.length).toBeGreaterThan(100)
        }
      }),
      { seed: 20261120, numRuns: 50 },
    )
  }
})

test('section 3: a revocation is read back in its one order, and every other order is refused', () => {
  const lists = fc.uniqueArray(identityKeys, {
    minLength: 1,
    maxLength: 5,
    selector: (keys) => passed(deriveInstallationId(keys)),
  })
  check(fc.tuple(lists, addresses, walletSignatures), ([list, address, signature]) => {
    const idOf = (keys: (typeof list)[number]) => passed(deriveInstallationId(keys))
    const installations = [...list].sort((a, b) => (idOf(a) < idOf(b) ? -1 : 1))
    const association = { address, currentTime: '2026-11-20T08:13:00.000Z', signature }
    const revocation = passed(parseRevocation(buildRevocation({ ...association, installations })))
    expect(revocation.installations).toEqual(installations)
    expect(revocation.installationIds).toEqual(installations.map(idOf))

    const [first] = installations
    if (first === undefined) return
    for (const wrong of [[], [first, ...installations], [...installations].reverse()]) {
      if (wrong.length === 1) continue
      const fields = { ...association, installations: wrong }
      expect(parseRevocation(buildRevocation(fields))).toMatchObject({
        ok: false,
        code: 'malformed',
      })
      expect(verifyRevocation(fields)).toMatchObject({ ok: false, code: 'malformed' })
    }
  })
})
