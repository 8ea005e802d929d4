/** The order of a conversation: docs/protocol.md section 8. */

import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Engine } from '../../../src/engine/engine.ts'
import { messageOrder } from '../../../src/store/tables.ts'
import { anAccount, anEngineWorld, freshDatabase, untilState } from '../../support/engine.ts'
import { runSeed } from '../../support/random.ts'

const nowMs = 1_800_000_000_000

const page = async (engine: Engine, id: string, limit: number): Promise<string[]> => {
  const ids: string[] = []
  for (let before: string | undefined; ; ) {
    const messages = await engine.history(id, before, limit)
    ids.push(...messages.map((message) => message.id))
    before = messages.at(-1)?.cursor
    if (before === undefined) return ids.reverse()
    expect(messages.length).toBeLessThanOrEqual(limit)
  }
}

const untilCount = async (engine: Engine, id: string, count: number): Promise<void> => {
  const signal = new AbortController().signal
  let after = '0'
  for (;;) {
    const messages = await engine.history(id, undefined, 500)
    if (messages.length >= count && messages.every(({ state }) => state !== 'pending')) return
    const pending = messages.find(({ state }) => state === 'pending')
    if (pending) await engine.whenSent(pending.id, signal)
    else after = (await engine.nextMessages(after, id, signal)).cursor
  }
}

test('section 8: messages whose times all tie stand in the order of their ids, on both sides and in pages of any size', async () => {
  const world = await anEngineWorld({ clock: () => BigInt(nowMs) * 1_000_000n })
  const platform = { nowMs: () => nowMs, monotonicMs: () => 0 }
  const [alice, bob] = [anAccount(), anAccount()]
  const atAlice = await world.open({ account: alice, database: freshDatabase(), platform })
  const atBob = await world.open({ account: bob, database: freshDatabase(), platform })
  await untilState(atAlice, 'live')
  await untilState(atBob, 'live')
  const { id } = await atAlice.engine.conversation(bob.address)
  await atBob.engine.conversation(alice.address)
  const rounds = 12
  for (let round = 0; round < rounds; round += 1) {
    await Promise.all([
      atAlice.engine.send(id, `from alice ${round}`),
      atBob.engine.send(id, `from bob ${round}`),
    ])
    const count = 2 * (round + 1)
    await Promise.all([untilCount(atAlice.engine, id, count), untilCount(atBob.engine, id, count)])
  }
  const expected = await page(atAlice.engine, id, 500)
  expect(expected).toHaveLength(2 * rounds)
  for (const limit of [1, 2, 3, 7, 500]) {
    expect(await page(atAlice.engine, id, limit)).toEqual(expected)
    expect(await page(atBob.engine, id, limit)).toEqual(expected)
  }
})

const ns = fc.bigInt({ min: 1n, max: 2n ** 64n - 2n })

const compare = (a: Uint8Array, b: Uint8Array): number => Buffer.compare(a, b)

test('section 8: messages stand by node time, then by time of composition', () => {
  fc.assert(
    fc.property(ns, ns, ns, ns, (nodeA, composedA, nodeB, composedB) => {
      const expected =
        nodeA === nodeB ? Math.sign(Number(composedA - composedB)) : nodeA < nodeB ? -1 : 1
      const order = compare(messageOrder(nodeA, composedA), messageOrder(nodeB, composedB))
      expect(Math.sign(order)).toBe(expected)
    }),
    { seed: runSeed() },
  )
  expect(compare(messageOrder(7n, 1n), messageOrder(7n, 2n))).toBe(-1)
  expect(compare(messageOrder(7n, 2n), messageOrder(7n, 2n))).toBe(0)
})

test('section 8: pending messages stand last, in the order in which they were written', () => {
  fc.assert(
    fc.property(ns, ns, ns, (node, composed, pending) => {
      expect(compare(messageOrder(0n, pending), messageOrder(node, composed))).toBe(1)
    }),
    { seed: runSeed() },
  )
  expect(compare(messageOrder(0n, 1n), messageOrder(0n, 2n))).toBe(-1)
})
