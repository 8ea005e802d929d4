/** The rules of a node alone, each number from both sides: docs/protocol.md sections 5, 11 and 13. */

import { expect, test } from 'vitest'
import { acceptEnvelope } from '../../node/src/rules/accept.ts'
import { checkAccess } from '../../node/src/rules/inbox-access.ts'
import type { KnownInstallation, RuleContext, RuleState } from '../../node/src/rules/state.ts'
import { noSigners } from '../../src/protocol/account-rules.ts'
import { dayNs, minuteNs, revocation, TestInstallation, testAccount } from './support.ts'

const nowNs = 1_800_000_000_000_000_000n
const bob = new TestInstallation(testAccount('bob'), 'bob')

const knownBob: KnownInstallation = {
  address: bob.account.address,
  ed25519: bob.keys.ed25519,
  revoked: false,
  vouched: false,
  sealingCreatedNs: nowNs - 1n,
  newestUploadNs: nowNs - 1n,
}

/** What a node has stored, as far as a rule asks. */
const stored = (given: Partial<RuleState> = {}): RuleState => ({
  installation: () => undefined,
  signers: () => noSigners,
  isRevoked: () => false,
  countInstallations: () => ({ granted: 0, unrevoked: 0 }),
  countBundlesAfter: () => 0,
  countOneTime: () => 0,
  ...given,
})

const verdictOf = (
  { topic, message }: { readonly topic: string; readonly message: Uint8Array },
  state: Partial<RuleState> = {},
  context: Partial<RuleContext> = {},
): string => {
  const verdict = acceptEnvelope(topic, message, stored(state), {
    nowNs,
    chainIds: [],
    ...context,
  })
  if (verdict.ok) return 'accepted'
  return 'code' in verdict ? verdict.code : 'asks'
}

test.each([
  [{ granted: 999, unrevoked: 99 }, 'accepted'],
  [{ granted: 999, unrevoked: 100 }, 'too_many_installations'],
  [{ granted: 1_000, unrevoked: 0 }, 'too_many_installations'],
])('of an account with %o a new installation is %s', async (counts, expected) => {
  const bundle = await bob.bundle(nowNs)
  expect(verdictOf(bundle, { countInstallations: () => counts })).toBe(expected)
  // One that is there already is not counted again.
  const known = { installation: () => knownBob, countInstallations: () => counts }
  expect(verdictOf(bundle, known)).toBe('accepted')
})

test('four sealing keys in a day, counted from a day before now to the nanosecond', async () => {
  const bundle = await bob.bundle(nowNs)
  const asked: bigint[] = []
  for (const [count, expected] of [
    [3, 'accepted'],
    [4, 'sealing_key_too_soon'],
  ] as const) {
    const state = {
      installation: () => knownBob,
      countBundlesAfter: (_: string, afterNs: bigint) => {
        asked.push(afterNs)
        return count
      },
    }
    expect(verdictOf(bundle, state)).toBe(expected)
  }
  expect(asked).toEqual([nowNs - dayNs, nowNs - dayNs])
})

test('a sealing key is newer than the one there, and ten minutes ahead at most', async () => {
  const known = { installation: () => knownBob }
  const codeAt = async (createdNs: bigint) => verdictOf(await bob.bundle(createdNs), known)
  expect(await codeAt(knownBob.sealingCreatedNs)).toBe('sealing_key_not_newer')
  expect(await codeAt(knownBob.sealingCreatedNs + 1n)).toBe('accepted')
  expect(await codeAt(nowNs + 10n * minuteNs)).toBe('accepted')
  expect(await codeAt(nowNs + 10n * minuteNs + 1n)).toBe('clock_ahead')
})

test('an upload is newer than every one before, ten minutes ahead at most, of who is known and not revoked', () => {
  const code = (createdNs: bigint, installation: KnownInstallation | undefined = knownBob) =>
    verdictOf(bob.upload({ createdNs, oneTime: 1 }), { installation: () => installation })
  expect(code(nowNs - 1n)).toBe('stale_upload')
  expect(code(nowNs)).toBe('accepted')
  expect(code(nowNs + 10n * minuteNs)).toBe('accepted')
  expect(code(nowNs + 10n * minuteNs + 1n)).toBe('clock_ahead')
  expect(code(1n, { ...knownBob, newestUploadNs: undefined })).toBe('accepted')
  expect(code(nowNs, { ...knownBob, revoked: true })).toBe('revoked')
  expect(verdictOf(bob.upload({ createdNs: nowNs, oneTime: 1 }))).toBe('unknown_installation')
})

