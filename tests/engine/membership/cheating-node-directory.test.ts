/**
 * A node that cheats with who has which installations (docs/protocol.md sections 3, 5 and 9): it adds
 * devices, swaps keys, and takes revocations back or makes them up. Nothing is sent to whom the wallet
 * did not grant, and honest people go on.
 */

import { create } from '@bufbuild/protobuf'
import type { PrivateKeyAccount } from 'viem/accounts'
import { expect, test } from 'vitest'
import { EnvelopeSchema } from '../../../src/gen/padlock/v1/node_pb.ts'
import { buildContactBundle, parseContactBundle } from '../../../src/protocol/contact.ts'
import type { IdentityKeys } from '../../../src/protocol/ids.ts'
import { buildRevocation, revocationText } from '../../../src/protocol/revocation.ts'
import { contactTopic, messageTopic } from '../../../src/protocol/topics.ts'
import {
  misdates,
  numbersAnew,
  onTopic,
  rewrites,
  withholds,
} from '../../support/cheating-node/tricks.ts'
import { CheatingPeer } from '../../support/cheating-peer/cheating-peer.ts'
import {
  aStage,
  aThird,
  expectHonest,
  type Stage,
  say,
  shownTexts,
} from '../../support/cheating-stage.ts'
import { addressOf, passed } from '../../support/checked.ts'
import {
  anAccount,
  countOf,
  freshDatabase,
  never,
  type Opened,
  signWith,
  until,
  untilState,
  untilTexts,
} from '../../support/engine.ts'

/** Inboxes that the victim published to. */
const writtenTo = ({ node }: Pick<Stage, 'node'>): ReadonlySet<string> =>
  new Set(node.published.map(({ topic }) => topic).filter((topic) => topic.startsWith('message-')))

const inboxOf = ({ engine }: Opened): string => `message-${engine.installationId}`

const aRevocation = async (
  account: { readonly address: string },
  keys: IdentityKeys,
  wallet: PrivateKeyAccount,
): Promise<Uint8Array> => {
  const fields = {
    address: addressOf(account),
    currentTime: '2026-11-21T08:13:00.000Z',
    installations: [keys],
    signature: { kind: 'eip191', signature: new Uint8Array(65) },
  } as const
  const signature = await signWith(wallet)(passed(revocationText(fields)), never)
  return buildRevocation({ ...fields, signature: { kind: 'eip191', signature } })
}

interface Forgery {
  readonly name: string
  /** What is served behind the true bundle of somebody, under the next number. */
  readonly forge: (
    stage: Stage,
    whose: PrivateKeyAccount,
    bundle: Uint8Array,
  ) => Promise<Uint8Array>
}

const forgeries: readonly Forgery[] = [
  {
    name: 'section 3: a grant that another wallet signed makes nobody a recipient',
    forge: async ({ world }, whose) => (await CheatingPeer.make(world, whose, anAccount())).bundle,
  },
  {
    name: 'section 3: a grant of another account, served on this one’s topic, makes nobody a recipient',
    forge: async ({ world }) => (await CheatingPeer.make(world)).bundle,
  },
  {
    name: 'section 3: a grant whose sealing key was signed by another installation makes nobody a recipient',
    forge: async ({ world }, whose) => {
      const [one, other] = [
        await CheatingPeer.make(world, whose),
        await CheatingPeer.make(world, whose),
      ]
      const { sealingKey } = passed(parseContactBundle(other.bundle))
      return buildContactBundle({ ...passed(parseContactBundle(one.bundle)), sealingKey })
    },
  },
  {
    name: 'section 8: bytes that are no bundle are passed over',
    forge: async () => new Uint8Array(300).fill(3),
  },
]

for (const { name, forge } of forgeries) {
  test(name, async () => {
    const stage = await aStage()
    const carol = await aThird(stage)
    const topic = `contact-${addressOf(carol.account)}`
    const [real] = (await stage.world.network.query([{ topic, afterSequence: 0n }])).envelopes
    if (!real) throw new Error('no bundle')
    const forged = await forge(stage, carol.account, real.message)
    stage.node.play(numbersAnew(onTopic(topic), ({ message }) => [message, forged]))
    const { id } = await stage.atBob.engine.conversation(carol.account.address)
    await say(stage.atBob, id, 'for carol alone')
    expect(await untilTexts(carol, id, 1)).toEqual(['for carol alone'])
    expect(writtenTo(stage)).toEqual(new Set([inboxOf(carol)]))
    const shown = await stage.atBob.engine.installations(carol.account.address)
    expect(shown.map((one) => one.id)).toEqual([carol.engine.installationId])
    await say(carol, id, 'and for bob')
    expect(await untilTexts(stage.atBob, id, 2)).toEqual(['for carol alone', 'and for bob'])
    await expectHonest(stage)
  })
}

