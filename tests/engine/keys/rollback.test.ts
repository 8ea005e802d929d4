/** An older copy of itself: what is noticed, and what is repaired together. docs/protocol.md section 10; one part alone. */

import { expect, test } from 'vitest'
import { repairIfRolledBack } from '../../../src/engine/keys/rollback.ts'
import type { KnownInstallation } from '../../../src/engine/membership/directory.ts'
import { commit } from '../../../src/engine/runtime/change.ts'
import type { Session } from '../../../src/engine/sessions/session-rules.ts'
import type { InstallationId } from '../../../src/protocol/ids.ts'
import { tables } from '../../../src/store/tables.ts'
import { known, sendingParts } from '../../support/engine-context.ts'
import { aHolder } from '../../support/key-holder.ts'

const minuteNs = 60_000_000_000n
const otherKey = new Uint8Array(32).fill(9)

/** An installation with a session, about to find out whether it is an older copy. */
const aCopy = async () => {
  const all = await aHolder()
  const { directory, sessions } = sendingParts(all.context)
  const { account } = all.context
  const session: Session = {
    installationId: 'A'.repeat(43) as InstallationId,
    sessionId: new Uint8Array(32),
    state: new Uint8Array(3),
    createdMs: 1,
    firstDecryptedMs: 0,
    lastDecryptedMs: 0,
    sentSince: 0,
    isClosed: false,
  }
  await commit(all.store, sessions.statesChange([session]))
  all.committed.length = 0
  /** What our own contact topic says of this installation. */
  const says = (given: Partial<KnownInstallation>) =>
    directory.people.set(account.address, [known(account, given)])
  const here = { sealingKey: all.first.sealing.publicKey, sealingCreatedNs: all.createdNs }
  says(here)
  const { sealingKeys, prekeys } = all
  const repair = (newestUploadNs = all.createdNs, unopened = 0) =>
    repairIfRolledBack(
      all.context,
      { directory, sealingKeys, prekeys, sessions },
      newestUploadNs,
      unopened,
    )
  const told = () => all.events.filter(({ kind }) => kind === 'restored')
  const closed = async () => (await all.store.all(tables.sessions)).map(({ value }) => value.closed)
  return { ...all, directory, sessions, session, says, here, repair, told, closed }
}

test('a copy that knows its newest key and upload is no older copy', async () => {
  const all = await aCopy()
  await all.repair()
  // Nor is one whose bundle was not seen, or that only a revocation names.
  all.directory.people.clear()
  await all.repair()
  all.says({ sealingKey: new Uint8Array(), sealingCreatedNs: 0n })
  await all.repair()
  // Nor one that made a newer key, of which the node has not heard yet.
  all.says({ sealingKey: otherKey, sealingCreatedNs: all.createdNs - 1n })
  await all.repair()
  expect(all.told()).toEqual([])
  expect(all.requests).toEqual([])
  expect(await all.closed()).toEqual([false])
})

test.each([0n, 1n])(
  'a sealing key that is not here and %s ns newer is repaired, all in one transaction on the disk',
  async (newerNs) => {
    const all = await aCopy()
    const theirs = all.createdNs + newerNs
    all.says({ sealingKey: otherKey, sealingCreatedNs: theirs })
    await all.repair(all.createdNs, 3)
    expect(all.told()).toEqual([{ kind: 'restored', unopened: 3 }])
    expect(all.warned('restored')).toBe(1)
    expect(all.committed[0]).toEqual({
      durability: 'strict',
      tables: ['sessions', 'account', 'account', 'news', 'account'],
    })
    // All sessions are closed, on the disk and in memory.
    expect(await all.closed()).toEqual([true])
    expect(all.sessions.of(all.session.installationId)).toEqual([])
    await all.sessions.load([all.session.installationId])
    expect(all.sessions.of(all.session.installationId).map(({ isClosed }) => isClosed)).toEqual([
      true,
    ])
    // Both are published, and were stored before.
    const [bundle] = all.bundles()
    const [upload] = all.uploads()
    expect(all.requests.map(({ topic }) => topic.split('-')[0])).toEqual(['contact', 'prekey'])
    expect(bundle?.sealingKey.createdNs).toBeGreaterThan(theirs)
    expect(upload).toMatchObject({ replace: true })
    expect(upload?.createdNs).toBeGreaterThan(all.createdNs)
    expect(upload?.oneTime).toHaveLength(50)
    expect(upload?.fallback?.key).not.toEqual(all.first.fallback.publicKey)
    const [before] = all.storedAt
    expect(before?.sealing?.secrets[0]?.publicKey).toEqual(bundle?.sealingKey.key)
    expect(before?.prekeys?.pendingUpload).toEqual(all.requests[1]?.message)
    expect(before?.times).toMatchObject({ lastCreatedNs: upload?.createdNs, lastComposedNs: 5n })
    // What was here still opens late mail.
    expect(all.sealingKeys.has(all.first.sealing.publicKey)).toBe(true)
    for (const { key } of upload?.oneTime ?? []) expect(all.prekeys.find(key)).toBeDefined()
    // Once is enough.
    all.says({ sealingKey: bundle?.sealingKey.key ?? otherKey, sealingCreatedNs: theirs + 2n })
    await all.repair(upload?.createdNs)
    expect(all.told()).toHaveLength(1)
  },
)

test('an upload that is not known here is repaired by one above it', async () => {
  const all = await aCopy()
  const theirs = all.createdNs + minuteNs
  await all.repair(theirs)
  expect(all.told()).toHaveLength(1)
  expect(all.uploads()[0]?.createdNs).toBe(theirs + 1n)
  expect(all.bundles()[0]?.sealingKey.createdNs).toBeGreaterThan(all.createdNs)
})

test('an upload from the future is not followed there, whatever else is newer', async () => {
  const all = await aCopy()
  const future = all.createdNs + 11n * minuteNs
  await all.repair(future)
  expect(all.told()).toEqual([])
  all.says({ sealingKey: otherKey, sealingCreatedNs: all.createdNs + 1n })
  await all.repair(future)
  expect(all.told()).toHaveLength(1)
  expect(all.uploads()[0]?.createdNs).toBeLessThan(future)
})
