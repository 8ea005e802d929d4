/** Registering, and registering again elsewhere: docs/protocol.md sections 2, 5 and 10; one part alone. */

import { privateKeyToAccount } from 'viem/accounts'
import { expect, test } from 'vitest'
import { Prekeys } from '../../../src/engine/keys/prekeys.ts'
import { openAccount, registerAtNode } from '../../../src/engine/keys/registration.ts'
import type { Context } from '../../../src/engine/runtime/context.ts'
import { PadlockError, type PadlockErrorCode } from '../../../src/errors.ts'
import type { OutgoingEnvelope } from '../../../src/network/network.ts'
import {
  parseContactBundle,
  sealingKeySignature,
  verifyGrant,
} from '../../../src/protocol/contact.ts'
import { type Address, parseAddress } from '../../../src/protocol/ids.ts'
import { parsePrekeyUpload, prekeySignatures } from '../../../src/protocol/prekey.ts'
import { put, tables } from '../../../src/store/tables.ts'
import { passed } from '../../support/checked.ts'
import { codeOf, never, signWith } from '../../support/engine.ts'
import { aPartWorld } from '../../support/engine-context.ts'

const wallet = privateKeyToAccount(`0x${'7'.repeat(64)}`)
const parsed = parseAddress(wallet.address)
if (!parsed.ok) throw new Error('an address')
const address: Address = parsed.value
const nodeId = new Uint8Array(16).fill(4)

/** A database without an installation, over a node that answers publishing as the test says. */
const aNewcomer = async () => {
  const world = await aPartWorld()
  const requests: (readonly OutgoingEnvelope[])[] = []
  const answers: (Error | undefined)[] = []
  const asked: string[] = []
  const stored = async () => ({
    identity: (await world.store.get(tables.identity, 'identity'))?.value,
    sealing: (await world.store.get(tables.sealing, 'sealing'))?.value,
    prekeys: (await world.store.get(tables.prekeys, 'prekeys'))?.value,
  })
  /** What lay in the store when each request left. */
  const storedAt: Awaited<ReturnType<typeof stored>>[] = []
  const context: Context = {
    ...world.context,
    account: { ...world.context.account, address },
    network: {
      ...world.context.network,
      getInfo: async () => ({
        nodeId,
        version: '0',
        nodeNs: 1_700_000_000_000_000_000n,
        retentionNs: 1n,
      }),
      query: async () => ({ envelopes: [], hasMore: false }),
      publish: async (envelopes) => {
        requests.push(envelopes)
        storedAt.push(await stored())
        const answer = answers.shift()
        if (answer) throw answer
        return envelopes.map(() => ({ sequence: 1n, nodeNs: 1n }))
      },
    },
  }
  const sign = signWith(wallet)
  const open = () =>
    openAccount(
      context,
      address,
      {
        signText: (text, _, signal) => {
          asked.push(text)
          return sign(text, signal)
        },
      },
      never,
    )
  const identity = async () => (await world.store.get(tables.identity, 'identity'))?.value
  return { ...world, context, requests, answers, asked, storedAt, open, identity }
}