test('a stock holds a hundred one-time keys; a replacement counts for itself', () => {
  const code = (inStock: number, oneTime: number, replace = false) =>
    verdictOf(bob.upload({ createdNs: nowNs, oneTime, fallback: true, replace }), {
      installation: () => knownBob,
      countOneTime: () => inStock,
    })
  expect(code(60, 40)).toBe('accepted')
  expect(code(61, 40)).toBe('stock_full')
  expect(code(100, 0)).toBe('accepted')
  expect(code(100, 100, true)).toBe('accepted')
  expect(code(0, 101, true)).toBe('stock_full')
})

test('a revocation must revoke somebody who is not revoked yet', async () => {
  const alice = new TestInstallation(bob.account, 'alice')
  const envelope = await revocation(bob.account, [bob, alice])
  const revoked = (...ids: string[]) => ({ isRevoked: (_: string, id: string) => ids.includes(id) })
  expect(verdictOf(envelope)).toBe('accepted')
  expect(verdictOf(envelope, revoked(bob.id))).toBe('accepted')
  expect(verdictOf(envelope, revoked(alice.id))).toBe('accepted')
  expect(verdictOf(envelope, revoked(bob.id, alice.id))).toBe('already_revoked')
})

test('an account’s key always signs, whoever did before, and an id keeps to its account', async () => {
  const bundle = await bob.bundle(nowNs)
  for (const isKeyed of [true, false]) {
    for (const chainId of [undefined, 1n]) {
      const state = { signers: () => ({ isKeyed, chainId }) }
      expect(verdictOf(bundle, state)).toBe('accepted')
      expect(verdictOf(await revocation(bob.account, [bob]), state)).toBe('accepted')
    }
  }
  const elsewhere = { ...knownBob, address: testAccount('carol').address }
  expect(verdictOf(bundle, { installation: () => elsewhere })).toBe('wrong_address')
})

test('an inbox whose owner is known and not revoked takes any envelope up to 1 MiB', () => {
  const inboxEnvelope = (length: number) => ({ topic: bob.inbox, message: new Uint8Array(length) })
  const known = { installation: () => knownBob }
  expect(verdictOf(inboxEnvelope(1_048_576), known)).toBe('accepted')
  expect(verdictOf(inboxEnvelope(0), known)).toBe('accepted')
  expect(verdictOf(inboxEnvelope(1_048_577), known)).toBe('too_large')
  expect(verdictOf(inboxEnvelope(1))).toBe('recipient_gone')
  expect(
    verdictOf(inboxEnvelope(1), { installation: () => ({ ...knownBob, revoked: true }) }),
  ).toBe('recipient_gone')
})

// Reading.

const nodeId = new Uint8Array(16).fill(9)
const access = (topics: readonly string[], proofs: readonly ReturnType<typeof bob.proof>[] = []) =>
  checkAccess({ topics, proofs, nodeId, nowNs })

test('a thousand topics and a thousand proofs are as many as a request may have', () => {
  const good = bob.proof(nodeId, nowNs + minuteNs)
  const proofs = (count: number) => Array.from({ length: count }, () => good)
  expect(access([bob.inbox], proofs(1_000))).toMatchObject({ ok: true })
  expect(access([bob.inbox], proofs(1_001))).toEqual({ ok: false, code: 'too_large' })
  const topics = (count: number) =>
    Array.from({ length: count }, (_, nth) => `contact-0x${nth.toString(16).padStart(40, '0')}`)
  expect(access(topics(1_000))).toMatchObject({ ok: true, topics: topics(1_000) })
  expect(access(topics(1_001))).toEqual({ ok: false, code: 'too_large' })
})

test('an inbox and its stock are for their owner, and one proof is for both', () => {
  const prekeys = `prekey-${bob.id}`
  const contact = `contact-${bob.account.address}`
  const proof = bob.proof(nodeId, nowNs + minuteNs)
  expect(access([contact, bob.inbox, prekeys], [proof])).toEqual({
    ok: true,
    topics: [contact, bob.inbox],
    installationIds: [bob.id],
  })
  for (const topic of [bob.inbox, prekeys]) {
    expect(access([contact, topic])).toEqual({ ok: false, code: 'bad_proof' })
    const other = new TestInstallation(bob.account, 'other').proof(nodeId, nowNs + minuteNs)
    expect(access([topic], [other])).toEqual({ ok: false, code: 'bad_proof' })
  }
  expect(access([contact, contact])).toEqual({
    ok: false,
    code: 'malformed',
    field: 'topics, one of them twice',
  })
})

test.each([
  [0n, false],
  [1n, true],
  [10n * minuteNs, true],
  [10n * minuteNs + 1n, false],
])('a proof that expires %s ns from now opens: %s', (aheadNs, opens) => {
  expect(access([bob.inbox], [bob.proof(nodeId, nowNs + aheadNs)]).ok).toBe(opens)
})

test('a proof for another node opens nothing here', () => {
  const other = bob.proof(new Uint8Array(16), nowNs + minuteNs)
  expect(access([bob.inbox], [other])).toEqual({ ok: false, code: 'bad_proof' })
})
