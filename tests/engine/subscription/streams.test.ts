/** Adding topics to the subscription: docs/protocol.md section 5, Query and Subscribe. */

import { expect, onTestFinished, test } from 'vitest'
import { PadlockError } from '../../../src/errors.ts'
import type { Network, NodeFrame } from '../../../src/network/network.ts'
import { contactTopic } from '../../../src/protocol/topics.ts'
import { addressOf } from '../../support/checked.ts'
import {
  anAccount,
  anEngineWorld,
  freshDatabase,
  until,
  untilState,
  untilTexts,
} from '../../support/engine.ts'

interface Opened {
  readonly topics: ReadonlySet<string>
  readonly atMs: number
  isOpen: boolean
}

/** A line on which every stream is counted, and one of them can be broken or held up. */
const aLine = () => {
  const streams: Opened[] = []
  const clock = { aheadMs: 0 }
  const control: { change: (frame: NodeFrame, stream: number) => Promise<NodeFrame | undefined> } =
    {
      change: async (frame) => frame,
    }
  let queries = 0
  const waits = new Set<() => void>()
  const network = (real: Network): Network => ({
    ...real,
    query: (topics, signal) => {
      queries += 1
      return real.query(topics, signal)
    },
    async *subscribe(topics, proof, signal) {
      const nth = streams.length
      const one = {
        topics: new Set(topics.map(({ topic }) => topic)),
        atMs: clock.aheadMs,
        isOpen: true,
      }
      streams.push(one)
      try {
        for await (const frame of real.subscribe(topics, proof, signal)) {
          const changed = await control.change(frame, nth)
          if (changed) yield changed
        }
      } finally {
        one.isOpen = false
      }
    },
  })
  const platform = {
    monotonicMs: () => 1_000 + clock.aheadMs,
    // Waits of seconds end when the test turns the clock; shorter ones by themselves.
    wait: (ms: number, signal?: AbortSignal) =>
      new Promise<void>((resolve) => {
        if (signal?.aborted) return resolve()
        const dueMs = clock.aheadMs + ms
        const timer = ms < 2_000 ? setTimeout(resolve, ms) : undefined
        onTestFinished(() => clearTimeout(timer))
        const look = () => {
          if (clock.aheadMs < dueMs && !signal?.aborted) return
          waits.delete(look)
          resolve()
        }
        waits.add(look)
        signal?.addEventListener('abort', look, { once: true })
      }),
  }
  const turn = (ms: number) => {
    clock.aheadMs += ms
    for (const look of [...waits]) look()
  }
  return { streams, control, network, platform, turn, queries: () => queries }
}

const aWorldWithALine = async () => {
  const world = await anEngineWorld()
  const line = aLine()
  const [alice, bob, carol] = [anAccount(), anAccount(), anAccount()]
  const { network, platform } = line
  const atAlice = await world.open({ account: alice, database: freshDatabase(), network, platform })
  const atBob = await world.open({ account: bob, database: freshDatabase() })
  for (const each of [atAlice, atBob]) await untilState(each, 'live')
  return { world, line, alice, bob, carol, atAlice, atBob }
}

test('section 5: a new peer is carried by a new stream, which takes the place of the old one at its caught_up', async () => {
  const { line, bob, atAlice, atBob } = await aWorldWithALine()
  const release = Promise.withResolvers<void>()
  line.control.change = async (frame, stream) => {
    if (stream === 1 && frame.kind === 'caught_up') await release.promise
    return frame
  }
  const seen = atAlice.events.length
  const { id } = await atAlice.engine.conversation(bob.address)
  await until(() => line.streams.length === 2)
  // Both are open, and what comes now comes once.
  await atBob.engine.send(id, 'meanwhile')
  expect(await untilTexts(atAlice, id, 1)).toEqual(['meanwhile'])
  expect(line.streams.map(({ isOpen }) => isOpen)).toEqual([true, true])
  release.resolve()
  await until(() => line.streams[0]?.isOpen === false)
  expect(line.streams[1]?.topics).toContain(contactTopic(addressOf(bob)))
  expect(line.streams[0]?.topics).not.toContain(contactTopic(addressOf(bob)))
  await atBob.engine.send(id, 'after')
  expect(await untilTexts(atAlice, id, 2)).toEqual(['meanwhile', 'after'])
  // It was live all the time, and nothing came twice.
  const since = atAlice.events.slice(seen)
  expect(since.filter(({ kind }) => kind === 'status')).toEqual([])
  expect(atAlice.engine.status.warnings).toEqual([])
  // Covered: no more queries.
  const before = line.queries()
  await atAlice.engine.send(id, 'covered')
  expect(await untilTexts(atBob, id, 3)).toContain('covered')
  expect(line.queries()).toBe(before)
})

test('section 5: streams are replaced at most every five seconds, for all that came meanwhile', async () => {
  const { line, bob, carol, atAlice } = await aWorldWithALine()
  const [dave, erin] = [anAccount(), anAccount()]
  await atAlice.engine.conversation(bob.address)
  await until(() => line.streams[0]?.isOpen === false)
  for (const one of [carol, dave]) await atAlice.engine.conversation(one.address)
  // What is left is still for the test to end.
  line.turn(3_000)
  await atAlice.engine.conversation(erin.address)
  expect(line.streams).toHaveLength(2)
  line.turn(2_000)
  await until(() => line.streams[1]?.isOpen === false)
  expect(line.streams).toHaveLength(3)
  for (const one of [bob, carol, dave, erin]) {
    expect(line.streams[2]?.topics).toContain(contactTopic(addressOf(one)))
  }
})

test('section 5: when the old stream breaks before the new one is there, both end and the client begins anew', async () => {
  const { line, bob, atAlice, atBob } = await aWorldWithALine()
  let isBroken = false
  line.control.change = async (frame, stream) => {
    if (stream === 1 && frame.kind === 'caught_up') return undefined
    if (stream === 0 && isBroken) throw new PadlockError('network_unavailable')
    return frame
  }
  const { id } = await atAlice.engine.conversation(bob.address)
  await until(() => line.streams.length === 2)
  isBroken = true
  await atBob.engine.send(id, 'on a third one')
  await until(() => line.streams.length === 3)
  expect(await untilTexts(atAlice, id, 1)).toEqual(['on a third one'])
  await untilState(atAlice, 'live')
  expect(line.streams.map(({ isOpen }) => isOpen).at(-1)).toBe(true)
})

test('section 5: a new stream that breaks leaves the old one as it is, and is tried again', async () => {
  const { line, bob, atAlice, atBob } = await aWorldWithALine()
  line.control.change = async (frame, stream) => {
    if (stream === 1) throw new PadlockError('network_unavailable')
    return frame
  }
  const { id } = await atAlice.engine.conversation(bob.address)
  await until(() => line.streams[1]?.isOpen === false)
  expect(line.streams[0]?.isOpen).toBe(true)
  expect(atAlice.engine.status.state).toBe('live')
  await atBob.engine.send(id, 'still here')
  expect(await untilTexts(atAlice, id, 1)).toEqual(['still here'])
  line.turn(5_000)
  await until(() => line.streams[0]?.isOpen === false)
  expect(line.streams[2]?.isOpen).toBe(true)
  expect(line.streams[2]?.topics).toContain(contactTopic(addressOf(bob)))
})
