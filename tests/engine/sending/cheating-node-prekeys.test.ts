/**
 * A node that cheats with prekeys (docs/protocol.md sections 5, 6 and 10): bad, foreign, missing and used
 * ones, and lies about what it has of one's own. No message is lost for it.
 */

import { create } from '@bufbuild/protobuf'
import { expect, test } from 'vitest'
import { SignedPrekeySchema } from '../../../src/gen/padlock/v1/contact_pb.ts'
import { type ClaimedPrekey, ClaimedPrekeySchema } from '../../../src/gen/padlock/v1/node_pb.ts'
import { parsePrekeyUpload } from '../../../src/protocol/prekey.ts'
import { tables } from '../../../src/store/tables.ts'
import { aTurnedClock } from '../../support/cheating-clock.ts'
import type { Trick } from '../../support/cheating-node/cheating-node.ts'
import {
  answersClaims,
  bendsPrekeys,
  claimsStock,
  greatest,
  saysStored,
  servesStalePrekeys,
  swapsPrekeys,
} from '../../support/cheating-node/tricks.ts'
import { CheatingPeer } from '../../support/cheating-peer/cheating-peer.ts'
import {
  aStage,
  aThird,
  countOf,
  expectHonest,
  minuteMs,
  must,
  never,
  say,
  shownTexts,
} from '../../support/cheating-stage.ts'
import {
  anAccount,
  freshDatabase,
  type Opened,
  until,
  untilState,
  untilTexts,
} from '../../support/engine.ts'

interface ClaimTrick {
  readonly name: string
  /** @param foreign a prekey that another installation signed. */
  readonly trick: (foreign: NonNullable<ClaimedPrekey['prekey']>) => Trick
  /** How often a bad signature is told of. */
  readonly reported: number
}

const claimTricks: readonly ClaimTrick[] = [
  {
    name: 'section 6: a prekey with another key than was signed is not used, and told of once',
    trick: bendsPrekeys,
    reported: 1,
  },
  {
    name: 'section 6: a prekey that another installation signed is not used, and told of once',
    trick: (foreign) => swapsPrekeys(() => foreign),
    reported: 1,
  },
  {
    name: 'section 6: a one-time prekey that is served as a fallback is not used, and told of once',
    trick: () =>
      swapsPrekeys(({ prekey }) => prekey && create(SignedPrekeySchema, { ...prekey, kind: 2 })),
    reported: 1,
  },
  {
    name: 'section 6: a prekey under another time is not used, and told of once',
    trick: () =>
      swapsPrekeys(
        ({ prekey }) =>
          prekey && create(SignedPrekeySchema, { ...prekey, createdNs: prekey.createdNs + 1n }),
      ),
    reported: 1,
  },
  {
    name: 'section 5: a prekey that is said not to be there leaves the message waiting',
    trick: () => swapsPrekeys(() => undefined),
    reported: 0,
  },
  {
    name: 'section 5: a prekey of half its length leaves the message waiting',
    trick: () =>
      swapsPrekeys(
        ({ prekey }) =>
          prekey &&
          create(SignedPrekeySchema, { ...prekey, curve25519: prekey.curve25519.slice(16) }),
      ),
    reported: 0,
  },
  {
    name: 'section 5: an answer without what was claimed leaves the message waiting',
    trick: () => answersClaims(() => []),
    reported: 0,
  },
  {
    name: 'section 5: an answer for others than were claimed leaves the message waiting',
    trick: () =>
      answersClaims((claimed) =>
        claimed.map((one) =>
          create(ClaimedPrekeySchema, { ...one, installationId: 'B'.repeat(43) }),
        ),
      ),
    reported: 0,
  },
]

for (const { name, trick, reported } of claimTricks) {
  test(name, async () => {
    const stage = await aStage()
    const { atBob, node, world } = stage
    const peer = await CheatingPeer.register(world)
    const [foreign] = must(parsePrekeyUpload(peer.upload)).oneTime
    if (!foreign) throw new Error('no prekey')
    const carol = await aThird(stage)
    const stop = node.play(
      trick(
        create(SignedPrekeySchema, {
          kind: 1,
          curve25519: foreign.key,
          createdNs: foreign.createdNs,
          signature: { signature: foreign.signature },
        }),
      ),
    )
    const { id } = await atBob.engine.conversation(carol.account.address)
    const { id: messageId } = await atBob.engine.send(id, 'with a good key only')
    const isWaiting = () =>
      atBob.events.some(
        (event) => event.kind === 'message-state' && event.message.reason === 'no_installation',
      )
    await until(isWaiting)
    await atBob.engine.send(id, 'nor this one')
    const claims = node.calls.claim
    expect(node.published.filter(({ topic }) => topic.startsWith('message-'))).toEqual([])
    expect(countOf(atBob, 'bad_signature')).toBe(reported)
    stop()
    await say(carol, id, 'are you there?')
    expect((await atBob.engine.whenSent(messageId, never)).state).toBe('sent')
    expect(await untilTexts(carol, id, 3)).toEqual([
      'are you there?',
      'with a good key only',
      'nor this one',
    ])
    // Carol had begun a session by then: nothing was claimed there again.
    expect(node.calls.claim).toBe(claims)
    await expectHonest(stage)
  })
}

