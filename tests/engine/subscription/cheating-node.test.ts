/**
 * A node that cheats with time, with who it is, and with the stream itself (docs/protocol.md sections 1, 5
 * and 10). Nothing ends before its time, nothing is taken twice, and honest people go on.
 */

import { expect, test } from 'vitest'
import { dayMs, hourMs } from '../../../src/protocol/limits.ts'
import { tables } from '../../../src/store/tables.ts'
import { aTurnedClock } from '../../support/cheating-clock.ts'
import type { Trick } from '../../support/cheating-node/cheating-node.ts'
import {
  flapsNodeId,
  greatest,
  liesAboutTime,
  neverCatchesUp,
  stutters,
  truncatesFrames,
} from '../../support/cheating-node/tricks.ts'
import { aStage, expectHonest, type Stage, say, shownTexts } from '../../support/cheating-stage.ts'
import { countOf, never, type Opened, until, untilState, untilTexts } from '../../support/engine.ts'

const yearNs = 365n * BigInt(dayMs) * 1_000_000n

const lies: readonly { readonly what: string; readonly change: () => (ns: bigint) => bigint }[] = [
  { what: 'a year ahead', change: () => (ns) => ns + yearNs },
  { what: 'a year behind', change: () => (ns) => ns - yearNs },
  { what: 'no time at all', change: () => () => 0n },
  { what: 'the end of time', change: () => () => greatest },
  {
    what: 'another time whenever it is asked',
    change: () => {
      let turn = 0
      return (ns) => (turn++ % 2 === 0 ? ns + yearNs : ns - yearNs)
    },
  },
]

const secretsOf = async ({ world, bobDatabase }: Stage, { engine }: Opened) => {
  await engine.close()
  const store = await world.openStore(bobDatabase)
  const prekeys = (await store.get(tables.prekeys, 'prekeys'))?.value
  const sealing = (await store.get(tables.sealing, 'sealing'))?.value
  const sessions = await store.all(tables.sessions)
  await store.close()
  return { prekeys, sealing, sessions }
}

test.each(lies)(
  'section 1: heartbeats from $what rotate, drop and forget nothing',
  async ({ change }) => {
    const clock = aTurnedClock()
    const stage = await aStage({ clock, haveTalked: true })
    const { atAlice, atBob, id, node, topics, world } = stage
    node.published.length = 0
    const lie = change()
    node.play(liesAboutTime(lie))
    for (let hour = 0; hour < 4; hour += 1) {
      node.say({ case: 'heartbeat', value: { nodeNs: world.node.clock() } })
      await say(atAlice, id, `hour ${hour}`)
      await untilTexts(atBob, id, 3 + hour)
      clock.turn(hourMs)
    }
    // Made by the time that it says: what the honest node behind it takes.
    const installationId = topics.bob.prekey.slice('prekey-'.length)
    node.say({
      case: 'prekeyStock',
      value: { installationId, oneTimeLeft: 10, newestCreatedNs: 0n },
    })
    await until(() => node.published.some(({ topic }) => topic === topics.bob.prekey))
    await say(atBob, id, 'talking all the while')
    expect((await untilTexts(atAlice, id, 7)).at(-1)).toBe('talking all the while')
    node.behave()
    node.hangUp()
    await expectHonest(stage)
    for (const code of ['clock_ahead', 'stale_upload', 'internal', 'malformed'] as const) {
      expect(countOf(atBob, code), code).toBe(0)
    }
    // No second sealing key, one more upload without a fallback, and every session.
    expect(node.published.filter(({ topic }) => topic === topics.bob.contact)).toEqual([])
    const { prekeys, sealing, sessions } = await secretsOf(stage, atBob)
    expect(sealing?.secrets).toHaveLength(1)
    expect(prekeys?.fallback).toHaveLength(1)
    expect(prekeys?.oneTime.length).toBeGreaterThanOrEqual(88)
    expect(sessions.length).toBeGreaterThanOrEqual(2)
  },
)

test.each(lies)(
  'section 5: a node that is asked the time and says $what is left until it is right',
  async ({ change }) => {
    const stage = await aStage({ haveTalked: true })
    const { atAlice, atBob, id, node } = stage
    node.published.length = 0
    const stop = node.play(liesAboutTime(change()))
    node.hangUp()
    // The real node refuses proofs of another time; anything else would be as good a reason to be away.
    await until(() => countOf(atBob, 'bad_proof') > 0)
    const { id: messageId } = await atBob.engine.send(id, 'later')
    expect(countOf(atBob, 'internal')).toBe(0)
    stop()
    await untilState(atBob, 'live')
    expect((await atBob.engine.whenSent(messageId, never)).state).toBe('sent')
    expect(await untilTexts(atAlice, id, 3)).toEqual(['one', 'two', 'later'])
    expect(node.published.filter(({ topic }) => topic.startsWith('contact-'))).toEqual([])
    await expectHonest(stage)
  },
)

const anId = (n: number): Uint8Array => new Uint8Array(16).fill(n)

