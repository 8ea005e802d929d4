/**
 * A node that lies about what it has of our own prekeys (docs/protocol.md sections 6 and 10). No message
 * is lost for it.
 */

import { expect, test } from 'vitest'
import { tables } from '../../../src/store/tables.ts'
import { claimsStock } from '../../support/cheating-node/tricks.ts'
import { CheatingPeer } from '../../support/cheating-peer/cheating-peer.ts'
import { aStage, expectHonest, say } from '../../support/cheating-stage.ts'
import { countOf, type Opened, until, untilState, untilTexts } from '../../support/engine.ts'

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
