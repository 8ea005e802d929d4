/** What topics accept, beyond the vectors: rules that need several accounts, times or counts. */
import { Code } from '@connectrpc/connect'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { ContractQuestion, SignatureStatus } from '../../../node/src/rules/signature-status.ts'
import type { InProcessNode } from '../../../node/src/testing.ts'
import { buildContactBundle } from '../../../src/protocol/contact.ts'
import { installationsLimit } from '../../../src/protocol/limits.ts'
import { sealingKeySigningBytes, vouchSigningBytes } from '../../../src/protocol/signing-bytes.ts'
import { buildVouch } from '../../../src/protocol/vouch.ts'
import {
  bytesFor,
  dayNs,
  everything,
  inboxEnvelope,
  minuteNs,
  type NodeClient,
  nodeClient,
  refusalOf,
  register,
  revocation,
  secondNs,
  type TestClock,
  TestInstallation,
  testAccount,
  testClock,
} from '../support.ts'
import { openNode } from './store.ts'

/** A chain that says what it is told to. */
const chains = {
  ids: [8453n, 10n],
  word: 'valid' as SignatureStatus,
  asked: [] as ContractQuestion[],
  async verify(question: ContractQuestion) {
    chains.asked.push(question)
    return chains.word
  },
  close: () => {},
}

/** A bundle whose grant a contract on this chain would have to confirm. */
function contractBundle(bob: TestInstallation, chainId: bigint, createdNs: bigint) {
  const key = bytesFor('sealing')
  const { address } = bob.account
  const signature = bob.sign(
    sealingKeySigningBytes({ address, installationId: bob.id, createdNs, key }),
  )
  return {
    topic: `contact-${address}`,
    message: buildContactBundle({
      keys: bob.keys,
      address,
      currentTime: '2026-11-20T08:13:00.000Z',
      signature: { kind: 'erc1271', chainId, signature: new Uint8Array(65) },
      sealingKey: { key, createdNs, signature },
    }),
  }
}

let clock: TestClock
let node: InProcessNode
let client: NodeClient

beforeEach(async () => {
  clock = testClock()
  chains.word = 'valid'
  chains.asked = []
  node = await openNode({ clock, chains })
  client = nodeClient(node.transport)
})
afterEach(() => node.close())

type Envelope = { topic: string; message: Uint8Array }
const accept = async (...envelopes: Envelope[]) => {
  await client.publish({ envelopes })
}
const codeOf = async (envelope: Envelope) => {
  const refusal = await refusalOf(client.publish({ envelopes: [envelope] }))
  return refusal.code
}
const count = async (topic: string) =>
  (await node.store.page([{ topic, afterSequence: 0n }], everything)).envelopes.length

test('section 1: an installation belongs to the first address that granted it', async () => {
  const bob = await register(client, 'bob', clock.nowNs)
  const mallory = testAccount('mallory')
  // Mallory's wallet grants Bob's keys, and Bob's device is made to sign for her too.
  const stolen = await new TestInstallation(mallory, 'bob').bundle(clock.nowNs, mallory.address)
  expect(await codeOf(stolen)).toBe('wrong_address')
  expect(await count(stolen.topic)).toBe(0)
  await accept(inboxEnvelope(bob, 'still his'))
})

test('section 3: a revocation concerns bundles of its own account only', async () => {
  const bob = await register(client, 'bob', clock.nowNs)
  const mallory = testAccount('mallory')
  await accept(await revocation(mallory, [bob]))
  await accept(inboxEnvelope(bob, 'not gone'))
  await accept(await revocation(bob.account, [bob]))
  expect(await codeOf(inboxEnvelope(bob, 'gone'))).toBe('recipient_gone')
})

test('section 3: an installation revoked before it was granted never comes', async () => {
  const bob = new TestInstallation(testAccount('bob'), 'bob')
  await accept(await revocation(bob.account, [bob]))
  expect(await codeOf(await bob.bundle(clock.nowNs))).toBe('revoked')
})

