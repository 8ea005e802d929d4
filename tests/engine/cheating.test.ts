/**
 * A node and people who cheat: forged grants and prekeys, claimed identities, recombined envelopes.
 * Each has its outcome, and honest messages go on.
 */

import { create, toBinary } from '@bufbuild/protobuf'
import type { PrivateKeyAccount } from 'viem/accounts'
import { expect, test } from 'vitest'
import { encodeContent } from '../../src/content/registry.ts'
import {
  InboxMessageSchema,
  PadlockMessagePayloadSchema,
} from '../../src/gen/padlock/v1/message_pb.ts'
import type { Network, NodeEnvelope, OutgoingEnvelope } from '../../src/network/network.ts'
import { buildContactBundle, grantText, parseContactBundle } from '../../src/protocol/contact.ts'
import { buildMetadataPart, parseInboxMessage } from '../../src/protocol/envelope.ts'
import {
  type Address,
  buildConversationId,
  deriveInstallationId,
  type InstallationId,
  parseAddress,
} from '../../src/protocol/ids.ts'
import { buildPayload } from '../../src/protocol/payload.ts'
import type { Checked } from '../../src/protocol/result.ts'
import { headerSigningFields, sealingKeySigningBytes } from '../../src/protocol/signing-bytes.ts'
import { contactTopic, messageTopic } from '../../src/protocol/topics.ts'
import { tables } from '../../src/store/tables.ts'
import {
  anAccount,
  anEngineWorld,
  type EngineWorld,
  freshDatabase,
  type Opened,
  signWith,
  untilState,
  untilTexts,
} from '../support/engine.ts'

const never = new AbortController().signal

const must = <T>(checked: Checked<T>): T => {
  if (!checked.ok) throw new Error(checked.why)
  return checked.value
}

const addressOf = (account: { readonly address: string }): Address =>
  must(parseAddress(account.address))

/** Alice and Bob, live, on a node of their own. */
const aPair = async (
  options: {
    readonly alice?: (real: Network) => Network
    readonly bob?: (real: Network) => Network
  } = {},
) => {
  const world = await anEngineWorld()
  const [alice, bob] = [anAccount(), anAccount()]
  const bobDatabase = freshDatabase()
  const open = (
    account: PrivateKeyAccount,
    database: string,
    network?: (real: Network) => Network,
  ) => world.open({ account, database, ...(network ? { network } : {}) })
  const atAlice = await open(alice, freshDatabase(), options.alice)
  const atBob = await open(bob, bobDatabase, options.bob)
  await untilState(atAlice, 'live')
  await untilState(atBob, 'live')
  const id = buildConversationId(addressOf(alice), addressOf(bob))
  await atAlice.engine.conversation(bob.address)
  await atBob.engine.conversation(alice.address)
  return { world, alice, bob, atAlice, atBob, bobDatabase, id }
}

const countOf = ({ engine }: Opened, code: string): number =>
  engine.status.warnings.find((warning) => warning.code === code)?.count ?? 0

/** The newest installation of an account, as its contact topic has it. */
const installationOf = async (world: EngineWorld, account: { readonly address: string }) => {
  const topic = contactTopic(addressOf(account))
  const { envelopes } = await world.network.query([{ topic, afterSequence: 0n }])
  const last = envelopes.at(-1)
  if (!last) throw new Error('no installation')
  return must(parseContactBundle(last.message))
}

