/**
 * docs/protocol.md section 12: what a stranger, a recipient and our node cannot do.
 */

import { expect, test } from 'vitest'
import { encodeContent } from '../../src/content/registry.ts'
import type { Network, NodeEnvelope } from '../../src/network/network.ts'
import { encodeUtf8 } from '../../src/protocol/bytes.ts'
import { checkMetadata, headerSignature, parseInboxMessage } from '../../src/protocol/envelope.ts'
import { buildConversationId, deriveInstallationId } from '../../src/protocol/ids.ts'
import { buildPayload } from '../../src/protocol/payload.ts'
import { tables } from '../../src/store/tables.ts'
import { addressOf, passed } from '../support/checked.ts'
import {
  anAccount,
  anEngineWorld,
  countOf,
  freshDatabase,
  inboxOf,
  never,
  until,
  untilState,
  untilTexts,
} from '../support/engine.ts'
import { aLine, envelopesFrom, insiderOf } from '../support/turned-world.ts'

test('section 12: a stranger’s envelopes in an inbox are counted, and neither stored, shown nor answered', async () => {
  const world = await anEngineWorld()
  const bob = anAccount()
  const line = aLine()
  const database = freshDatabase()
  const atBob = await world.open({ account: bob, database, network: line.network })
  await untilState(atBob, 'live')
  const topic = `message-${atBob.engine.installationId}`
  const before = line.published.length

  // An installation with good keys that no wallet granted.
  const { identity, ...keys } = world.crypto.createIdentity()
  const stranger = {
    address: addressOf(anAccount()),
    id: passed(deriveInstallationId(keys)),
    identity,
  }
  const payload = buildPayload({
    convoId: buildConversationId(stranger.address, addressOf(bob)),
    contentBytes: encodeContent('let me in'),
    composedNs: 1n,
  })
  const sealed = await envelopesFrom(world, stranger, bob, [payload])
  const garbage = [0, 1, 40, 900].map((length) => ({
    topic,
    message: globalThis.crypto.getRandomValues(new Uint8Array(length)),
  }))
  await world.network.publish([...garbage, ...sealed])
  await until(() => countOf(atBob, 'malformed') === 4)
  // It was parked, looked up, and is nobody's.
  await until(() => countOf(atBob, 'unknown_sender') === 1)
  await atBob.engine.close()
  const again = await world.open({ account: bob, database, network: line.network })
  // Nothing left here, no key was claimed, no session made.
  expect(line.published).toHaveLength(before)
  expect(line.claimed).toEqual([])
  expect(await again.engine.conversations()).toEqual([])
  await again.engine.close()
  const store = await world.openStore(database)
  for (const table of [tables.sessions, tables.conversations]) {
    expect(await store.all<unknown>(table)).toEqual([])
  }
  expect((await store.scan(tables.parked, { after: 0, limit: 10 })).rows).toEqual([])
  expect((await store.get(tables.prekeys, 'prekeys'))?.value.oneTime).toHaveLength(50)
})

test('section 12: mail at the node names no sender, no conversation and no text, and short texts are of one length', async () => {
  const world = await anEngineWorld()
  const [alice, bob] = [anAccount(), anAccount()]
  const atAlice = await world.open({ account: alice, database: freshDatabase() })
  const atBob = await world.open({ account: bob, database: freshDatabase() })
  for (const each of [atAlice, atBob]) await untilState(each, 'live')
  const { id } = await atAlice.engine.conversation(bob.address)
  const texts = ['first of all', 'short one', 'a text that is longer than the others']
  for (const text of texts) await atAlice.engine.send(id, text)
  await untilTexts(atBob, id, 3)

  const mail = await inboxOf(world, atBob)
  expect(mail).toHaveLength(3)
  const [own] = await atAlice.engine.installations(undefined)
  if (!own) throw new Error('no installation')
  const page = await world.network.query([
    { topic: `contact-${addressOf(alice)}`, afterSequence: 0n },
  ])
  const keys = Object.values(own.keys).map((key) => Buffer.from(key, 'base64'))
  expect(keys.every((key) => Buffer.from(page.envelopes[0]?.message ?? []).includes(key))).toBe(
    true,
  )
  const names = [...texts, id, addressOf(alice), addressOf(bob), alice.address, own.id]
  const rawAddresses = [alice, bob].map(({ address }) => Buffer.from(address.slice(2), 'hex'))
  const needles = [...names.map(encodeUtf8), ...keys, ...rawAddresses].map((one) =>
    Buffer.from(one),
  )
  for (const { message } of mail) {
    const bytes = Buffer.from(message)
    expect(needles.filter((needle) => bytes.includes(needle))).toEqual([])
  }
  // The first one told the heads, too.
  expect(mail[2]?.message).toHaveLength(mail[1]?.message.length ?? 0)
})

