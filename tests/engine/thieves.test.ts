/**
 * docs/protocol.md section 12: what somebody reads and does with what was stolen, and what not.
 */

import { expect, test } from 'vitest'
import { encodeContent } from '../../src/content/registry.ts'
import type { OpenedEnvelope } from '../../src/crypto/crypto.ts'
import { checkMetadata, parseInboxMessage } from '../../src/protocol/envelope.ts'
import { buildConversationId } from '../../src/protocol/ids.ts'
import { minuteMs, proofLifetimeNs } from '../../src/protocol/limits.ts'
import { buildPayload } from '../../src/protocol/payload.ts'
import { tables } from '../../src/store/tables.ts'
import { aConversation, encrypt, crypto as olm, payloadOf } from '../crypto/peer.ts'
import { addressOf, passed } from '../support/checked.ts'
import { copyDatabase } from '../support/databases.ts'
import {
  anAccount,
  anEngineWorld,
  countOf,
  type EngineWorld,
  freshDatabase,
  inboxOf,
  never,
  type Opened,
  until,
  untilState,
  untilTexts,
} from '../support/engine.ts'
import { aTurnedWorld, envelopesFrom, insiderOf } from '../support/turned-world.ts'

/** Alice and Bob, live, after Alice wrote and Bob answered. */
const aPair = async () => {
  const world = await anEngineWorld()
  const [alice, bob] = [anAccount(), anAccount()]
  const databases = { alice: freshDatabase(), bob: freshDatabase() }
  const atAlice = await world.open({ account: alice, database: databases.alice })
  const atBob = await world.open({ account: bob, database: databases.bob })
  for (const each of [atAlice, atBob]) await untilState(each, 'live')
  const { id } = await atAlice.engine.conversation(bob.address)
  await atBob.engine.conversation(alice.address)
  await atAlice.engine.send(id, 'of long ago')
  await untilTexts(atBob, id, 1)
  await atBob.engine.send(id, 'an answer')
  await untilTexts(atAlice, id, 2)
  return { world, alice, bob, databases, atAlice, atBob, id }
}

/** What lies in an inbox, opened with the sealing secrets of a database. */
const openInbox = async (world: EngineWorld, opened: Opened, database: string) => {
  const store = await world.openStore(database)
  const sealing = (await store.get(tables.sealing, 'sealing'))?.value
  await store.close()
  const parts = (await inboxOf(world, opened)).map(({ message }) =>
    passed(parseInboxMessage(message)),
  )
  const secrets = (sealing?.secrets ?? []).map(({ secret }) => secret)
  return world.crypto.open(secrets, opened.engine.installationId, parts)
}

const includes = (bytes: Uint8Array | undefined, text: string): boolean =>
  Buffer.from(bytes ?? []).includes(text)

test('section 12: the state of a session opens its chain, nothing from before it and nothing after a ratchet step', () => {
  const { alice, bob, aliceState, bobState, first, inbound } = aConversation()
  // Stolen here: what Bob has after he read `first` and answered.
  const stolen = bobState
  const opens = (messages: typeof first.messages): boolean => {
    const decrypted = olm.decrypt(stolen, messages)
    return decrypted.ok && decrypted.results.every(({ ok }) => ok)
  }
  expect(opens(first.messages)).toBe(false)
  const next = encrypt(alice, aliceState, [payloadOf('next')])
  expect(opens(next.messages)).toBe(true)

  // Bob answers with a key that the thief has not, and Alice steps on to it.
  const read = olm.decrypt(bobState, next.messages)
  if (!read.ok) throw new Error(read.code)
  const answer = encrypt(bob, read.state, [payloadOf('a step')])
  const stepped = olm.decrypt(next.state, answer.messages)
  if (!stepped.ok) throw new Error(stepped.code)
  const later = encrypt(alice, stepped.state, [payloadOf('later')])
  expect(opens(later.messages)).toBe(false)
  const honest = olm.decrypt(answer.state, later.messages)
  expect(honest.ok && honest.results.every(({ ok }) => ok)).toBe(true)
  expect(inbound.sessionId).toHaveLength(32)
})

test('section 12: a sealing secret tells who wrote, and opens nothing that was written', async () => {
  const { world, alice, atAlice, atBob, bob, databases, id } = await aPair()
  await atBob.engine.close()
  const { id: bobsId } = await insiderOf(world, databases.bob)
  const opened = await openInbox(world, atBob, databases.bob)
  expect(opened).not.toEqual([])
  for (const one of opened) {
    if (!one.ok) throw new Error(one.code)
    const own = { address: addressOf(bob), installationId: bobsId }
    const metadata = passed(checkMetadata(one.metadata, own))
    expect(metadata.senderAddress).toBe(addressOf(alice))
    expect(metadata.senderInstallationId).toBe(atAlice.engine.installationId)
    expect(one.olmMessage?.length).toBeGreaterThan(0)
    // Shorter words stand in ciphertext by chance.
    for (const text of ['of long ago', 'xmtp.org', id])
      expect(includes(one.olmMessage, text)).toBe(false)
  }
})

