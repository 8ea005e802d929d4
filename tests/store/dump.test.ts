/** What a thief of the database file finds: nothing that was written, and nobody's name. */

import { expect, test } from 'vitest'
import type { Engine } from '../../src/engine/engine.ts'
import { encodeUtf8 } from '../../src/protocol/bytes.ts'
import type { Store, Table, Write } from '../../src/store/store.ts'
import { put, tables } from '../../src/store/tables.ts'
import { anAccount, anEngineWorld, freshDatabase, untilState } from '../support/engine.ts'
import { dumpDatabases, formsOf, type Marker, searchDump, textMarker } from './dump.ts'
import { aStore, openStore, request, tamper, write } from './support.ts'

test('the search finds a marker that is planted in clear, in every form and place', async () => {
  const { database } = await aStore()
  const marker = textMarker('planted', 'a text that was planted in clear')
  expect(searchDump(await dumpDatabases(), [marker])).toEqual([])
  for (const [form, bytes] of formsOf(marker)) {
    // At odd places, within other bytes.
    for (const value of [
      Buffer.concat([encodeUtf8('before'), bytes, encodeUtf8('after')]),
      { deep: [{ list: [new Uint8Array(bytes)] }] },
      { s: new Uint8Array(bytes).buffer },
    ]) {
      await tamper(database, ['meta'], async (transaction) => {
        transaction.objectStore('meta').put(value, 'planted')
      })
      expect(searchDump(await dumpDatabases(), [marker])).toContain(`planted as ${form}`)
    }
    const text = bytes.toString('utf8')
    await tamper(database, ['meta', 'messages'], async (transaction) => {
      transaction.objectStore('meta').delete('planted')
      transaction.objectStore('meta').put(1, text)
      transaction.objectStore('messages').put({ g: text, o: new Uint8Array(1), s: 1 }, 'x')
    })
    expect(searchDump(await dumpDatabases(), [marker])).toContain(`planted as ${form}`)
    await tamper(database, ['meta', 'messages'], async (transaction) => {
      transaction.objectStore('meta').delete(text)
    })
    // What is left is found through the index and the value.
    expect(searchDump(await dumpDatabases(), [marker])).toContain(`planted as ${form}`)
    await tamper(database, ['messages'], async (transaction) => {
      transaction.objectStore('messages').clear()
    })
  }
  const named = `named-${'a text that was planted in clear'}`
  const raw = await request(indexedDB.open(named))
  raw.close()
  expect(searchDump(await dumpDatabases(), [marker])).toEqual(['planted as plain'])
  await request(indexedDB.deleteDatabase(named))
  expect(searchDump(await dumpDatabases(), [marker])).toEqual([])
})

test('nothing of any table lies in clear, whatever is written to it', async () => {
  const { store } = await aStore()
  const markers: Marker[] = []
  let count = 0
  const text = (): string => {
    count += 1
    const marked = `marker ${count} in clear`
    markers.push(textMarker(marked, marked))
    return marked
  }
  const bytes = (): Uint8Array => {
    count += 1
    const marked = crypto.getRandomValues(new Uint8Array(24))
    markers.push({ name: `bytes ${count}`, bytes: marked })
    return marked
  }
  const secret = () => ({ secret: bytes(), publicKey: bytes() })
  const writes: readonly Write[] = [
    put(tables.identity, 'identity', {
      address: text(),
      state: bytes(),
      curve25519: bytes(),
      ed25519: bytes(),
      contactBundle: bytes(),
      prekeyUpload: bytes(),
    }),
    put(tables.sealing, 'sealing', { secrets: [secret()] }),
    put(tables.prekeys, 'prekeys', {
      oneTime: [secret()],
      fallback: [secret()],
      pendingUpload: bytes(),
    }),
    put(tables.installations, text(), {
      address: text(),
      installationId: text(),
      curve25519: bytes(),
      ed25519: bytes(),
      sealingKey: bytes(),
    }),
    put(tables.sessions, text(), { installationId: text(), sessionId: bytes(), state: bytes() }),
    put(tables.conversations, text(), { conversationId: text(), peer: text() }),
    put(tables.accounts, text(), { address: text() }),
    put(
      tables.messages,
      text(),
      {
        messageId: text(),
        conversationId: text(),
        sender: text(),
        senderInstallation: text(),
        content: bytes(),
        reason: text(),
      },
      store.nextNumber(tables.messages),
    ),
    put(tables.outbox, 1, {
      messageId: text(),
      conversationId: text(),
      rows: [{ topic: text(), message: bytes(), address: text() }],
    }),
    put(tables.cursors, text(), { topic: text() }),
    put(tables.seen, 1, { prefixes: bytes() }),
    put(tables.parked, 1, { message: bytes(), address: text(), installationId: text() }),
    put(tables.setAside, 1, { payload: bytes(), address: text(), installationId: text() }),
    put(tables.sent, 1, {
      envelopes: [{ digest: bytes(), installationId: text(), messageId: text() }],
    }),
    put(tables.revocations, 1, { message: bytes() }),
    put(tables.unverified, 1, { message: bytes(), address: text(), installationId: text() }),
    put(tables.news, 1, { kind: text(), address: text(), installationId: text(), account: text() }),
    put(tables.owed, 1, { messageId: text(), installationId: text(), address: text() }),
    put(tables.recovery, text(), {
      installationId: text(),
      address: text(),
      missing: [{ digest: bytes() }],
    }),
  ]
  await write(store, ...writes)
  const names = new Set(writes.map(({ table }) => table.store))
  expect(names.size).toBe(new Set(Object.values(tables).map((table) => table.store)).size)
  expect(searchDump(await dumpDatabases(), markers)).toEqual([])
  // They are really there.
  const prefixes = (await store.get(tables.seen, 1))?.value.prefixes
  expect(markers.map(({ bytes }) => Buffer.from(bytes).toString('hex'))).toContain(
    Buffer.from(prefixes ?? []).toString('hex'),
  )
})

