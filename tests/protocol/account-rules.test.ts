/** Which grants of an account count: the vectors, and what holds for all accounts. */
import { expect, test } from 'vitest'
import {
  afterSigning,
  countsAsContract,
  judgeGrants,
  maySign,
  noSigners,
} from '../../src/protocol/account-rules.ts'
import { encodeHex } from '../../src/protocol/bytes.ts'
import { parseCanonicalAddress, parseInstallationId } from '../../src/protocol/ids.ts'
import { vouchSigningBytes } from '../../src/protocol/signing-bytes.ts'
import { buildVouch, isVouch, parseVouch } from '../../src/protocol/vouch.ts'
import { testVectors } from '../vectors/vectors.ts'
import { passed } from './support.ts'

const chainOf = (text: string | null): bigint | undefined =>
  text === null ? undefined : BigInt(text)

testVectors('account', {
  judge_grants: ({ input, output }) => {
    const grants = input.objects('grants').map((grant) => ({
      id: grant.text('id'),
      chainId: chainOf(grant.textOrNull('chain_id')),
      isDelegated: grant.value('is_delegated') === true,
      nodeNs: grant.integer('node_ns'),
      sealingCreatedNs: grant.integer('sealing_created_ns'),
      revokedNs: grant.integer('revoked_ns'),
      vouches: grant.objects('vouches').map((vouch) => ({
        by: vouch.text('by'),
        nodeNs: vouch.integer('node_ns'),
      })),
    }))
    const signers = {
      isKeyed: input.value('is_keyed') === true,
      chainId: chainOf(input.textOrNull('chain_id')),
    }
    // In whatever order they are known.
    for (const order of [grants, [...grants].reverse()]) {
      const states = judgeGrants(order, signers, input.integer('passed_ns'))
      expect(Object.fromEntries(states)).toEqual(output)
    }
  },
  vouch: ({ input, output }) => {
    const [address, voucherId, installationId] = [
      passed(parseCanonicalAddress(input.text('address'))),
      passed(parseInstallationId(input.text('voucher_id'))),
      passed(parseInstallationId(input.text('installation_id'))),
    ]
    const signature = input.bytes('signature')
    const message = buildVouch({ voucherId, installationId, signature })
    const signingBytes = vouchSigningBytes({ address, voucherId, installationId })
    expect({ signing_bytes: encodeHex(signingBytes), message: encodeHex(message) }).toEqual(output)
    expect(isVouch(message)).toBe(true)
    expect(passed(parseVouch(message))).toEqual({ voucherId, installationId, signature })
  },
  parse_vouch: ({ input, code }) => {
    const message = input.bytes('message')
    expect(isVouch(message)).toBe(true)
    expect(parseVouch(message)).toMatchObject({ ok: false, code })
  },
})

test('a key may always sign, and of contracts that of the first chain', () => {
  const key = { kind: 'eip191' } as const
  const onChain = (chainId: bigint) => ({ kind: 'erc1271', chainId }) as const
  const afterBoth = afterSigning(afterSigning(noSigners, key), onChain(1n))
  expect(afterBoth).toEqual({ isKeyed: true, chainId: 1n })
  expect(afterSigning(afterSigning(noSigners, onChain(1n)), key)).toEqual(afterBoth)
  expect(afterSigning(afterBoth, onChain(10n))).toEqual(afterBoth)
  for (const signers of [noSigners, afterBoth]) {
    expect(maySign(signers, key)).toBe(true)
    // A key's text may name a chain, too.
    expect(maySign(signers, { ...key, chainId: 10n })).toBe(true)
    expect(maySign(signers, onChain(1n))).toBe(true)
  }
  expect(maySign(noSigners, onChain(10n))).toBe(true)
  expect(maySign(afterBoth, onChain(10n))).toBe(false)
})

test('an address that has a key is a contract only by delegation', () => {
  const keyed = { isKeyed: true, chainId: 1n }
  expect([true, false].map((isDelegated) => countsAsContract(keyed, isDelegated))).toEqual([
    true,
    false,
  ])
  const unkeyed = { isKeyed: false, chainId: 1n }
  expect([true, false].map((isDelegated) => countsAsContract(unkeyed, isDelegated))).toEqual([
    true,
    true,
  ])
})