/** An envelope to someone, sealed with any identity under any claimed name. */
const forge = async (
  world: EngineWorld,
  options: {
    readonly identity: Uint8Array
    readonly claims: { readonly address: Address; readonly id: InstallationId }
    readonly to: { readonly address: string }
    readonly payload: Uint8Array
  },
): Promise<OutgoingEnvelope> => {
  const { crypto, network } = world
  const to = await installationOf(world, options.to)
  const [claimed] = await network.claimPrekeys(
    globalThis.crypto.getRandomValues(new Uint8Array(16)),
    [to.installationId],
  )
  if (!claimed?.prekey) throw new Error('no prekey')
  const [session] = crypto.createOutboundSessions(options.identity, [
    { identityKey: to.keys.curve25519, prekey: claimed.prekey.key },
  ])
  if (!session?.ok) throw new Error('no session')
  const fields = {
    senderAddress: options.claims.address,
    senderInstallationId: options.claims.id,
    recipientAddress: to.address,
    recipientInstallationId: to.installationId,
  }
  const [sealed] = crypto.seal(options.identity, [
    {
      state: session.state,
      sealingKey: to.sealingKey.key,
      recipientInstallationId: to.installationId,
      metadata: buildMetadataPart(fields),
      signingFields: headerSigningFields(fields),
      payloads: [options.payload],
    },
  ])
  const message = sealed?.ok ? sealed.envelopes[0]?.message : undefined
  if (!message) throw new Error('not sealed')
  return { topic: messageTopic(to.installationId), message }
}

const textPayload = (convoId: ReturnType<typeof buildConversationId>): Uint8Array =>
  buildPayload({
    convoId,
    contentBytes: new Uint8Array([0x22, 0x02, 0x68, 0x69]),
    composedNs: 1_800_000_000_000_000_000n,
  })

/** An honest message still goes through, and the forged one never shows. */
const expectHonest = async ({
  atAlice,
  atBob,
  id,
}: {
  readonly atAlice: Opened
  readonly atBob: Opened
  readonly id: string
}) => {
  await atAlice.engine.send(id, 'honest')
  expect(await untilTexts(atBob, id, 1)).toEqual(['honest'])
}

test('a grant that another wallet signed makes nobody a recipient', async () => {
  const mallory = anAccount()
  let forged: NodeEnvelope | undefined
  const inject = (envelopes: readonly NodeEnvelope[]): readonly NodeEnvelope[] =>
    envelopes.flatMap((envelope) =>
      forged && envelope.topic === forged.topic ? [envelope, forged] : [envelope],
    )
  const sentTo = new Set<string>()
  const pair = await aPair({
    alice: (real) => ({
      ...real,
      publish: (envelopes, signal) => {
        for (const { topic } of envelopes) sentTo.add(topic)
        return real.publish(envelopes, signal)
      },
      query: async (topics, signal) => {
        const page = await real.query(topics, signal)
        return { ...page, envelopes: inject(page.envelopes) }
      },
      async *subscribe(topics, proof, signal) {
        for await (const frame of real.subscribe(topics, proof, signal)) {
          yield frame.kind === 'envelopes'
            ? { ...frame, envelopes: inject(frame.envelopes) }
            : frame
        }
      },
    }),
  })
  // A third account, which Alice has not seen: its topic comes with a forged bundle behind the real.
  const carol = anAccount()
  const atCarol = await pair.world.open({ account: carol, database: freshDatabase() })
  await untilState(atCarol, 'live')
  const { crypto } = pair.world
  const { identity, ...keys } = crypto.createIdentity()
  const installationId = must(deriveInstallationId(keys))
  const address = addressOf(carol)
  const [sealing] = crypto.createKeyPairs(1)
  if (!sealing) throw new Error('no key')
  const createdNs = BigInt(Date.now()) * 1_000_000n
  const signing = sealingKeySigningBytes({
    address,
    installationId,
    createdNs,
    key: sealing.publicKey,
  })
  const [sealingSignature] = crypto.sign(identity, [signing])
  if (!sealingSignature) throw new Error('no signature')
  const grant = {
    keys,
    address,
    currentTime: '2026-11-21T08:13:00.000Z',
    signature: { kind: 'eip191', signature: new Uint8Array(65) } as const,
    sealingKey: { key: sealing.publicKey, createdNs, signature: sealingSignature },
  }
  const signature = await signWith(mallory)(grantText(grant), never)
  forged = {
    topic: contactTopic(address),
    sequence: 2n,
    nodeNs: createdNs,
    message: buildContactBundle({ ...grant, signature: { kind: 'eip191', signature } }),
  }
  const { id } = await pair.atAlice.engine.conversation(carol.address)
  const { id: messageId } = await pair.atAlice.engine.send(id, 'for carol alone')
  expect((await pair.atAlice.engine.whenSent(messageId, never)).state).toBe('sent')
  expect(await untilTexts(atCarol, id, 1)).toEqual(['for carol alone'])
  expect(sentTo).toContain(messageTopic((await installationOf(pair.world, carol)).installationId))
  expect(sentTo).not.toContain(messageTopic(installationId))
  const shown = await pair.atAlice.engine.installations(carol.address)
  expect(shown.map((installation) => installation.id)).not.toContain(installationId)
})