test('section 3: a revocation takes prekeys, and a revoked installation uploads no more', async () => {
  const bob = await register(client, 'bob', clock.nowNs)
  await accept(bob.upload({ createdNs: clock.nowNs, oneTime: 3, fallback: true }))
  await accept(await revocation(bob.account, [bob]))
  const { claimed } = await client.claimPrekeys({
    claimId: new Uint8Array(16),
    installationIds: [bob.id],
  })
  expect(claimed).toMatchObject([{ installationId: bob.id }])
  expect(claimed[0]?.prekey).toBeUndefined()
  expect((await node.store.stock(bob.id)).oneTimeLeft).toBe(0)
  expect(await codeOf(bob.upload({ createdNs: clock.nowNs + 1n, oneTime: 1 }))).toBe('revoked')
})

test('section 5: the known bytes of a revoked bundle still have their receipt', async () => {
  const bob = new TestInstallation(testAccount('bob'), 'bob')
  const bundle = await bob.bundle(clock.nowNs)
  await accept(bundle)
  await accept(await revocation(bob.account, [bob]))
  expect((await client.publish({ envelopes: [bundle] })).receipts[0]?.sequence).toBe(1n)
  expect(await codeOf(await bob.bundle(clock.nowNs + 1n))).toBe('revoked')
})

test('section 5: four sealing keys in 24 hours, counted by when the node took them', async () => {
  const bob = await register(client, 'bob', clock.nowNs)
  const firstNs = clock.nowNs
  for (let n = 1; n <= 3; n += 1) {
    clock.nowNs += secondNs
    await accept(await bob.bundle(clock.nowNs))
  }
  clock.nowNs = firstNs + dayNs - 1n
  const fifth = await bob.bundle(clock.nowNs)
  const refusal = await refusalOf(client.publish({ envelopes: [fifth] }))
  expect(refusal).toMatchObject({ code: 'sealing_key_too_soon', status: Code.FailedPrecondition })
  clock.nowNs = firstNs + dayNs
  await accept(fifth)
  expect(await codeOf(await bob.bundle(clock.nowNs + 1n))).toBe('sealing_key_too_soon')
})

test('section 5: several sealing keys in one request count as several', async () => {
  const bob = new TestInstallation(testAccount('bob'), 'bob')
  const bundles = []
  for (let n = 0n; n < 5n; n += 1n) bundles.push(await bob.bundle(clock.nowNs + n))
  const refusal = await refusalOf(client.publish({ envelopes: bundles }))
  expect(refusal).toMatchObject({ code: 'sealing_key_too_soon', envelopeIndex: 4 })
  await accept(...bundles.slice(0, 4))
})

test('section 5: a sealing key of an earlier time than the newest is refused, a nanosecond later is newer', async () => {
  const bob = await register(client, 'bob', clock.nowNs)
  expect(await codeOf(await bob.bundle(clock.nowNs - 1n))).toBe('sealing_key_not_newer')
  await accept(await bob.bundle(clock.nowNs + 1n))
})

test('section 5: a created_ns may be ten minutes ahead of the node and no more', async () => {
  const bob = new TestInstallation(testAccount('bob'), 'bob')
  const aheadNs = clock.nowNs + 10n * minuteNs
  expect(await codeOf(await bob.bundle(aheadNs + 1n))).toBe('clock_ahead')
  await accept(await bob.bundle(aheadNs))
  expect(await codeOf(bob.upload({ createdNs: aheadNs + 1n, oneTime: 1 }))).toBe('clock_ahead')
  await accept(bob.upload({ createdNs: aheadNs, oneTime: 1 }))
  expect(await codeOf(bob.upload({ createdNs: 2n ** 64n - 1n, oneTime: 1 }))).toBe('clock_ahead')
})

test('section 11: an account has a hundred installations, and room again after a revocation', async () => {
  const account = testAccount('bob')
  const installations = Array.from(
    { length: installationsLimit + 1 },
    (_, n) => new TestInstallation(account, `bob ${n}`),
  )
  const bundles = await Promise.all(installations.map((one) => one.bundle(clock.nowNs)))
  const last = bundles.pop()
  const [first] = installations
  if (last === undefined || first === undefined) throw new Error('no bundles')
  await accept(...bundles)
  expect(await codeOf(last)).toBe('too_many_installations')
  // A known one is not one more.
  await accept(await first.bundle(clock.nowNs + 1n))
  await accept(await revocation(account, [first]))
  await accept(last)
})

