/**
 * A node that cheats with the logs of devices (docs/protocol.md section 8, Heads, and section 5): it
 * withholds, shows people different logs, never stops promising more, or does not answer at all.
 */

import { create } from '@bufbuild/protobuf'
import { Code } from '@connectrpc/connect'
import { expect, test } from 'vitest'
import { EnvelopeSchema } from '../../../src/gen/padlock/v1/node_pb.ts'
import { contactTopic } from '../../../src/protocol/topics.ts'
import { tables } from '../../../src/store/tables.ts'
import type { Trick } from '../../support/cheating-node/cheating-node.ts'
import {
  aRefusal,
  failsQueries,
  greatest,
  neverEnds,
  onTopic,
  promisesMore,
  renumbers,
  repeats,
  withholds,
} from '../../support/cheating-node/tricks.ts'
import { CheatingPeer } from '../../support/cheating-peer/cheating-peer.ts'
import {
  accusations,
  aStage,
  aThird,
  expectHonest,
  type Stage,
  say,
  shownTexts,
} from '../../support/cheating-stage.ts'
import { addressOf } from '../../support/checked.ts'
import {
  countOf,
  freshDatabase,
  never,
  type Opened,
  until,
  untilState,
  untilTexts,
} from '../../support/engine.ts'

interface LogTrick {
  readonly name: string
  /** What is done to the log of Alice's devices, or of those that she revoked, while one is added and one goes. */
  readonly trick: (topics: Stage['topics']['alice']) => Trick
  readonly code: 'node_withholding' | 'node_equivocating'
  /** Whether the victim hears of the new device. */
  readonly hears: boolean
}

const tricks: readonly LogTrick[] = [
  {
    name: 'section 8: a device that is served under another number is noticed',
    trick: ({ contact }) => renumbers(onTopic(contact), (sequence) => sequence + 1n),
    code: 'node_withholding',
    hears: true,
  },
  {
    name: 'section 8: a device at the end of all numbers is noticed',
    trick: ({ contact }) => renumbers(onTopic(contact), () => greatest),
    code: 'node_withholding',
    hears: true,
  },
]

for (const { name, trick, code, hears } of tricks) {
  test(name, async () => {
    const stage = await aStage({ haveTalked: true })
    const { world, alice, atAlice, atBob, id, node, topics } = stage
    node.play(trick(topics.alice))
    const second = await world.open({ account: alice, database: freshDatabase() })
    await untilState(second, 'live')
    await until(() => atAlice.events.some(({ kind }) => kind === 'installation-added'))
    await say(atAlice, id, 'I have another device')
    await untilTexts(atBob, id, 3)
    await until(() => accusations(atBob).length > 0)
    expect(accusations(atBob)).toEqual([
      {
        kind: 'node-accused',
        code,
        account: alice.address,
        claimant: expect.objectContaining({ id: atAlice.engine.installationId }),
      },
    ])
    expect(countOf(atBob, code)).toBe(1)
    expect(atBob.events.some(({ kind }) => kind === 'installation-added')).toBe(hears)
    // Shown, and nothing else: they go on talking, and so does everybody else.
    await say(atBob, id, 'do you')
    await untilTexts(atAlice, id, 4)
    node.behave()
    await expectHonest(stage)
  })
}

test('section 8: a revocation that is withheld is noticed by the head of whoever knows it', async () => {
  const stage = await aStage({ haveTalked: true })
  const { world, alice, atAlice, atBob, id, node, topics } = stage
  const stolen = await CheatingPeer.register(world, alice)
  await until(() => atBob.events.some(({ kind }) => kind === 'installation-added'))
  const stop = node.play(withholds(onTopic(topics.alice.revoked)))
  await atAlice.engine.revoke([stolen.id], never)
  await say(atAlice, id, 'I lost a device')
  await untilTexts(atBob, id, 3)
  await until(() => accusations(atBob).length > 0)
  expect(accusations(atBob)).toMatchObject([
    {
      code: 'node_withholding',
      account: alice.address,
      claimant: { id: atAlice.engine.installationId },
    },
  ])
  stop()
  node.hangUp()
  await until(() => atBob.events.some(({ kind }) => kind === 'installation-revoked'))
  await expectHonest(stage)
})

test('section 8: a log that is repeated, page by page and frame by frame, is read once', async () => {
  const stage = await aStage({ haveTalked: true })
  const { world, alice, atAlice, atBob, id, node, topics } = stage
  node.play(repeats(onTopic(topics.alice.contact), 5))
  const second = await world.open({ account: alice, database: freshDatabase() })
  await untilState(second, 'live')
  await until(() => atAlice.events.some(({ kind }) => kind === 'installation-added'))
  await say(atAlice, id, 'I have another device')
  await untilTexts(atBob, id, 3)
  await say(atBob, id, 'so I see')
  expect(await untilTexts(second, id, 2)).toEqual(['I have another device', 'so I see'])
  expect(atBob.events.filter(({ kind }) => kind === 'installation-added')).toHaveLength(1)
  expect(accusations(atBob)).toEqual([])
  await expectHonest(stage)
})