test('a prekey with a bad signature is not used: the message waits, and goes when the peer writes', async () => {
  let isCheating = true
  const pair = await aPair({
    alice: (real) => ({
      ...real,
      claimPrekeys: async (claimId, ids, signal) => {
        const claimed = await real.claimPrekeys(claimId, ids, signal)
        if (!isCheating) return claimed
        return claimed.map(({ installationId, prekey }) => ({
          installationId,
          prekey: prekey && {
            ...prekey,
            key: prekey.key.map((byte, at) => (at === 0 ? byte ^ 1 : byte)),
          },
        }))
      },
    }),
  })
  const { id: messageId } = await pair.atAlice.engine.send(pair.id, 'with a good key only')
  const isWaiting = () =>
    pair.atAlice.events.some(
      (event) => event.kind === 'message-state' && event.message.reason === 'no_installation',
    )
  while (!isWaiting()) await new Promise((resolve) => setTimeout(resolve, 5))
  isCheating = false
  await pair.atBob.engine.send(pair.id, 'hello?')
  const sent = await pair.atAlice.engine.whenSent(messageId, never)
  expect(sent.state).toBe('sent')
  expect(await untilTexts(pair.atBob, pair.id, 2)).toEqual(['hello?', 'with a good key only'])
})

test('who claims to be an installation that they are not is rejected by the header’s signature', async () => {
  const pair = await aPair()
  const real = await installationOf(pair.world, pair.alice)
  const { identity } = pair.world.crypto.createIdentity()
  const envelope = await forge(pair.world, {
    identity,
    claims: { address: addressOf(pair.alice), id: real.installationId },
    to: pair.bob,
    payload: textPayload(pair.id),
  })
  await pair.world.network.publish([envelope])
  await expectHonest(pair)
  expect(countOf(pair.atBob, 'bad_header_signature')).toBe(1)
})

test('an installation that the claimed account never granted is an unknown sender', async () => {
  const pair = await aPair()
  const { identity, ...keys } = pair.world.crypto.createIdentity()
  const envelope = await forge(pair.world, {
    identity,
    claims: { address: addressOf(pair.alice), id: must(deriveInstallationId(keys)) },
    to: pair.bob,
    payload: textPayload(pair.id),
  })
  await pair.world.network.publish([envelope])
  await expectHonest(pair)
  // Parked until the look-up has named no such installation; the next subscription works it off.
  const stranger = anAccount().address
  await Promise.all([pair.atBob.engine.conversation(stranger)])
  const isCounted = () => countOf(pair.atBob, 'unknown_sender') === 1
  while (!isCounted()) await new Promise((resolve) => setTimeout(resolve, 5))
  expect(await pair.atBob.engine.history(pair.id, undefined, 10)).toHaveLength(1)
})

