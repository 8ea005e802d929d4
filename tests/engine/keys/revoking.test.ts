/** One signature for all that is revoked: docs/protocol.md sections 3 and 9; one part alone. */

import { privateKeyToAccount } from 'viem/accounts'
import { expect, test } from 'vitest'
import { revokeInstallations } from '../../../src/engine/keys/revoking.ts'
import type { Signer } from '../../../src/engine/keys/signing.ts'
import type { Context } from '../../../src/engine/runtime/context.ts'
import { PadlockError } from '../../../src/errors.ts'
import type { OutgoingEnvelope } from '../../../src/network/network.ts'
import { buildContactBundle } from '../../../src/protocol/contact.ts'
import { parseAddress } from '../../../src/protocol/ids.ts'
import { hourMs } from '../../../src/protocol/limits.ts'
import { parseRevocation, verifyRevocation } from '../../../src/protocol/revocation.ts'
import { put, tables } from '../../../src/store/tables.ts'
import { never, signWith } from '../../support/engine.ts'
import { aDevice, aPartWorld, known, sendingParts } from '../../support/engine-context.ts'

const wallet = privateKeyToAccount(`0x${'7'.repeat(64)}`)

/** An account with so many installations, over a node that answers as the test says. */
const anOwner = async (count: number) => {
  const parsed = parseAddress(wallet.address)
  if (!parsed.ok) throw new Error('an address')
  const address = parsed.value
  const world = await aPartWorld()
  const requests: OutgoingEnvelope[] = []
  const answers: Error[] = []
  const asked: string[] = []
  const account = aDevice(address)
  const context: Context = {
    ...world.context,
    account,
    network: {
      ...world.context.network,
      publish: async (envelopes) => {
        requests.push(...envelopes)
        const answer = answers.shift()
        if (answer) throw answer
        return envelopes.map(() => ({ sequence: 1n, nodeNs: 1n }))
      },
    },
  }
  const contactBundle = buildContactBundle({
    keys: account.keys,
    address,
    currentTime: '2026-11-20T08:13:00.000Z',
    signature: { kind: 'eip191', signature: new Uint8Array(65).fill(27) },
    sealingKey: { key: new Uint8Array(32), createdNs: 1n, signature: new Uint8Array(64) },
  })
  await world.store.transaction([], () => ({
    writes: [put(tables.identity, 'identity', { address, contactBundle })],
    result: undefined,
  }))
  const { directory } = sendingParts(context)
  const installations = Array.from({ length: count }, () => known(aDevice(address)))
  directory.people.set(address, installations)
  const sign = signWith(wallet)
  const signer: Signer = {
    signText: (text, _, signal) => {
      asked.push(text)
      return sign(text, signal)
    },
  }
  const revoke = async (ids: readonly string[], by: Partial<Signer> = {}) => {
    const known = await directory.account(address)
    const revoking = { address, known, signer: { ...signer, ...by } }
    await revokeInstallations(context, revoking, ids, never, never)
  }
  return { ...world, address, directory, installations, requests, answers, asked, revoke }
}

test('however they are named, installations are revoked in ascending order, by one signature', async () => {
  const all = await anOwner(8)
  const ids = all.installations.map(({ id }) => id)
  for (const order of [ids, [...ids].reverse(), [...ids, ...ids]]) await all.revoke(order)
  expect(all.asked).toHaveLength(3)
  for (const { topic, message } of all.requests) {
    const revocation = parseRevocation(message)
    if (!revocation.ok) throw new Error(revocation.why)
    expect(topic).toBe(`revoked-${all.address}`)
    expect(revocation.value.installationIds).toEqual([...ids].sort())
    expect(verifyRevocation(revocation.value).ok).toBe(true)
  }
})

test('installations that are revoked already are passed over; if none is left nobody is asked', async () => {
  const all = await anOwner(2)
  const [one, two] = all.installations
  if (!one || !two) return
  all.directory.people.set(all.address, [{ ...one, revokedNs: 5n }, two])
  await all.revoke([one.id, two.id])
  const revocation = parseRevocation(all.requests[0]?.message ?? new Uint8Array())
  expect(revocation.ok && revocation.value.installationIds).toEqual([two.id])
  await all.revoke([one.id])
  expect(all.asked).toHaveLength(1)
})

test.each(['', 'A'.repeat(43), 'no id'])(
  'the id %j, which is none of this account’s, revokes nothing',
  async (id) => {
    const all = await anOwner(1)
    const ids = [...all.installations.map((one) => one.id), id]
    await expect(all.revoke(ids)).rejects.toMatchObject({ code: 'invalid_argument' })
    expect(all.asked).toEqual([])
  },
)

test('already_revoked, by somebody else meanwhile, is a success; every other refusal is a failure', async () => {
  const all = await anOwner(1)
  const ids = all.installations.map(({ id }) => id)
  all.answers.push(new PadlockError('already_revoked'))
  await all.revoke(ids)
  all.answers.push(new PadlockError('network_unavailable'), new Error('a defect'))
  await expect(all.revoke(ids)).rejects.toMatchObject({ code: 'network_unavailable' })
  await expect(all.revoke(ids)).rejects.toThrow('a defect')
})

test('the owners of a contract are asked for the same text all day, and what they signed on chain is taken', async () => {
  const all = await anOwner(1)
  const [one] = all.installations
  if (!one) return
  all.directory.people.set(all.address, [{ ...one, chainId: 5n }])
  const texts: string[] = []
  let isSigned = false
  const by: Partial<Signer> = {
    signText: async (text) => {
      texts.push(text)
      return new Uint8Array()
    },
    chains: { ids: new Set([5n]), verify: async () => (isSigned ? 'valid' : 'invalid') },
  }
  await expect(all.revoke([one.id], by)).rejects.toMatchObject({ code: 'wallet_incomplete' })
  all.clock.nowMs += hourMs
  await expect(all.revoke([one.id], by)).rejects.toMatchObject({ code: 'wallet_incomplete' })
  expect(texts).toHaveLength(2)
  expect(new Set(texts).size).toBe(1)
  expect(texts[0]).toMatch(/\nChain ID: 5$/)
  expect(all.requests).toEqual([])
  isSigned = true
  await all.revoke([one.id], by)
  expect(texts).toHaveLength(2)
  const revocation = parseRevocation(all.requests[0]?.message ?? new Uint8Array())
  expect(revocation.ok && revocation.value.signature).toEqual({
    kind: 'erc1271',
    chainId: 5n,
    signature: new Uint8Array(),
  })
})