test('section 12: a sender’s signature proves to others that something was sealed, and nothing of what', async () => {
  const world = await anEngineWorld()
  const [alice, bob] = [anAccount(), anAccount()]
  const database = freshDatabase()
  const atAlice = await world.open({ account: alice, database: freshDatabase() })
  const atBob = await world.open({ account: bob, database })
  for (const each of [atAlice, atBob]) await untilState(each, 'live')
  const { id } = await atAlice.engine.conversation(bob.address)
  await atAlice.engine.send(id, 'between us')
  await untilTexts(atBob, id, 1)
  const [keys] = await atAlice.engine.installations(undefined)
  const [mail] = await inboxOf(world, atBob)
  await atBob.engine.close()
  const bobs = await insiderOf(world, database)
  const store = await world.openStore(database)
  const secrets = (await store.get(tables.sealing, 'sealing'))?.value.secrets ?? []
  if (!mail || !keys) throw new Error('no mail')

  // Bob shows the header with what he opens of it, and any second part he likes.
  const parts = passed(parseInboxMessage(mail.message))
  const shown = [parts, { ...parts, ciphertext: new Uint8Array(528) }]
  const opened = world.crypto.open(
    secrets.map(({ secret }) => secret),
    bobs.id,
    shown,
  )
  const signatures = opened.map((one) => {
    if (!one.ok) throw new Error(one.code)
    const own = { address: bobs.address, installationId: bobs.id }
    const ed25519 = new Uint8Array(Buffer.from(keys.keys.ed25519, 'base64'))
    return headerSignature(one.enc, passed(checkMetadata(one.metadata, own)), ed25519)
  })
  expect(world.crypto.verify(signatures)).toEqual([true, true])
  expect(signatures[1]).toEqual(signatures[0])
  expect(opened.map((one) => one.ok && one.olmMessage !== undefined)).toEqual([true, false])
})

test('section 12: a node that hides a revocation again does not bring the device back for those who know', async () => {
  const world = await anEngineWorld()
  const [alice, bob] = [anAccount(), anAccount()]
  const databases = { phone: freshDatabase(), bob: freshDatabase() }
  const laptop = await world.open({ account: alice, database: freshDatabase() })
  const phone = await world.open({ account: alice, database: databases.phone })
  const first = await world.open({ account: bob, database: databases.bob })
  for (const each of [laptop, phone, first]) await untilState(each, 'live')
  const { id } = await first.engine.conversation(alice.address)
  await phone.engine.close()
  const thief = await insiderOf(world, databases.phone)
  const payload = buildPayload({
    convoId: buildConversationId(addressOf(alice), addressOf(bob)),
    contentBytes: encodeContent('of the phone'),
    composedNs: 1n,
  })
  const late = await envelopesFrom(world, thief, bob, [payload])
  await laptop.engine.revoke([thief.id], never)
  await until(() => first.events.some(({ kind }) => kind === 'installation-revoked'))
  await first.engine.close()

  // Now there is no revocation, and the node says that all is from long ago.
  const change = (envelopes: readonly NodeEnvelope[]) =>
    envelopes
      .filter(({ topic }) => !topic.startsWith('revoked-'))
      .map((envelope) => ({ ...envelope, nodeNs: 1n }))
  const hiding = (real: Network): Network => ({
    ...real,
    query: async (...args) => {
      const page = await real.query(...args)
      return { ...page, envelopes: change(page.envelopes) }
    },
    async *subscribe(...args) {
      for await (const frame of real.subscribe(...args)) {
        yield frame.kind === 'envelopes' ? { ...frame, envelopes: change(frame.envelopes) } : frame
      }
    },
  })
  const again = await world.open({ account: bob, database: databases.bob, network: hiding })
  await untilState(again, 'live')
  await world.network.publish(late)
  await until(() => countOf(again, 'sender_revoked') === 1)
  const sent = await again.engine.send(id, 'to the laptop alone')
  await again.engine.whenSent(sent.id, never)
  expect(await inboxOf(world, phone)).toEqual([])
  expect(await untilTexts(laptop, id, 1)).toEqual(['to the laptop alone'])
  const states = (await again.engine.installations(alice.address)).map(({ state }) => state)
  expect(states.sort()).toEqual(['revoked', 'valid'])
})