test('a registered stranger cannot write into a conversation of others', async () => {
  let subscriptions = 0
  const pair = await aPair({
    bob: (real) => ({
      ...real,
      subscribe: (...args) => {
        subscriptions += 1
        return real.subscribe(...args)
      },
    }),
  })
  const mallory = anAccount()
  const database = freshDatabase()
  const { engine } = await pair.world.open({ account: mallory, database })
  await engine.close()
  const store = await pair.world.openStore(database)
  const stored = await store.get(tables.identity, 'identity')
  if (!stored) throw new Error('no identity')
  const envelope = await forge(pair.world, {
    identity: stored.value.state,
    claims: {
      address: addressOf(mallory),
      id: (await installationOf(pair.world, mallory)).installationId,
    },
    to: pair.bob,
    payload: textPayload(pair.id),
  })
  await pair.atAlice.engine.send(pair.id, 'before')
  await untilTexts(pair.atBob, pair.id, 1)
  const before = subscriptions
  await pair.world.network.publish([envelope])
  for (const [at, text] of ['first', 'second', 'third'].entries()) {
    await pair.atAlice.engine.send(pair.id, text)
    await untilTexts(pair.atBob, pair.id, at + 2)
  }
  expect(countOf(pair.atBob, 'wrong_participants')).toBe(1)
  expect(subscriptions, 'nobody is followed for having written garbage').toBe(before)
})

test('a payload of a later version is set aside, not lost', async () => {
  const pair = await aPair()
  const mallory = anAccount()
  const database = freshDatabase()
  const { engine } = await pair.world.open({ account: mallory, database })
  await engine.close()
  const store = await pair.world.openStore(database)
  const stored = await store.get(tables.identity, 'identity')
  if (!stored) throw new Error('no identity')
  const later = create(PadlockMessagePayloadSchema, {
    convoId: buildConversationId(addressOf(mallory), addressOf(pair.bob)),
  })
  // Version 2: nobody knows yet what it will be.
  const payload = Uint8Array.of(...toBinary(PadlockMessagePayloadSchema, later), 0x08, 0x02)
  const envelope = await forge(pair.world, {
    identity: stored.value.state,
    claims: {
      address: addressOf(mallory),
      id: (await installationOf(pair.world, mallory)).installationId,
    },
    to: pair.bob,
    payload,
  })
  await pair.world.network.publish([envelope])
  await expectHonest(pair)
  expect(countOf(pair.atBob, 'unsupported_version')).toBe(1)
  await pair.atBob.engine.close()
  const kept = await (await pair.world.openStore(pair.bobDatabase)).all(tables.setAside)
  expect(kept.map(({ value }) => value.address)).toEqual([addressOf(mallory)])
  // wasm appended the header's hash when it sealed.
  expect(kept[0]?.value.payload.subarray(0, payload.length)).toEqual(payload)
})

test('header and ciphertext of two envelopes recombined decrypt to nothing, and both originals arrive', async () => {
  const captured: OutgoingEnvelope[] = []
  let isHolding = true
  const pair = await aPair({
    alice: (real) => ({
      ...real,
      publish: async (envelopes, signal) => {
        if (isHolding) captured.push(...envelopes)
        return real.publish(envelopes, signal)
      },
    }),
  })
  await pair.atAlice.engine.send(pair.id, 'first')
  await untilTexts(pair.atBob, pair.id, 1)
  const { id: messageId } = await pair.atAlice.engine.send(pair.id, 'second')
  await pair.atAlice.engine.whenSent(messageId, never)
  isHolding = false
  const [one, two] = captured.filter(({ topic }) => topic.startsWith('message-'))
  if (!one || !two) throw new Error('not captured')
  const [a, b] = [must(parseInboxMessage(one.message)), must(parseInboxMessage(two.message))]
  const combine = (headerBytes: Uint8Array, ciphertext: Uint8Array): OutgoingEnvelope => ({
    topic: one.topic,
    message: toBinary(
      InboxMessageSchema,
      create(InboxMessageSchema, { version: { case: 'v1', value: { headerBytes, ciphertext } } }),
    ),
  })
  await pair.world.network.publish([
    combine(a.headerBytes, b.ciphertext),
    combine(b.headerBytes, a.ciphertext),
  ])
  await pair.atAlice.engine.send(pair.id, 'third')
  expect(await untilTexts(pair.atBob, pair.id, 3)).toEqual(['first', 'second', 'third'])
  expect(countOf(pair.atBob, 'decryption_failed')).toBe(2)
})

