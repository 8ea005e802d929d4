/** What one account may put on its topics, and what that costs whoever reads them (docs/protocol.md section 3). */

import { expect, test, vi } from 'vitest'
import { Directory } from '../../../src/engine/membership/directory.ts'
import { PendingVerifications } from '../../../src/engine/membership/pending-verification.ts'
import type { Account } from '../../../src/engine/runtime/context.ts'
import { Cursors } from '../../../src/engine/runtime/cursors.ts'
import type { NodeEnvelope } from '../../../src/network/network.ts'
import type { Address } from '../../../src/protocol/ids.ts'
import { contactTopic, revokedTopic } from '../../../src/protocol/topics.ts'
import { tables } from '../../../src/store/tables.ts'
import { Reader } from '../../support/account-reader.ts'
import { aGrant, aRevocation, theAddress } from '../../support/contract-grants.ts'
import { aDevice, aPartWorld, quietDirectoryListener } from '../../support/engine-context.ts'

const devices = (count: number): readonly Account[] =>
  Array.from({ length: count }, () => aDevice(theAddress))

test('revocations of made-up installations add 1,500 at most; those that were granted count as ever', async () => {
  const [reader, [granted, revokedLater]] = [new Reader(), devices(2)]
  if (!granted || !revokedLater) return
  for (const one of [granted, revokedLater]) reader.grant((await aGrant(one, 'key')).message)
  for (let n = 0; n < 4; n += 1) reader.revocation(await aRevocation(devices(400), 'key'))
  expect(reader.account.size).toBe(1_502)
  expect(reader.state(granted)).toBe('valid')
  expect(reader.revocation(await aRevocation([revokedLater], 'key')).updates).toHaveLength(1)
  expect(reader.of(revokedLater).revokedNs).toBeGreaterThan(0n)
  // A grant may be one of those whose revocation found no room.
  const [late] = devices(1)
  if (!late) return
  expect(reader.grant((await aGrant(late, 'key')).message)).toEqual({ updates: [], asks: false })
  // The sealing key of one that is known still changes.
  const newer = await aGrant(granted, 'key', { createdNs: 2n ** 60n })
  expect(reader.grant(newer.message).updates).toHaveLength(1)
})

test('grants that no chain confirmed add 1,000 at most', async () => {
  const reader = new Reader()
  const contract = { chainId: 1n }
  for (const device of devices(1_001)) reader.grant((await aGrant(device, contract)).message)
  expect(reader.account.size).toBe(1_000)
})

const aDirectory = async (
  query: (topics: readonly string[]) => {
    readonly envelopes: readonly NodeEnvelope[]
    readonly hasMore: boolean
  } = () => ({ envelopes: [], hasMore: false }),
) => {
  const bare = await aPartWorld()
  const asked: (readonly string[])[] = []
  const context = {
    ...bare.context,
    network: {
      ...bare.context.network,
      query: async (positions: readonly { readonly topic: string }[]) => {
        const topics = positions.map(({ topic }) => topic)
        asked.push(topics)
        return query(topics)
      },
    },
  }
  const cursors = new Cursors(bare.store)
  cursors.setNode(new Uint8Array(16))
  const pending = new PendingVerifications(bare.store)
  const open = () => new Directory(context, cursors, pending, quietDirectoryListener)
  return { ...bare, directory: open(), open, asked }
}

const envelopesOf = (topic: string, ...messages: readonly Uint8Array[]): NodeEnvelope[] =>
  messages.map((message, n) => ({ topic, message, sequence: BigInt(n + 1), nodeNs: 100n }))

test('all installations of an account are read back from the store, however many are revoked', async () => {
  const all = await aDirectory()
  const [granted] = devices(1)
  if (!granted) return
  const revocations = [await aRevocation([granted], 'key')]
  for (let n = 0; n < 4; n += 1) revocations.push(await aRevocation(devices(400), 'key'))
  const contact = contactTopic(theAddress)
  const bundle = (await aGrant(granted, 'key')).message
  await all.directory.apply(envelopesOf(contact, bundle))
  await all.directory.apply(envelopesOf(revokedTopic(theAddress), ...revocations))
  const again = all.open()
  expect((await again.account(theAddress)).size).toBe(1_501)
  // The node serves its bundle again.
  await again.apply([{ topic: contact, message: bundle, sequence: 2n, nodeNs: 200n }])
  const account = await again.account(theAddress)
  expect(account.get(granted.installationId)?.revokedNs).toBeGreaterThan(0n)
  expect(await again.recipients(theAddress)).toEqual([])
})

test('what was revoked before is remembered in one transaction for each account', async () => {
  const all = await aDirectory()
  const revocation = await aRevocation(devices(400), 'key')
  await all.directory.apply(envelopesOf(revokedTopic(theAddress), revocation))
  all.directory.coverage.follow(new Set([theAddress as Address]))
  all.committed.length = 0
  await all.directory.rememberRevoked()
  // And one for the list of such accounts.
  expect(all.committed).toHaveLength(2)
  const records = (await all.store.all(tables.installations)).map(({ value }) => value)
  expect(records.every(({ isPast }) => isPast)).toBe(true)
  await all.directory.rememberRevoked()
  expect(all.committed).toHaveLength(2)
})

test('only accounts with revocations since the client was last live are gone through, also after a restart', async () => {
  const all = await aDirectory()
  await all.directory.load()
  // As a client of this release leaves it when it goes live.
  await all.directory.rememberRevoked()
  const revocation = await aRevocation(devices(3), 'key')
  await all.directory.apply(envelopesOf(revokedTopic(theAddress), revocation))
  const again = all.open()
  await again.load()
  // Followed or not: of others nothing is read.
  again.coverage.follow(new Set(Array.from({ length: 400 }, () => aDevice().address)))
  const read = vi.spyOn(all.store, 'pages')
  await again.rememberRevoked()
  expect(read.mock.calls.map(([, group]) => group)).toEqual([theAddress])
  const records = (await all.store.all(tables.installations)).map(({ value }) => value)
  expect(records.map(({ isPast }) => isPast)).toEqual([true, true, true])
  read.mockClear()
  await again.rememberRevoked()
  expect(read).not.toHaveBeenCalled()
})

test('an account whose topics take page after page holds up nobody else who is looked up with it', async () => {
  const others = devices(3).map(() => aDevice().address)
  let sequence = 0n
  const all = await aDirectory((topics) => {
    if (!topics.includes(contactTopic(theAddress))) return { envelopes: [], hasMore: false }
    sequence += 1n
    const message = new Uint8Array(10_000)
    return {
      envelopes: [{ topic: contactTopic(theAddress), message, sequence, nodeNs: 1n }],
      hasMore: true,
    }
  })
  const takePage = vi.fn(() => true)
  const done = await all.directory.lookUp([theAddress as Address, ...others], takePage)
  expect(done.toSorted()).toEqual(others.toSorted())
  expect(all.asked).toHaveLength(2)
  expect(takePage).toHaveBeenCalledTimes(2)
  // Alone it is read on, a page at a time.
  expect(await all.directory.lookUp([theAddress as Address], takePage)).toEqual([])
  expect(all.asked).toHaveLength(3)
  expect(await all.directory.lookUp(others, () => false)).toEqual([])
  expect(all.asked).toHaveLength(3)
})