test('section 5: nothing is learned of accounts that nobody asked for, in streams and in pages', async () => {
  const stage = await aStage()
  const { world, atBob, node, bobDatabase } = stage
  const strangers = await Promise.all(Array.from({ length: 3 }, () => CheatingPeer.make(world)))
  const envelopes = strangers.map(({ address, bundle }) =>
    create(EnvelopeSchema, {
      topic: contactTopic(address),
      sequence: 1n,
      nodeNs: 1n,
      message: bundle,
    }),
  )
  const stop = node.play({
    query: async (request, real) => {
      const page = await real(request)
      return { ...page, envelopes: [...envelopes, ...page.envelopes] }
    },
  })
  node.say({ case: 'envelopes', value: { envelopes } })
  const carol = await aThird(stage)
  expect(await atBob.engine.canMessage(carol.account.address)).toBe(true)
  stop()
  await expectHonest(stage)
  await atBob.engine.close()
  const store = await world.openStore(bobDatabase)
  const known = (await store.all(tables.installations)).map(({ value }) => value.address)
  for (const { address } of strangers) expect(known).not.toContain(address)
  expect(known).toContain(addressOf(carol.account))
})

test('section 5: a node that promises more and has nothing new is not asked forever', async () => {
  const stage = await aStage()
  const carol = await aThird(stage)
  stage.node.play(promisesMore())
  const { id } = await stage.atBob.engine.conversation(carol.account.address)
  const before = stage.node.calls.query
  await say(stage.atBob, id, 'hello')
  expect(await untilTexts(carol, id, 1)).toEqual(['hello'])
  expect(stage.node.calls.query - before).toBeLessThanOrEqual(4)
  await expectHonest(stage)
})

test('section 5: a node that always has one page more is left after a hundred, and nothing stands still', async () => {
  const stage = await aStage({ haveTalked: true })
  const { atAlice, atBob, id, node } = stage
  const carol = await aThird(stage)
  const stop = node.play(neverEnds())
  await expect(atBob.engine.installations(carol.account.address)).rejects.toMatchObject({
    code: 'bad_response',
  })
  expect(node.calls.query).toBeLessThanOrEqual(110)
  // What needs no look-up comes and goes.
  await say(atAlice, id, 'meanwhile')
  expect(await untilTexts(atBob, id, 3)).toEqual(['one', 'two', 'meanwhile'])
  await say(atBob, id, 'indeed')
  expect(await untilTexts(atAlice, id, 4)).toEqual(['one', 'two', 'meanwhile', 'indeed'])
  stop()
  await expectHonest(stage)
})

test('section 8: a sender who cannot be looked up now is parked, and their messages come in order later', async () => {
  const stage = await aStage({ haveTalked: true })
  const { atAlice, atBob, bob, id, node } = stage
  const carol = await aThird(stage)
  const stop = node.play(failsQueries(() => aRefusal(Code.Unavailable, 'unavailable')))
  const { id: withCarol } = await carol.engine.conversation(bob.address)
  for (const text of ['one', 'two', 'three']) await say(carol, withCarol, text)
  await say(atAlice, id, 'from someone known')
  expect(await untilTexts(atBob, id, 3)).toEqual(['one', 'two', 'from someone known'])
  expect(await shownTexts(atBob, withCarol)).toEqual([])
  stop()
  // A heartbeat works off what is parked.
  const { nodeNs } = await stage.world.network.getInfo()
  node.say({ case: 'heartbeat', value: { nodeNs } })
  expect(await untilTexts(atBob, withCarol, 3)).toEqual(['one', 'two', 'three'])
  await expectHonest(stage)
  expect(await shownTexts(atBob, withCarol)).toEqual(['one', 'two', 'three'])
})

test('section 8: an installation that nobody granted is an unknown sender, after one look-up', async () => {
  const stage = await aStage()
  const { atBob, bob, node, world, alice, id } = stage
  // Granted by somebody else's wallet, and published nowhere: the node is not asked to lie.
  const impostor = await CheatingPeer.make(world, alice)
  await impostor.send(
    await impostor.sessionWith(bob),
    impostor.text(bob, 'I am Alice'),
    impostor.text(bob, 'believe me'),
  )
  await until(() => {
    node.say({ case: 'heartbeat', value: { nodeNs: world.node.clock() } })
    return countOf(atBob, 'unknown_sender') === 2
  })
  await expectHonest(stage)
  expect(await shownTexts(atBob, id)).toEqual([])
  await expectNothingParked(stage, atBob)
})

const expectNothingParked = async ({ world, bobDatabase }: Stage, { engine }: Opened) => {
  await engine.close()
  const store = await world.openStore(bobDatabase)
  expect(await store.all(tables.parked)).toEqual([])
}