test('a registration is one request, contact bundle then prekeys, signed, of one time, and on the disk before it leaves', async () => {
  const all = await aNewcomer()
  const account = await all.open()
  expect(all.requests.map((request) => request.map(({ topic }) => topic))).toEqual([
    [`contact-${address}`, `prekey-${account.installationId}`],
  ])
  expect(all.committed[0]).toEqual({
    tables: ['account', 'account', 'account', 'account'],
    durability: 'strict',
  })
  const [contact, prekeys] = all.requests[0] ?? []
  const [before] = all.storedAt
  expect(before?.identity).toMatchObject({
    registered: false,
    contactBundle: contact?.message,
    prekeyUpload: prekeys?.message,
  })
  expect(before?.identity?.state.length).toBeGreaterThan(0)
  expect(before?.sealing?.secrets).toHaveLength(1)
  expect(before?.prekeys?.oneTime).toHaveLength(50)
  expect(before?.prekeys?.fallback).toHaveLength(1)
  const bundle = passed(parseContactBundle(contact?.message ?? new Uint8Array()))
  expect(verifyGrant(bundle).ok).toBe(true)
  const { crypto, time } = all.context
  expect(crypto.verify([sealingKeySignature(bundle)])).toEqual([true])
  const upload = passed(parsePrekeyUpload(prekeys?.message ?? new Uint8Array()))
  expect(new Set(crypto.verify(prekeySignatures(upload, account.keys.ed25519)))).toEqual(
    new Set([true]),
  )
  expect(upload).toMatchObject({ replace: false, createdNs: bundle.sealingKey.createdNs })
  expect(upload.oneTime).toHaveLength(50)
  expect(upload.fallback).toBeDefined()
  // The node’s clock is behind: what others check is not ahead of it.
  expect(bundle.sealingKey.createdNs).toBe(time.createdNs(0n))
  expect(bundle.sealingKey.createdNs).toBe(1_700_000_000_000_000_000n)
  const stored = await all.identity()
  expect(stored).toMatchObject({ registered: true, nodeId, address })
  const times = (await all.store.get(tables.times, 'times'))?.value
  expect(times).toMatchObject({ lastCreatedNs: upload.createdNs, lastComposedNs: 0n })
  const secrets = (await all.store.get(tables.prekeys, 'prekeys'))?.value
  expect(secrets?.oneTime.map(({ publicKey }) => publicKey)).toEqual(
    upload.oneTime.map(({ key }) => key),
  )
  expect(secrets?.fallback.map(({ publicKey }) => publicKey)).toEqual([upload.fallback?.key])
  const sealing = (await all.store.get(tables.sealing, 'sealing'))?.value
  expect(sealing?.secrets.map(({ publicKey }) => publicKey)).toEqual([bundle.sealingKey.key])
  // Opened again nothing is sent and nobody asked.
  expect(await all.open()).toEqual(account)
  expect(all.requests).toHaveLength(1)
  expect(all.asked).toHaveLength(1)
})

test('the last time of composition of an earlier installation is kept', async () => {
  const all = await aNewcomer()
  await all.store.transaction([], () => ({
    writes: [put(tables.times, 'times', { lastComposedNs: 77n, lastCreatedNs: 1n })],
    result: undefined,
  }))
  await all.open()
  expect((await all.store.get(tables.times, 'times'))?.value.lastComposedNs).toBe(77n)
})

test.each([
  'malformed',
  'bad_signature',
  'wrong_address',
  'wrong_signature_kind',
  'revoked',
  'sealing_key_not_newer',
  'stale_upload',
] as const)(
  'on %s, which is final, the keys are forgotten, and the next try makes new ones',
  async (code) => {
    const all = await aNewcomer()
    all.answers.push(new PadlockError(code))
    expect(await codeOf(all.open())).toBe(code)
    expect(await all.identity()).toBeUndefined()
    expect(await all.store.get(tables.sealing, 'sealing')).toBeUndefined()
    expect(await all.store.get(tables.prekeys, 'prekeys')).toBeUndefined()
    expect(await all.store.get(tables.times, 'times')).toBeUndefined()
    await all.open()
    expect(all.asked).toHaveLength(2)
    expect(all.requests[1]?.[0]?.message).not.toEqual(all.requests[0]?.[0]?.message)
  },
)

test.each([
  'network_unavailable',
  'unavailable',
  'rate_limited',
  'clock_ahead',
  'sealing_key_too_soon',
  'too_many_installations',
  'chain_unavailable',
] as const)(
  'on %s the same bytes go out at the next try, and the wallet is not asked again',
  async (code: PadlockErrorCode) => {
    const all = await aNewcomer()
    all.answers.push(new PadlockError(code))
    expect(await codeOf(all.open())).toBe(code)
    expect((await all.identity())?.registered).toBe(false)
    await all.open()
    expect(all.asked).toHaveLength(1)
    expect(all.requests[1]).toEqual(all.requests[0])
    expect((await all.identity())?.registered).toBe(true)
  },
)