test('section 3: a contract account is taken at the word of its chain, and not asked for what is known', async () => {
  const bob = new TestInstallation(testAccount('bob'), 'bob')
  const bundle = contractBundle(bob, 8453n, clock.nowNs)
  expect(await codeOf(contractBundle(bob, 1n, clock.nowNs))).toBe('chain_unknown')
  expect(chains.asked).toHaveLength(0)

  chains.word = 'unavailable'
  expect(await refusalOf(client.publish({ envelopes: [bundle] }))).toMatchObject({
    code: 'chain_unavailable',
    status: Code.Unavailable,
  })
  chains.word = 'invalid'
  expect(await codeOf(bundle)).toBe('bad_signature')
  chains.word = 'valid'
  const [receipt] = (await client.publish({ envelopes: [bundle] })).receipts
  const { address, chainId, text, signature } = chains.asked.at(-1) ?? {}
  expect({ address, chainId }).toEqual({ address: bob.account.address, chainId: 8453n })
  expect(text).toMatch(/\nChain ID: 8453$/)
  expect(signature).toEqual(new Uint8Array(65))

  // Known bytes are answered before any rule: also while the chain is away.
  chains.word = 'unavailable'
  const asked = chains.asked.length
  expect((await client.publish({ envelopes: [bundle] })).receipts).toEqual([receipt])
  expect(chains.asked).toHaveLength(asked)
})

test('section 3: a key always signs; a contract beside it only by delegation, and of one chain', async () => {
  const account = testAccount('both')
  const [phone, laptop, tablet, desktop] = ['phone', 'laptop', 'tablet', 'desktop'].map(
    (name) => new TestInstallation(account, `${name} of both`),
  )
  if (!phone || !laptop || !tablet || !desktop) throw new Error('four')
  await accept(contractBundle(phone, 8453n, clock.nowNs))
  // The contract was first, and the key signs all the same.
  await accept(await laptop.bundle(clock.nowNs))
  expect(await codeOf(contractBundle(tablet, 8453n, clock.nowNs))).toBe('wrong_signature_kind')
  chains.word = 'delegated'
  await accept(contractBundle(tablet, 8453n, clock.nowNs))
  expect(await codeOf(contractBundle(desktop, 10n, clock.nowNs))).toBe('wrong_signature_kind')
  // In the other order, too.
  const other = testAccount('both, key first')
  await accept(await new TestInstallation(other, 'key first').bundle(clock.nowNs))
  await accept(contractBundle(new TestInstallation(other, 'then the contract'), 10n, clock.nowNs))
  const third = new TestInstallation(other, 'of another chain')
  expect(await codeOf(contractBundle(third, 8453n, clock.nowNs))).toBe('wrong_signature_kind')
})

test('section 3: an installation vouches for another one of its account, once for each', async () => {
  const account = testAccount('vouching')
  const [phone, laptop, gone] = ['phone', 'laptop', 'gone'].map(
    (name) => new TestInstallation(account, `${name} that vouches`),
  )
  const stranger = new TestInstallation(testAccount('stranger'), 'stranger that vouches')
  if (!phone || !laptop || !gone) throw new Error('three')
  for (const one of [phone, laptop, gone, stranger]) await accept(await one.bundle(clock.nowNs))
  await accept(await revocation(account, [gone]))
  const vouch = (by: TestInstallation, of: TestInstallation, signer = by) => {
    const fields = { address: account.address, voucherId: by.id, installationId: of.id }
    const signature = signer.sign(vouchSigningBytes(fields))
    return { topic: `contact-${account.address}`, message: buildVouch({ ...fields, signature }) }
  }
  expect(await codeOf(vouch(phone, phone))).toBe('malformed')
  expect(await codeOf(vouch(phone, new TestInstallation(account, 'unknown')))).toBe(
    'unknown_installation',
  )
  expect(await codeOf(vouch(stranger, laptop))).toBe('unknown_installation')
  expect(await codeOf(vouch(phone, stranger))).toBe('unknown_installation')
  expect(await codeOf(vouch(gone, laptop))).toBe('revoked')
  expect(await codeOf(vouch(phone, gone))).toBe('revoked')
  expect(await codeOf(vouch(phone, laptop, laptop))).toBe('bad_signature')
  const good = vouch(phone, laptop)
  await accept(good)
  // The same bytes are known; others say nothing new.
  await accept(good)
  const again = new TestInstallation(account, 'one more that vouches')
  await accept(await again.bundle(clock.nowNs))
  expect(await codeOf(vouch(again, laptop))).toBe('already_vouched')
  await accept(vouch(laptop, phone))
  // A newer sealing key takes nothing of it away.
  await accept(await laptop.bundle(clock.nowNs + 1n))
  expect(await codeOf(vouch(again, laptop))).toBe('already_vouched')
})