test('section 5: more prekeys than were claimed do no harm', async () => {
  const stage = await aStage()
  const carol = await aThird(stage)
  stage.node.play(
    answersClaims((claimed) => [
      ...claimed,
      ...claimed.map((one) =>
        create(ClaimedPrekeySchema, { ...one, installationId: 'B'.repeat(43) }),
      ),
    ]),
  )
  const { id } = await stage.atBob.engine.conversation(carol.account.address)
  await say(stage.atBob, id, 'hello')
  expect(await untilTexts(carol, id, 1)).toEqual(['hello'])
  await expectHonest(stage)
})

test('sections 6 and 10: a prekey that was used before costs a minute, not a message', async () => {
  const clock = aTurnedClock()
  const stage = await aStage({ clock })
  const { atBob, node, world, network } = stage
  const carol = await aThird(stage, clock.platform)
  node.play(servesStalePrekeys(new Map()))
  const dave = await world.open({
    account: anAccount(),
    database: freshDatabase(),
    network: () => network,
    platform: clock.platform,
  })
  await untilState(dave, 'live')
  const withBob = await atBob.engine.conversation(carol.account.address)
  await say(atBob, withBob.id, 'the key is new')
  await untilTexts(carol, withBob.id, 1)
  const withDave = await dave.engine.conversation(carol.account.address)
  await say(dave, withDave.id, 'the key is used up')
  await until(() => countOf(carol, 'prekey_gone') === 1)
  expect(await shownTexts(carol, withDave.id)).toEqual([])
  node.behave()
  clock.turn(2 * minuteMs)
  expect(await untilTexts(carol, withDave.id, 1)).toEqual(['the key is used up'])
  await until(() => dave.events.some(({ kind }) => kind === 'retransmitted'))
  await say(dave, withDave.id, 'and on')
  await untilTexts(carol, withDave.id, 2)
  expect(await shownTexts(carol, withDave.id)).toEqual(['the key is used up', 'and on'])
  await say(atBob, withBob.id, 'nobody else noticed')
  expect(await untilTexts(carol, withBob.id, 2)).toEqual(['the key is new', 'nobody else noticed'])
})

/** Tells the victim so much of its stock, and waits until that was heard. */
const tellStock = async (
  { node, topics }: Awaited<ReturnType<typeof aStage>>,
  oneTimeLeft: number,
  newestCreatedNs: bigint,
) => {
  const installationId = topics.bob.prekey.slice('prekey-'.length)
  const uploads = () => node.published.filter(({ topic }) => topic === topics.bob.prekey).length
  const before = uploads()
  // One that comes while an upload is under way asks for nothing more.
  await until(() => {
    node.say({ case: 'prekeyStock', value: { installationId, oneTimeLeft, newestCreatedNs } })
    return uploads() > before
  })
}

const secretsOf = async (
  { world, bobDatabase }: Awaited<ReturnType<typeof aStage>>,
  { engine }: Opened,
) => {
  await engine.close()
  const store = await world.openStore(bobDatabase)
  const prekeys = (await store.get(tables.prekeys, 'prekeys'))?.value
  store.close()
  if (!prekeys) throw new Error('no prekeys')
  return prekeys
}

test('section 6: a node that is always out of prekeys, and drops what it gets, is given no room for more', async () => {
  const stage = await aStage({ haveTalked: true })
  const { node, topics, atBob, atAlice, id } = stage
  const stop = node.play(
    saysStored((topic) => topic === topics.bob.prekey, { sequence: 1n, nodeNs: 1n }),
  )
  for (let n = 0; n < 18; n += 1) await tellStock(stage, 0, 0n)
  // From here on there is no room for fifty more.
  const uploads = () => node.published.filter(({ topic }) => topic === topics.bob.prekey)
  for (let n = 0; n < 3; n += 1) {
    for (let at = 0; at < 10; at += 1) {
      const installationId = topics.bob.prekey.slice('prekey-'.length)
      const value = { installationId, oneTimeLeft: 0, newestCreatedNs: 0n }
      node.say({ case: 'prekeyStock', value })
    }
    await say(atAlice, id, `after that: ${n}`)
    await untilTexts(atBob, id, 3 + n)
  }
  expect(uploads().length).toBeLessThanOrEqual(22)
  stop()
  await expectHonest(stage)
  const { oneTime } = await secretsOf(stage, atBob)
  expect(oneTime.length).toBeGreaterThan(500)
  expect(oneTime.length).toBeLessThanOrEqual(1_000)
})

