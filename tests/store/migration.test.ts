/** A database that release 0.1 wrote is brought up to date when it is opened, and only then. */

import { openDB } from 'idb'
import { privateKeyToAccount } from 'viem/accounts'
import { expect, test } from 'vitest'
import type { Network } from '../../src/network/network.ts'
import { openIdbStore } from '../../src/store/idb.ts'
import { migrateRecords } from '../../src/store/migration.ts'
import { RecordVault, recordVersion } from '../../src/store/record-vault.ts'
import { closeDatabase, openDatabase } from '../../src/store/schema.ts'
import { put, tables } from '../../src/store/tables.ts'
import { openVaultKey } from '../../src/store/vault-key.ts'
import { anEngineWorld, codeOf, loadTestCrypto, unreachableNode } from '../support/engine.ts'
import old from './stored/0.1.json' with { type: 'json' }
import { loadStored } from './stored/load.ts'

const account = privateKeyToAccount(old.wallet.privateKey as `0x${string}`)
const [withBob, withDave, toSelf, withCarol] = old.expected.conversations

/** The old database under a name of its own. */
let loaded = 0
const anOldDatabase = async (): Promise<string> => {
  loaded += 1
  const database = `old ${loaded}`
  await loadStored({ ...old, database })
  return database
}

const openOld = async (database: string) => {
  const world = await anEngineWorld()
  const network = (real: Network) => unreachableNode(real)
  return world.open({ account, database, network })
}

test('everything that was there is there, in its order, under its cursor', async () => {
  const { engine } = await openOld(await anOldDatabase())
  expect(engine.installationId).toBe(old.expected.installationId)
  for (const conversation of old.expected.conversations) {
    const history = await engine.history(conversation.id, undefined, 100)
    expect(history.toReversed()).toMatchObject(
      conversation.messages.map(({ id, content, state, arrival }) => ({
        id,
        content,
        state,
        cursor: String(arrival),
      })),
    )
  }
})

test('who was answered is accepted, who only wrote has made a request', async () => {
  const { engine } = await openOld(await anOldDatabase())
  const listed = await engine.conversations()
  const consentOf = (one: typeof withBob) => listed.find(({ id }) => id === one?.id)
  expect(consentOf(withBob)).toMatchObject({ consent: 'allowed', messageCount: 12 })
  expect(consentOf(toSelf)).toMatchObject({ consent: 'allowed', messageCount: 1 })
  expect(consentOf(withCarol)).toMatchObject({ consent: 'unknown', messageCount: 3 })
  expect(consentOf(withDave)).toMatchObject({ consent: 'unknown', messageCount: 0 })
  const requests = await engine.conversations(9, undefined, 'unknown')
  expect(requests.map(({ id }) => id).toSorted()).toEqual([withCarol?.id, withDave?.id].toSorted())
})

test('requests count towards what strangers may have, and all records cover their lists', async () => {
  const database = await anOldDatabase()
  const store = await openIdbStore(database, await loadTestCrypto(), () => undefined)
  const totals = (await store.get(tables.requestTotals, 'requestTotals'))?.value
  expect(totals?.messages).toBe(3)
  expect(Number(totals?.bytes)).toBeGreaterThan(0)
  await store.close()
  // Moved into another conversation, a message does not open.
  const raw = await openDB(database)
  const all = await raw.getAll('messages')
  const keys = await raw.getAllKeys('messages')
  const groups = [...new Set(all.map(({ g }) => g))]
  await raw.put('messages', { ...all[0], g: groups.find((g) => g !== all[0].g) }, keys[0])
  raw.close()
  const lost: string[] = []
  const again = await openIdbStore(
    database,
    await loadTestCrypto(),
    () => undefined,
    ({ code }) => lost.push(code),
  )
  const { rows } = await again.scan(tables.messages, { after: 0, limit: 100 })
  expect(rows).toHaveLength(all.length - 1)
  expect(lost).toEqual(['storage_damaged'])
  await again.close()
})

test('a migration that was interrupted goes on, and an opened database is not migrated again', async () => {
  const database = await anOldDatabase()
  const crypto = await loadTestCrypto()
  let failAfter = 3
  const failing = {
    ...crypto,
    vaultSeal: (...args: Parameters<typeof crypto.vaultSeal>) => {
      failAfter -= 1
      if (failAfter < 0) throw new Error('the tab is gone')
      return crypto.vaultSeal(...args)
    },
  }
  expect(await codeOf(openIdbStore(database, failing, () => undefined))).toBe('storage_failed')
  const store = await openIdbStore(database, crypto, () => undefined)
  const { rows } = await store.scan(tables.messages, { after: 0, limit: 100 })
  expect(rows).toHaveLength(16)
  await store.close()
  failAfter = 0
  await (await openIdbStore(database, failing, () => undefined)).close()
})

test('what another home counted after it had finished the migration stays', async () => {
  const name = await anOldDatabase()
  const crypto = await loadTestCrypto()
  const database = await openDatabase(name, () => undefined)
  const finish: Promise<unknown>[] = []
  class OvertakenVault extends RecordVault {
    override openRecords(...args: Parameters<RecordVault['openRecords']>) {
      const [store] = args
      if (store === 'accounts' && finish.length === 0) {
        const totals = put(tables.requestTotals, 'requestTotals', { messages: 99, bytes: 5n })
        const [sealed] = this.seal([totals])
        if (!sealed?.record) throw new Error('it is not a deletion')
        finish.push(database.put('account', sealed.record, sealed.key))
        finish.push(database.put('meta', recordVersion, 'records'))
      }
      return super.openRecords(...args)
    }
  }
  await migrateRecords(database, new OvertakenVault(crypto, await openVaultKey(database)))
  expect(await Promise.all(finish)).toHaveLength(2)
  await closeDatabase(database)
  const store = await openIdbStore(name, crypto, () => undefined)
  expect((await store.get(tables.requestTotals, 'requestTotals'))?.value.messages).toBe(99)
  await store.close()
})

test('old records that are put back after the migration do not open', async () => {
  const database = await anOldDatabase()
  const before = await openDB(database)
  const record = await before.get('account', 'identity')
  before.close()
  const crypto = await loadTestCrypto()
  await (await openIdbStore(database, crypto, () => undefined)).close()
  const raw = await openDB(database)
  await raw.put('account', record, 'identity')
  raw.close()
  const store = await openIdbStore(database, crypto, () => undefined)
  expect(await codeOf(store.get(tables.identity, 'identity'))).toBe('storage_damaged')
  await store.close()
})
