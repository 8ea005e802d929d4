/**
 * A node that cheats with the prekeys of others (docs/protocol.md sections 5, 6 and 10): bad, foreign,
 * missing and used ones. No message is lost for it.
 */

import { create } from '@bufbuild/protobuf'
import { expect, test } from 'vitest'
import { SignedPrekeySchema } from '../../../src/gen/padlock/v1/contact_pb.ts'
import { type ClaimedPrekey, ClaimedPrekeySchema } from '../../../src/gen/padlock/v1/node_pb.ts'
import { minuteMs } from '../../../src/protocol/limits.ts'
import { parsePrekeyUpload } from '../../../src/protocol/prekey.ts'
import { aTurnedClock } from '../../support/cheating-clock.ts'
import type { Trick } from '../../support/cheating-node/cheating-node.ts'
import {
  answersClaims,
  bendsPrekeys,
  servesStalePrekeys,
  swapsPrekeys,
} from '../../support/cheating-node/tricks.ts'
import { CheatingPeer } from '../../support/cheating-peer/cheating-peer.ts'
import { aStage, aThird, expectHonest, say, shownTexts } from '../../support/cheating-stage.ts'
import { passed } from '../../support/checked.ts'
import {
  anAccount,
  countOf,
  freshDatabase,
  never,
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
    name: 'section 6: a prekey with another key than was signed is not used, and reported once',
    trick: bendsPrekeys,
    reported: 1,
  },
  {
    name: 'section 6: a prekey that another installation signed is not used, and reported once',
    trick: (foreign) => swapsPrekeys(() => foreign),
    reported: 1,
  },
  {
    name: 'section 6: a one-time prekey that is served as a fallback is not used, and reported once',
    trick: () =>
      swapsPrekeys(({ prekey }) => prekey && create(SignedPrekeySchema, { ...prekey, kind: 2 })),
    reported: 1,
  },
  {
    name: 'section 6: a prekey under another time is not used, and reported once',
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
    const [foreign] = passed(parsePrekeyUpload(peer.upload)).oneTime
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
        (event) => event.kind === 'message-state' && event.message.reason === 'no_prekeys',
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
  await carol.engine.setConsent(dave.engine.address, 'allowed')
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