test('a sender who cannot be looked up now is parked, and their messages come in order later', async () => {
  let isDown = true
  const pair = await aPair({
    bob: (real) => ({
      ...real,
      query: async (topics, signal) => {
        if (isDown) throw new (await import('../../src/errors.ts')).PadlockError('unavailable')
        return real.query(topics, signal)
      },
    }),
  })
  const carol = anAccount()
  const atCarol = await pair.world.open({ account: carol, database: freshDatabase() })
  const { id } = await atCarol.engine.conversation(pair.bob.address)
  for (const text of ['one', 'two', 'three']) {
    const { id: messageId } = await atCarol.engine.send(id, text)
    await atCarol.engine.whenSent(messageId, never)
  }
  await pair.atAlice.engine.send(pair.id, 'from someone known')
  expect(await untilTexts(pair.atBob, pair.id, 1)).toEqual(['from someone known'])
  expect(await pair.atBob.engine.history(id, undefined, 10)).toEqual([])
  isDown = false
  // A new conversation makes a new subscription, and a caught-up one works off what is parked.
  const stranger = anAccount().address
  await Promise.all([pair.atBob.engine.conversation(stranger)])
  expect(await untilTexts(pair.atBob, id, 3)).toEqual(['one', 'two', 'three'])
})

test('an envelope that the node withholds is a gap, and those behind it arrive', async () => {
  let toDrop = 1
  const pair = await aPair({
    bob: (real) => ({
      ...real,
      async *subscribe(topics, proof, signal) {
        for await (const frame of real.subscribe(topics, proof, signal)) {
          if (frame.kind !== 'envelopes') yield frame
          else {
            const kept = frame.envelopes.filter(
              ({ topic }) => !topic.startsWith('message-') || toDrop-- !== 1,
            )
            yield { ...frame, envelopes: kept }
          }
        }
      },
    }),
  })
  const send = async (text: string) => {
    const { id } = await pair.atAlice.engine.send(pair.id, text)
    await pair.atAlice.engine.whenSent(id, never)
  }
  await send('withheld')
  await send('behind it')
  expect(await untilTexts(pair.atBob, pair.id, 1)).toEqual(['behind it'])
  expect(countOf(pair.atBob, 'gap')).toBe(1)
})

test('digests of mail that no node holds any more are forgotten at the next opening', async () => {
  const pair = await aPair()
  await expectHonest(pair)
  await pair.atBob.engine.close()
  const platform = { nowMs: () => Date.now() + 62 * 86_400_000 }
  const again = await pair.world.open({ account: pair.bob, database: pair.bobDatabase, platform })
  await again.engine.close()
  expect(await (await pair.world.openStore(pair.bobDatabase)).all(tables.seen)).toEqual([])
})

test('a retransmission that nobody asked for is rejected', async () => {
  const pair = await aPair()
  const mallory = anAccount()
  const database = freshDatabase()
  const { engine } = await pair.world.open({ account: mallory, database })
  await engine.close()
  const store = await pair.world.openStore(database)
  const stored = await store.get(tables.identity, 'identity')
  if (!stored) throw new Error('no identity')
  const envelope = await forge(pair.world, {
    identity: stored.value.state,
    claims: {
      address: addressOf(mallory),
      id: (await installationOf(pair.world, mallory)).installationId,
    },
    to: pair.bob,
    payload: buildPayload({
      convoId: buildConversationId(addressOf(mallory), addressOf(pair.bob)),
      contentBytes: encodeContent('again'),
      composedNs: 1n,
      retransmits: new Uint8Array(32).fill(7),
    }),
  })
  await pair.world.network.publish([envelope])
  await expectHonest(pair)
  expect(countOf(pair.atBob, 'bad_payload')).toBe(1)
})