/** A registered installation that meets another node; with revocations and envelopes from before. */
const aMover = async (revocations = 0) => {
  const all = await aNewcomer()
  const account = await all.open()
  const context: Context = { ...all.context, account }
  await all.store.transaction([], () => ({
    writes: [
      ...Array.from({ length: revocations }, (_, nth) =>
        put(tables.revocations, all.store.nextNumber(tables.revocations), {
          message: Uint8Array.of(nth),
        }),
      ),
      ...[5n, 9n, 7n].map((nodeNs) =>
        put(tables.seen, all.store.nextNumber(tables.seen), { nodeNs }),
      ),
    ],
    result: undefined,
  }))
  const prekeys = new Prekeys(context)
  await prekeys.load()
  all.requests.length = 0
  const other = new Uint8Array(16).fill(5)
  return {
    ...all,
    context,
    account,
    other,
    move: (to = other) => registerAtNode(context, prekeys, to),
  }
}

const kindsOf = (requests: readonly (readonly OutgoingEnvelope[])[]) =>
  requests.map(([first]) => first?.topic.split('-')[0])

test('section 10: at another node revocations go first, then the same bundle, then prekeys that replace', async () => {
  const all = await aMover(3)
  const before = await all.identity()
  await all.move()
  expect(kindsOf(all.requests)).toEqual(['revoked', 'revoked', 'revoked', 'contact', 'prekey'])
  expect(all.requests.slice(0, 3).map(([one]) => one?.message)).toEqual(
    [0, 1, 2].map((n) => Uint8Array.of(n)),
  )
  expect(all.requests[3]?.[0]?.message).toEqual(before?.contactBundle)
  expect(passed(parsePrekeyUpload(all.requests[4]?.[0]?.message ?? new Uint8Array())).replace).toBe(
    true,
  )
  expect(await all.identity()).toEqual({ ...before, nodeId: all.other, readBeforeNs: 9n })
  // Once is enough.
  await all.move()
  expect(all.requests).toHaveLength(5)
})

test('at the node that knows it nothing is published', async () => {
  const all = await aMover(1)
  await all.move(nodeId)
  expect(all.requests).toEqual([])
})

test('all revocations go, however many they are', async () => {
  const all = await aMover(201)
  await all.move()
  expect(kindsOf(all.requests).filter((kind) => kind === 'revoked')).toHaveLength(201)
})

test('a revocation that the node has, or does not take, does not keep the others back', async () => {
  const all = await aMover(3)
  all.answers.push(new PadlockError('already_revoked'), new PadlockError('wrong_signature_kind'))
  await all.move()
  expect(kindsOf(all.requests)).toEqual(['revoked', 'revoked', 'revoked', 'contact', 'prekey'])
  expect((await all.identity())?.nodeId).toEqual(all.other)
})

test.each([0, 1, 2])(
  'if answer %s does not come, nothing after it goes, and all of it goes the next time',
  async (at) => {
    const all = await aMover(1)
    all.answers.push(
      ...Array.from({ length: at }, () => undefined),
      new PadlockError('network_unavailable'),
    )
    expect(await codeOf(all.move())).toBe('network_unavailable')
    expect(all.requests).toHaveLength(at + 1)
    expect((await all.identity())?.nodeId).toEqual(nodeId)
    all.requests.length = 0
    await all.move()
    expect(kindsOf(all.requests)).toEqual(['revoked', 'contact', 'prekey'])
  },
)

test('an installation that is revoked there is revoked, and uploads nothing', async () => {
  const all = await aMover()
  all.answers.push(new PadlockError('revoked'))
  await all.move()
  expect(all.context.status.current.state).toBe('revoked')
  expect(kindsOf(all.requests)).toEqual(['contact'])
  expect((await all.identity())?.nodeId).toEqual(nodeId)
})

test('a failure that is no refusal ends it, whatever was published so far', async () => {
  const all = await aMover(2)
  all.answers.push(new Error('a defect'))
  expect(await codeOf(all.move())).toBe('another')
  expect(all.requests).toHaveLength(1)
  expect((await all.identity())?.nodeId).toEqual(nodeId)
})