test('section 5: a device that is left out of a log is a gap, as these logs are kept forever', async () => {
  const stage = await aStage()
  const { world, node, atBob } = stage
  const carol = anAccount()
  const phone = await world.open({ account: carol, database: freshDatabase() })
  const laptop = await world.open({ account: carol, database: freshDatabase() })
  for (const each of [phone, laptop]) await untilState(each, 'live')
  node.play(withholds((one) => one.topic === contactTopic(addressOf(carol)) && one.sequence === 1n))
  const found = await atBob.engine.installations(carol.address)
  expect(found.map(({ id }) => id)).toEqual([laptop.engine.installationId])
  expect(countOf(atBob, 'gap')).toBe(1)
  await expectHonest(stage)
})

test('section 3: keys that are swapped in place get nothing; the message waits for a device that is real', async () => {
  const stage = await aStage()
  const carol = await aThird(stage)
  const topic = `contact-${addressOf(carol.account)}`
  const impostor = await CheatingPeer.make(stage.world, carol.account, anAccount())
  stage.node.play(rewrites(onTopic(topic), (one) => ({ ...one, message: impostor.bundle })))
  const { id } = await stage.atBob.engine.conversation(carol.account.address)
  const { id: messageId } = await stage.atBob.engine.send(id, 'for a real device')
  await until(() =>
    stage.atBob.events.some(
      (event) => event.kind === 'message-state' && event.message.reason === 'no_installation',
    ),
  )
  expect(writtenTo(stage)).toEqual(new Set())
  stage.node.behave()
  const phone = await stage.world.open({ account: carol.account, database: freshDatabase() })
  await untilState(phone, 'live')
  expect((await stage.atBob.engine.whenSent(messageId, never)).state).toBe('sent')
  expect(await untilTexts(phone, id, 1)).toEqual(['for a real device'])
  expect(writtenTo(stage)).toEqual(new Set([inboxOf(phone)]))
  await expectHonest(stage)
})

for (const { name, forge } of [
  {
    name: 'section 3: a revocation that another wallet signed revokes nobody',
    forge: (stage: Stage, keys: IdentityKeys) => aRevocation(stage.alice, keys, anAccount()),
  },
  {
    name: 'section 3: a revocation of another account, served on this one’s topic, revokes nobody',
    forge: (_: Stage, keys: IdentityKeys) => {
      const other = anAccount()
      return aRevocation(other, keys, other)
    },
  },
]) {
  test(name, async () => {
    const stage = await aStage({ haveTalked: true })
    const { atAlice, atBob, id, node, topics } = stage
    const [bundle] = (
      await stage.world.network.query([{ topic: topics.alice.contact, afterSequence: 0n }])
    ).envelopes
    const keys = passed(parseContactBundle(bundle?.message ?? new Uint8Array())).keys
    const envelope = create(EnvelopeSchema, {
      topic: topics.alice.revoked,
      sequence: 1n,
      nodeNs: 1n,
      message: await forge(stage, keys),
    })
    node.say({ case: 'envelopes', value: { envelopes: [envelope] } })
    await say(atAlice, id, 'still me')
    expect(await untilTexts(atBob, id, 3)).toEqual(['one', 'two', 'still me'])
    await say(atBob, id, 'still you')
    expect(await untilTexts(atAlice, id, 4)).toEqual(['one', 'two', 'still me', 'still you'])
    expect(atBob.events.map(({ kind }) => kind)).not.toContain('installation-revoked')
    const [shown] = await atBob.engine.installations(stage.alice.address)
    expect(shown?.state).toBe('valid')
    await expectHonest(stage)
  })
}

test.each([
  { when: 'no time at all', change: () => 0n },
  { when: 'the end of time', change: () => 2n ** 64n - 1n },
])('sections 3 and 8: a revocation dated to $when revokes all the same', async ({ change }) => {
  const stage = await aStage()
  const { atAlice, atBob, id, node, topics, world } = stage
  const stolen = await CheatingPeer.register(world, stage.alice)
  await until(() => atBob.events.some(({ kind }) => kind === 'installation-added'))
  await say(atBob, id, 'to both')
  expect(writtenTo(stage)).toEqual(new Set([inboxOf(atAlice), messageTopic(stolen.id)]))
  node.play(misdates(onTopic(topics.alice.revoked), change))
  await atAlice.engine.revoke([stolen.id], never)
  await until(() => atBob.events.some(({ kind }) => kind === 'installation-revoked'))
  node.published.length = 0
  await say(atBob, id, 'to one')
  expect(writtenTo(stage)).toEqual(new Set([inboxOf(atAlice)]))
  // And nothing comes in from there: anyone may write to an inbox.
  await stolen.send(await stolen.sessionWith(stage.bob), stolen.text(stage.bob, 'not me'))
  await say(atAlice, id, 'me')
  expect(await untilTexts(atBob, id, 3)).toEqual(['to both', 'to one', 'me'])
  expect(countOf(atBob, 'sender_revoked')).toBe(1)
  await expectHonest(stage)
  expect(await shownTexts(atBob, id)).toEqual(['to both', 'to one', 'me'])
})