test('section 5: a stream of another node than was asked is not read', async () => {
  const stage = await aStage({ haveTalked: true })
  const { atAlice, atBob, id, node } = stage
  const stop = node.play({
    event: (event) => {
      if (event.event.case !== 'started') return [event]
      return [
        { ...event, event: { case: 'started', value: { ...event.event.value, nodeId: anId(9) } } },
      ]
    },
  })
  node.hangUp()
  await until(() => countOf(atBob, 'unauthenticated_node') > 0)
  await say(atAlice, id, 'do you read me?')
  expect(await shownTexts(atBob, id)).toEqual(['one', 'two'])
  stop()
  expect((await untilTexts(atBob, id, 3)).at(-1)).toBe('do you read me?')
  await expectHonest(stage)
})

test('section 10: a node that has another id each time it is asked is told the keys again, and nothing comes twice', async () => {
  const stage = await aStage({ haveTalked: true })
  const { atAlice, atBob, id, node, topics } = stage
  node.published.length = 0
  let turn = 10
  const told: number[] = []
  const stop = node.play(
    flapsNodeId(() => {
      turn += 1
      told.push(turn)
      return anId(turn)
    }, false),
  )
  node.hangUp()
  await until(() => told.length >= 3)
  await say(atAlice, id, 'who are you?')
  stop()
  await untilState(atBob, 'live')
  expect((await untilTexts(atBob, id, 3)).at(-1)).toBe('who are you?')
  await say(atBob, id, 'myself')
  expect((await untilTexts(atAlice, id, 4)).at(-1)).toBe('myself')
  // One bundle, always the same, and one upload for each node that it said it was.
  const bundles = node.published.filter(({ topic }) => topic === topics.bob.contact)
  expect(bundles.length).toBeLessThanOrEqual(told.length + 1)
  expect(new Set(bundles.map(({ message }) => Buffer.from(message).toString('base64'))).size).toBe(
    1,
  )
  const uploads = node.published.filter(({ topic }) => topic === topics.bob.prekey)
  expect(uploads.length).toBeLessThanOrEqual(told.length + 1)
  await expectHonest(stage)
  expect(await shownTexts(atBob, id)).toEqual(['one', 'two', 'who are you?', 'myself'])
  const { prekeys } = await secretsOf(stage, atBob)
  expect(prekeys?.oneTime.length).toBeLessThanOrEqual(1_000)
})

const texts = Array.from({ length: 8 }, (_, at) => `text ${at}`)

const streams: readonly { readonly name: string; readonly trick: () => Trick }[] = [
  {
    name: 'section 5: frames that end in the middle are read again, whole',
    trick: () => truncatesFrames(600, 2),
  },
  {
    name: 'section 5: a frame that a stream says three times is taken once',
    trick: () => stutters(3),
  },
  {
    name: 'section 5: a stream that says that it is live before it told what there was is read on',
    trick: () => ({
      event: (event) => {
        if (event.event.case === 'caughtUp') return []
        if (event.event.case !== 'started') return [event]
        return [
          event,
          { ...event, event: { case: 'caughtUp', value: { $typeName: 'padlock.v1.CaughtUp' } } },
        ]
      },
    }),
  },
]

for (const { name, trick } of streams) {
  test(name, async () => {
    const stage = await aStage({ haveTalked: true })
    const { atAlice, atBob, id, node, openBob } = stage
    await atBob.engine.close()
    for (const text of texts.slice(0, 4)) await say(atAlice, id, text)
    node.play(trick())
    const again = await openBob()
    expect(await untilTexts(again, id, 6)).toEqual(['one', 'two', ...texts.slice(0, 4)])
    for (const text of texts.slice(4)) await say(atAlice, id, text)
    expect(await untilTexts(again, id, 10)).toEqual(['one', 'two', ...texts])
    await untilState(again, 'live')
    await say(again, id, 'all of it')
    expect((await untilTexts(atAlice, id, 11)).at(-1)).toBe('all of it')
    node.behave()
    await expectHonest({ ...stage, atBob: again })
    expect(await shownTexts(again, id)).toEqual(['one', 'two', ...texts, 'all of it'])
  })
}

test('section 8: while a stream never ends telling what there was, what it tells is read and nothing is sent', async () => {
  const stage = await aStage({ haveTalked: true })
  const { atAlice, atBob, id, node, world } = stage
  node.published.length = 0
  const stop = node.play(neverCatchesUp())
  node.hangUp()
  await untilState(atBob, 'catching-up')
  const { id: messageId } = await atBob.engine.send(id, 'when I know what happened')
  for (const text of texts) {
    await say(atAlice, id, text)
    node.say({ case: 'heartbeat', value: { nodeNs: world.node.clock() } })
  }
  await until(async () => (await shownTexts(atBob, id)).length === 11)
  expect(atBob.engine.status.state).toBe('catching-up')
  expect(node.published).toEqual([])
  stop()
  node.hangUp()
  expect((await atBob.engine.whenSent(messageId, never)).state).toBe('sent')
  expect((await untilTexts(atAlice, id, 11)).at(-1)).toBe('when I know what happened')
  await expectHonest(stage)
})