test('section 12: all that a device has now opens nothing that it has read: keys of messages are gone', async () => {
  const { world, atBob, atAlice, databases, id } = await aPair()
  await atAlice.engine.send(id, 'and on')
  await untilTexts(atBob, id, 3)
  await atBob.engine.close()
  const opened = await openInbox(world, atBob, databases.bob)
  const mail = opened.filter((one): one is OpenedEnvelope & { ok: true } => one.ok)
  expect(mail).toHaveLength(2)
  const store = await world.openStore(databases.bob)
  const sessions = await store.all(tables.sessions)
  const identity = (await store.get(tables.identity, 'identity'))?.value
  const prekeys = (await store.get(tables.prekeys, 'prekeys'))?.value
  if (!identity || !prekeys) throw new Error('no identity')
  expect(sessions).toHaveLength(1)
  const secrets = [...prekeys.oneTime, ...prekeys.fallback]
  let firstMessages = 0
  for (const { olmMessage, headerHash } of mail) {
    if (!olmMessage) throw new Error('no Olm message')
    for (const isPrekeyMessage of [true, false]) {
      for (const { value } of sessions) {
        const read = world.crypto.decrypt(value.state, [
          { olmMessage, isPrekeyMessage, headerHash },
        ])
        expect(read.ok && read.results.some(({ ok }) => ok)).toBe(false)
      }
    }
    const [parts] = world.crypto.inspectPrekeyMessages([olmMessage])
    if (!parts?.ok) continue
    firstMessages += 1
    for (const { secret } of secrets) {
      const made = world.crypto.createInboundSession({
        identity: identity.state,
        prekeySecret: secret,
        senderIdentityKey: parts.identityKey,
        olmMessage,
        headerHash,
      })
      expect(made.ok).toBe(false)
    }
  }
  expect(firstMessages).toBe(1)
})

test('section 12: a device that a stolen wallet adds is told to both accounts, and reads nothing from before', async () => {
  const { world, alice, atAlice, atBob, id } = await aPair()
  const database = freshDatabase()
  const thief = await world.open({ account: alice, database })
  await untilState(thief, 'live')
  const added = ({ events }: Opened) =>
    events.flatMap((event) => (event.kind === 'installation-added' ? [event.installation.id] : []))
  for (const each of [atAlice, atBob]) {
    await until(() => added(each).includes(thief.engine.installationId))
  }
  expect(await inboxOf(world, thief)).toEqual([])
  await atBob.engine.send(id, 'of now on')
  expect(await untilTexts(thief, id, 1)).toEqual(['of now on'])
  await thief.engine.close()
  // And if the node gave it all that lies in the inboxes of the others:
  for (const each of [atAlice, atBob]) {
    const opened = await openInbox(world, each, database)
    expect(opened.length).toBeGreaterThan(0)
    expect(opened.filter(({ ok }) => ok)).toEqual([])
  }
})

test('section 12: a thief with the keys of a device acts as it, until it is revoked', async () => {
  const { world, alice, bob, databases, atAlice, atBob, id } = await aPair()
  const laptop = await world.open({ account: alice, database: freshDatabase() })
  await untilState(laptop, 'live')
  await atAlice.engine.close()
  const stolen = freshDatabase()
  await copyDatabase(databases.alice, stolen)
  const thief = await insiderOf(world, stolen)
  const say = async (text: string) => {
    const payload = buildPayload({
      convoId: buildConversationId(addressOf(alice), addressOf(bob)),
      contentBytes: encodeContent(text),
      composedNs: BigInt(Date.now()) * 1_000_000n,
    })
    await world.network.publish(await envelopesFrom(world, thief, bob, [payload]))
  }
  await say('of the thief')
  expect((await untilTexts(atBob, id, 3)).at(-1)).toBe('of the thief')
  await laptop.engine.revoke([thief.id], never)
  await until(() => atBob.events.some(({ kind }) => kind === 'installation-revoked'))
  await say('of the thief, again')
  await until(() => countOf(atBob, 'sender_revoked') === 1)
  expect(await atBob.engine.history(id, undefined, 10)).toHaveLength(3)
})

test('section 12: a stolen inbox proof serves sealed envelopes for ten minutes at most', async () => {
  const { world, clocks } = await aTurnedWorld()
  const { platform } = clocks
  const bob = anAccount()
  let proof: Uint8Array | undefined
  const atBob = await world.open({
    account: bob,
    database: freshDatabase(),
    platform,
    network: (real) => ({
      ...real,
      subscribe: (topics, given, signal) => {
        proof = given
        return real.subscribe(topics, given, signal)
      },
    }),
  })
  await untilState(atBob, 'live')
  expect(proofLifetimeNs).toBeLessThanOrEqual(600_000_000_000n)
  const topic = `message-${atBob.engine.installationId}`
  const begin = async (): Promise<string> => {
    if (!proof) throw new Error('no proof')
    const stop = new AbortController()
    const stream = world.network.subscribe([{ topic, afterSequence: 0n }], proof, stop.signal)
    try {
      for await (const { kind } of stream) return kind
    } catch (error) {
      return String(Object(error).code)
    } finally {
      stop.abort()
    }
    return 'ended'
  }
  expect(await begin()).toBe('started')
  clocks.nodeMs += 10 * minuteMs
  expect(await begin()).toBe('bad_proof')
})