test('section 6: a node that is always out of prekeys is sent no more than it takes', async () => {
  const stage = await aStage({ haveTalked: true })
  const { atBob } = stage
  // The real node has fifty, takes fifty more, and then says stock_full.
  for (let n = 0; n < 4; n += 1) await tellStock(stage, 0, 0n)
  await until(() => countOf(atBob, 'stock_full') > 0)
  await expectHonest(stage)
  const { oneTime } = await secretsOf(stage, atBob)
  expect(oneTime.length).toBeLessThanOrEqual(200)
})

test('section 6: a node that says it has more prekeys than it may leaves one with the fallback, which works', async () => {
  const stage = await aStage()
  const { node, world, atBob } = stage
  node.play(claimsStock(2 ** 32 - 1, (createdNs) => createdNs))
  node.hangUp()
  await until(() => node.calls.subscribe > 1)
  node.published.length = 0
  const claimer = await CheatingPeer.register(world)
  const to = await claimer.find(stage.bob)
  for (let n = 0; n < 60; n += 1) await claimer.claim(to).catch(() => undefined)
  await expectHonest(stage)
  expect(node.published.filter(({ topic }) => topic.startsWith('prekey-'))).toHaveLength(0)
  expect(countOf(atBob, 'prekey_gone')).toBe(0)
})

test.each([
  { what: 'a year ahead', newest: (nowNs: bigint) => nowNs + 365n * 86_400_000_000_000n },
  { what: 'at the end of time', newest: () => greatest },
])(
  'section 6: an upload that the node reports from $what does not keep later ones from being taken',
  async ({ newest }) => {
    const stage = await aStage({ haveTalked: true })
    const { node, topics, atBob, world } = stage
    await tellStock(stage, 10, newest(world.node.clock()))
    // The honest node takes what was made meanwhile, and says so.
    await until(() => countOf(atBob, 'clock_ahead') === 0 && countOf(atBob, 'internal') === 0)
    const newestNs = () => {
      const uploads = node.published.filter(({ topic }) => topic === topics.bob.prekey)
      const upload = must(parsePrekeyUpload(uploads.at(-1)?.message ?? new Uint8Array()))
      return upload.oneTime[0]?.createdNs ?? 0n
    }
    expect(newestNs()).toBeLessThan(world.node.clock() + 60_000_000_000n)
    await expectHonest(stage)
    // Also what was made after that.
    const { installationId } = atBob.engine
    await until(
      async () => (await world.node.store.stock(installationId)).newestCreatedNs === newestNs(),
    )
  },
)

test('section 10: an upload that never was makes one repair itself once, and talk on', async () => {
  const stage = await aStage({ haveTalked: true })
  const { node, atBob, atAlice, id } = stage
  const stop = node.play({
    event: (event) => {
      if (event.event.case !== 'prekeyStock') return [event]
      const { value } = event.event
      const newestCreatedNs = value.newestCreatedNs + 1_000_000_000n
      return [{ ...event, event: { case: 'prekeyStock', value: { ...value, newestCreatedNs } } }]
    },
  })
  node.hangUp()
  await until(() => atBob.events.some(({ kind }) => kind === 'restored'))
  stop()
  await untilState(atBob, 'live')
  await say(atBob, id, 'as good as new')
  expect(await untilTexts(atAlice, id, 3)).toEqual(['one', 'two', 'as good as new'])
  await say(atAlice, id, 'glad to hear')
  await untilTexts(atBob, id, 4)
  expect(atBob.events.filter(({ kind }) => kind === 'restored')).toEqual([
    { kind: 'restored', unopened: 0 },
  ])
  await expectHonest(stage)
})

test('section 10: a node that tells of an upload that never was at each connect costs no mail', async () => {
  const stage = await aStage({ haveTalked: true })
  const { node, atBob, atAlice, id } = stage
  const restored = () => atBob.events.filter(({ kind }) => kind === 'restored').length
  const stop = node.play({
    event: (event) => {
      if (event.event.case !== 'prekeyStock') return [event]
      const { value } = event.event
      const newestCreatedNs = value.newestCreatedNs + 1_000_000_000n
      return [{ ...event, event: { case: 'prekeyStock', value: { ...value, newestCreatedNs } } }]
    },
  })
  for (let n = 0; n < 14; n += 1) {
    const subscriptions = node.calls.subscribe
    node.hangUp()
    await until(() => node.calls.subscribe > subscriptions)
    await untilState(atBob, 'live', 'offline')
  }
  // More often than a node takes sealing keys in a day.
  expect(restored()).toBeGreaterThan(5)
  stop()
  node.hangUp()
  await untilState(atBob, 'live')
  await say(atAlice, id, 'still there?')
  expect((await untilTexts(atBob, id, 3)).at(-1)).toBe('still there?')
  await say(atBob, id, 'of course')
  expect((await untilTexts(atAlice, id, 4)).at(-1)).toBe('of course')
  await expectHonest(stage)
})