test('section 5: a chain is asked for each envelope that needs it, and only if all before it are good', async () => {
  const [one, two] = ['one', 'two'].map((name) => new TestInstallation(testAccount(name), name))
  if (!one || !two) throw new Error('two')
  const envelopes = [
    contractBundle(one, 8453n, clock.nowNs),
    contractBundle(two, 8453n, clock.nowNs),
  ]
  const stranger = {
    topic: `message-${new TestInstallation(testAccount('nobody'), 'nobody').id}`,
    message: new Uint8Array(64),
  }
  const refused = await refusalOf(client.publish({ envelopes: [stranger, ...envelopes] }))
  expect(refused).toMatchObject({ code: 'recipient_gone', envelopeIndex: 0 })
  expect(chains.asked).toHaveLength(0)
  await client.publish({ envelopes })
  expect(chains.asked.map(({ address }) => address)).toEqual([
    one.account.address,
    two.account.address,
  ])
})

test('section 6: prekeys need a newer time than every upload before, and replace empties the stock', async () => {
  const bob = await register(client, 'bob', clock.nowNs)
  await accept(bob.upload({ createdNs: clock.nowNs, oneTime: 60 }))
  expect(await codeOf(bob.upload({ createdNs: clock.nowNs, oneTime: 2 }))).toBe('stale_upload')
  expect(await codeOf(bob.upload({ createdNs: clock.nowNs + 1n, oneTime: 41 }))).toBe('stock_full')
  expect((await node.store.stock(bob.id)).oneTimeLeft).toBe(60)
  await accept(bob.upload({ createdNs: clock.nowNs + 1n, oneTime: 40 }))
  await accept(
    bob.upload({ createdNs: clock.nowNs + 2n, oneTime: 100, fallback: true, replace: true }),
  )
  expect(await node.store.stock(bob.id)).toEqual({
    installationId: bob.id,
    oneTimeLeft: 100,
    newestCreatedNs: clock.nowNs + 2n,
  })
  // A refused upload does not raise the time.
  await accept(bob.upload({ createdNs: clock.nowNs + 3n, oneTime: 0, fallback: true }))
})

test('section 5: an upload of time 0 is newer than none', async () => {
  const bob = await register(client, 'bob', clock.nowNs)
  await accept(bob.upload({ createdNs: 0n, oneTime: 1 }))
  expect(await codeOf(bob.upload({ createdNs: 0n, oneTime: 2 }))).toBe('stale_upload')
})

test('section 5: one byte of an upload changed and it is refused whole', async () => {
  const bob = await register(client, 'bob', clock.nowNs)
  const { topic, message } = bob.upload({ createdNs: clock.nowNs, oneTime: 2, fallback: true })
  const changed = message.slice()
  // Inside the last signature.
  changed[changed.length - 1] = (changed.at(-1) ?? 0) ^ 1
  expect(await codeOf({ topic, message: changed })).toBe('bad_signature')
  expect((await node.store.stock(bob.id)).oneTimeLeft).toBe(0)
  await accept({ topic, message })
})