/** Resolves when the conversation has that many messages and none of them is pending. */
const untilMessages = async (engine: Engine, peer: string, count: number): Promise<void> => {
  const { id } = await engine.conversation(peer)
  for (let after = '0'; ; ) {
    const messages = await engine.history(id, undefined, 50)
    if (messages.length === count && messages.every(({ state }) => state !== 'pending')) return
    const pending = messages.find(({ state }) => state === 'pending')
    const signal = new AbortController().signal
    if (pending) await engine.whenSent(pending.id, signal)
    else after = (await engine.nextMessages(after, id, signal)).cursor
  }
}

/** All that the store holds and nobody else may see, read through the store. */
const secretsOf = async (store: Store): Promise<readonly Marker[]> => {
  const found: Marker[] = []
  const collect = (name: string, value: unknown): void => {
    if (value instanceof Uint8Array) {
      if (value.length >= 16) found.push({ name, bytes: value })
    } else if (typeof value === 'string') {
      if (value.length >= 8 && !value.startsWith('padlock.')) found.push(textMarker(name, value))
    } else if (typeof value === 'object' && value !== null) {
      for (const [key, item] of Object.entries(value)) {
        if (key !== '$typeName') collect(`${name}.${key}`, item)
      }
    }
  }
  const collectAll = async <Value>(name: string, table: Table<Value>): Promise<void> => {
    for (const { value } of await store.all(table)) collect(name, value)
  }
  collect('identity', (await store.get(tables.identity, 'identity'))?.value)
  collect('sealing', (await store.get(tables.sealing, 'sealing'))?.value)
  collect('prekeys', (await store.get(tables.prekeys, 'prekeys'))?.value)
  await collectAll('installations', tables.installations)
  await collectAll('sessions', tables.sessions)
  await collectAll('conversations', tables.conversations)
  await collectAll('messages', tables.messages)
  await collectAll('outbox', tables.outbox)
  await collectAll('cursors', tables.cursors)
  await collectAll('seen', tables.seen)
  await collectAll('parked', tables.parked)
  return found
}

test('after two people have talked, none of it lies in clear', async () => {
  const world = await anEngineWorld()
  const [alice, bob] = [anAccount(), anAccount()]
  const [ofAlice, ofBob] = [freshDatabase(), freshDatabase()]
  const a = await world.open({ account: alice, database: ofAlice })
  const b = await world.open({ account: bob, database: ofBob })
  await untilState(a, 'live')
  await untilState(b, 'live')
  const words = ['meet me under the old oak', 'bring the second key with you']
  const fromAlice = await a.engine.conversation(bob.address)
  await a.engine.send(fromAlice.id, words[0] ?? '')
  await untilMessages(b.engine, alice.address, 1)
  const fromBob = await b.engine.conversation(alice.address)
  await b.engine.send(fromBob.id, words[1] ?? '')
  await untilMessages(a.engine, bob.address, 2)
  const installations = [a.engine.installationId, b.engine.installationId]
  await a.engine.close()
  await b.engine.close()

  const markers: Marker[] = [
    ...words.map((text) => textMarker('what they wrote', text)),
    ...world.asked.map((text) => textMarker('what the wallet signed', text)),
    ...installations.flatMap((id) => [
      textMarker('an installation id', id),
      textMarker('a topic', `message-${id}`),
    ]),
    textMarker('the conversation', fromAlice.id),
  ]
  for (const { address } of [alice, bob]) {
    for (const form of [address, address.toLowerCase(), address.slice(2), address.slice(2, 18)]) {
      markers.push(textMarker('an address', form))
    }
    markers.push({ name: 'an address in bytes', bytes: Buffer.from(address.slice(2), 'hex') })
  }
  for (const database of [ofAlice, ofBob]) {
    const secrets = await secretsOf(await openStore(database))
    for (const name of ['identity.state', 'sealing.secrets.0.secret', 'messages.content']) {
      expect(secrets.map((secret) => secret.name)).toContain(name)
    }
    expect(secrets.filter(({ name }) => name.startsWith('prekeys.oneTime'))).not.toEqual([])
    expect(secrets.filter(({ name }) => name === 'sessions.state')).not.toEqual([])
    markers.push(...secrets)
  }
  const dump = await dumpDatabases()
  expect(dump.length).toBeGreaterThan(10_000)
  expect(searchDump(dump, markers)).toEqual([])
})
