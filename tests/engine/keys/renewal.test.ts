/** What a revoked installation forgets, and what it keeps: docs/protocol.md section 9; one part alone. */

import { expect, test } from 'vitest'
import { forgetIfRevoked } from '../../../src/engine/keys/renewal.ts'
import { PadlockError } from '../../../src/errors.ts'
import { encodeBase64Url } from '../../../src/protocol/bytes.ts'
import type { Write } from '../../../src/store/store.ts'
import { joinKey, MessageState, put, tables } from '../../../src/store/tables.ts'
import { aPartWorld } from '../../support/engine-context.ts'
import { storeWithTransaction } from '../../support/store-with-transaction.ts'

/** A database with something in each table; `revokedNs` is of our own installation. */
const aDatabase = async (revokedNs: bigint | undefined) => {
  const { store, context, committed } = await aPartWorld()
  const { address, installationId, keys } = context.account
  const sessionId = new Uint8Array(32).fill(3)
  const next = (table: Parameters<typeof store.nextNumber>[0]) => store.nextNumber(table)
  const writes: Write[] = [
    put(tables.identity, 'identity', { address, ...keys, registered: true }),
    put(tables.sealing, 'sealing', { secrets: [{ secret: new Uint8Array(32) }] }),
    put(tables.prekeys, 'prekeys', { oneTime: [{ secret: new Uint8Array(32) }] }),
    put(tables.claim, 'claim', { claimId: new Uint8Array(16) }),
    put(tables.claim, 'claim of one', { claimId: new Uint8Array(16) }),
    put(tables.times, 'times', { lastComposedNs: 7n, lastCreatedNs: 8n }),
    put(tables.sessions, joinKey('peer', encodeBase64Url(sessionId)), {
      installationId: 'peer',
      sessionId,
    }),
    put(tables.recovery, 'peer', { installationId: 'peer', missing: [{}] }),
    put(tables.conversations, 'one', { conversationId: 'one' }),
  ]
  if (revokedNs !== undefined) {
    writes.push(
      put(tables.installations, joinKey(address, installationId), {
        address,
        installationId,
        revokedNs,
      }),
    )
  }
  // More than one page of what is numbered.
  for (let n = 0; n < 501; n += 1) {
    const messageId = `message ${n}`
    writes.push(
      put(tables.parked, next(tables.parked), { sequence: 1n }),
      put(tables.owed, next(tables.owed), { messageId, installationId: 'peer' }),
      put(tables.outbox, next(tables.outbox), { messageId }),
      put(
        tables.messages,
        messageId,
        { messageId, conversationId: 'one', state: MessageState.PENDING, composedNs: BigInt(n) },
        next(tables.messages),
      ),
    )
  }
  writes.push(
    // What installations say to each other stands for no message.
    put(tables.outbox, next(tables.outbox), { messageId: '' }),
    put(
      tables.messages,
      'sent',
      { messageId: 'sent', conversationId: 'one', state: MessageState.SENT, nodeNs: 9n },
      next(tables.messages),
    ),
  )
  await store.transaction([], () => ({ writes, result: undefined }))
  const counts = async () => ({
    identity: await store.get(tables.identity, 'identity').then(Boolean),
    sealing: await store.get(tables.sealing, 'sealing').then(Boolean),
    prekeys: await store.get(tables.prekeys, 'prekeys').then(Boolean),
    claim: await store.get(tables.claim, 'claim').then(Boolean),
    claimOfOne: await store.get(tables.claim, 'claim of one').then(Boolean),
    sessions: (await store.all(tables.sessions)).length,
    recovery: (await store.all(tables.recovery)).length,
    parked: (await store.scan(tables.parked, { after: 0, limit: 2_000 })).rows.length,
    owed: (await store.scan(tables.owed, { after: 0, limit: 2_000 })).rows.length,
    outbox: (await store.scan(tables.outbox, { after: 0, limit: 2_000 })).rows.length,
  })
  return { store, counts, committed }
}

const nothing = {
  identity: false,
  sealing: false,
  prekeys: false,
  claim: false,
  claimOfOne: false,
  sessions: 0,
  recovery: 0,
  parked: 0,
  owed: 0,
  outbox: 0,
}

test('a revoked installation forgets keys, sessions, and all that was under way under the old name', async () => {
  const { store, counts } = await aDatabase(5n)
  await forgetIfRevoked(store)
  expect(await counts()).toEqual(nothing)
})

test('no transaction holds more than a few hundred records, and the identity goes with the last', async () => {
  const { store, committed } = await aDatabase(5n)
  committed.length = 0
  await forgetIfRevoked(store)
  for (const { tables: written } of committed) expect(written.length).toBeLessThanOrEqual(1_000)
  const withAccount = committed.map(({ tables: written }) => written.includes('account'))
  expect(withAccount.indexOf(true)).toBe(committed.length - 1)
})

test('what was interrupted anywhere is finished by the next try', async () => {
  for (let spared = 0; ; spared += 1) {
    const { store, counts } = await aDatabase(5n)
    let left = spared
    const failing = storeWithTransaction(store, (reads, step, durability) => {
      if (left-- === 0) throw new PadlockError('storage_failed')
      return store.transaction(reads, step, durability)
    })
    const failed = await forgetIfRevoked(failing).catch((error: unknown) => error)
    if (failed === undefined) return
    expect(failed).toMatchObject({ code: 'storage_failed' })
    await forgetIfRevoked(store)
    expect(await counts()).toEqual(nothing)
    expect((await store.get(tables.messages, 'message 500'))?.value.reason).toBe('revoked')
  }
})

test('history, conversations and the last time of composition stay; what was not sent says why', async () => {
  const { store } = await aDatabase(5n)
  const numberOf = async (id: string) => (await store.get(tables.messages, id))?.number
  const before = await numberOf('message 500')
  await forgetIfRevoked(store)
  for (const id of ['message 0', 'message 500']) {
    expect((await store.get(tables.messages, id))?.value).toMatchObject({
      state: MessageState.PENDING,
      reason: 'revoked',
    })
  }
  expect(await numberOf('message 500')).toBe(before)
  expect((await store.get(tables.messages, 'sent'))?.value).toMatchObject({
    state: MessageState.SENT,
    reason: '',
    nodeNs: 9n,
  })
  expect((await store.get(tables.times, 'times'))?.value).toMatchObject({ lastComposedNs: 7n })
  expect(await store.get(tables.conversations, 'one')).toBeDefined()
})

test.each([undefined, 0n])(
  'an installation that was not revoked forgets nothing',
  async (revokedNs) => {
    const { store, counts } = await aDatabase(revokedNs)
    const before = await counts()
    await forgetIfRevoked(store)
    expect(await counts()).toEqual(before)
    expect((await store.get(tables.messages, 'message 0'))?.value.reason).toBe('')
  },
)
