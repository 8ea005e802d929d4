/**
 * A peer whose keys are no keys (docs/protocol.md section 1): of small order, so that anybody could compute
 * what is agreed with them. Signed by their owner, so only their use can tell.
 */

import { create } from '@bufbuild/protobuf'
import { expect, test } from 'vitest'
import { SignedPrekeySchema } from '../../../src/gen/padlock/v1/contact_pb.ts'
import { hourMs, minuteMs } from '../../../src/protocol/limits.ts'
import { messageTopic } from '../../../src/protocol/topics.ts'
import { aTurnedClock } from '../../support/cheating-clock.ts'
import { swapsPrekeys } from '../../support/cheating-node/tricks.ts'
import { CheatingPeer } from '../../support/cheating-peer/cheating-peer.ts'
import { aStage, expectHonest, type Stage } from '../../support/cheating-stage.ts'
import { never, until } from '../../support/engine.ts'

/** u-coordinates of order 1, 2, 4 and 8 (RFC 7748 section 6.1). */
const smallOrder: readonly (readonly [string, Uint8Array])[] = [
  ['zero', new Uint8Array(32)],
  ['one', Uint8Array.of(1, ...new Uint8Array(31))],
  [
    'a point of order eight',
    Uint8Array.from(
      Buffer.from('e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800', 'hex'),
    ),
  ],
]

const untilWaiting = async ({ atBob }: Stage): Promise<void> =>
  until(() =>
    atBob.events.some(
      (event) => event.kind === 'message-state' && event.message.reason === 'no_prekeys',
    ),
  )

test.each(smallOrder)(
  'section 1: a sealing key that is %s gets nothing until there is a better one',
  async (_, key) => {
    const clock = aTurnedClock()
    const stage = await aStage({ clock })
    const { atBob, node, world } = stage
    const mallory = await CheatingPeer.register(world)
    clock.turn(minuteMs)
    await mallory.rotateSealingKey(key)
    const { id } = await atBob.engine.conversation(mallory.account.address)
    const { id: messageId } = await atBob.engine.send(id, 'to a key')
    await untilWaiting(stage)
    const written = () => node.published.filter(({ topic }) => topic === messageTopic(mallory.id))
    expect(written()).toEqual([])
    await expectHonest(stage)
    clock.turn(minuteMs)
    await mallory.rotateSealingKey()
    clock.turn(hourMs + minuteMs)
    node.hangUp()
    expect((await atBob.engine.whenSent(messageId, never)).state).toBe('sent')
    expect(await mallory.inbox()).toHaveLength(1)
  },
)

test.each(smallOrder)(
  'section 1: a prekey that is %s makes no session until there is a better one',
  async (_, key) => {
    const clock = aTurnedClock()
    const stage = await aStage({ clock })
    const { atBob, node, world } = stage
    const mallory = await CheatingPeer.register(world)
    const { createdNs, signature } = mallory.signPrekey(key)
    const stop = node.play(
      swapsPrekeys(() =>
        create(SignedPrekeySchema, {
          kind: 1,
          curve25519: new Uint8Array(key),
          createdNs,
          signature: { signature: new Uint8Array(signature) },
        }),
      ),
    )
    const { id } = await atBob.engine.conversation(mallory.account.address)
    const { id: messageId } = await atBob.engine.send(id, 'to a key')
    await untilWaiting(stage)
    expect(node.published.filter(({ topic }) => topic === messageTopic(mallory.id))).toEqual([])
    stop()
    await expectHonest(stage)
    clock.turn(hourMs + minuteMs)
    node.hangUp()
    expect((await atBob.engine.whenSent(messageId, never)).state).toBe('sent')
    expect(await mallory.inbox()).toHaveLength(1)
  },
)
