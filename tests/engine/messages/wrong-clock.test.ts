/** A device whose clock was wrong: the list of conversations is right again by itself. */

import { expect, test } from 'vitest'
import { directConversation } from '../../../src/engine/messages/audience.ts'
import { commit } from '../../../src/engine/runtime/change.ts'
import { PadlockError } from '../../../src/errors.ts'
import type { Network } from '../../../src/network/network.ts'
import { dayMs, minuteMs } from '../../../src/protocol/limits.ts'
import { put, tables } from '../../../src/store/tables.ts'
import { anAccount, freshDatabase, never, untilState, untilTexts } from '../../support/engine.ts'
import { anAddress, aPartWorld, messageParts } from '../../support/engine-context.ts'
import { aTurnedWorld } from '../../support/turned-world.ts'

const yearMs = 365 * dayMs

/** A device that starts with no way to its node and with a clock of this error. */
const aDeviceInTheWrong = async (errorMs: number) => {
  const { clocks, world } = await aTurnedWorld()
  const { platform } = clocks
  const [alice, bob, carol] = [anAccount(), anAccount(), anAccount()]
  const atBob = await world.open({ account: bob, database: freshDatabase(), platform })
  const atCarol = await world.open({ account: carol, database: freshDatabase(), platform })
  const database = freshDatabase()
  const first = await world.open({ account: alice, database, platform })
  for (const each of [atBob, atCarol, first]) await untilState(each, 'live')
  const withBob = await first.engine.conversation(bob.address)
  const withCarol = await first.engine.conversation(carol.address)
  await first.engine.close()
  const line = { isDown: true }
  const network = (real: Network): Network => ({
    ...real,
    getInfo: (signal) =>
      line.isDown ? Promise.reject(new PadlockError('network_unavailable')) : real.getInfo(signal),
  })
  clocks.nowMs += errorMs
  const atAlice = await world.open({ account: alice, database, platform, network })
  const comeOnline = async () => {
    line.isDown = false
    clocks.turn(minuteMs)
    await untilState(atAlice, 'live')
  }
  const list = async () =>
    (await atAlice.engine.conversations()).map(({ id, lastMessageAtMs }) => ({
      id,
      isRight: Math.abs((lastMessageAtMs ?? 0) - clocks.nodeMs) < 10 * minuteMs,
    }))
  return { clocks, atAlice, atCarol, withBob, withCarol, comeOnline, list }
}

test.each([80 * yearMs, -50 * yearMs])(
  'a message written offline under a clock that is %d ms wrong stands where the node got it, once it has',
  async (errorMs) => {
    const all = await aDeviceInTheWrong(errorMs)
    const sent = await all.atAlice.engine.send(all.withBob.id, 'from another time')
    await all.comeOnline()
    await all.atAlice.engine.whenSent(sent.id, never)
    expect(await all.list()).toContainEqual({ id: all.withBob.id, isRight: true })
    // Whoever writes then stands above it.
    all.clocks.turn(minuteMs)
    await all.atCarol.engine.send(all.withCarol.id, 'of today')
    await untilTexts(all.atAlice, all.withCarol.id, 1)
    expect(await all.list()).toEqual([
      { id: all.withCarol.id, isRight: true },
      { id: all.withBob.id, isRight: true },
    ])
  },
)

test('a clock that was ahead spoils no conversation that is written in later', async () => {
  const all = await aDeviceInTheWrong(80 * yearMs)
  const sent = await all.atAlice.engine.send(all.withBob.id, 'from another time')
  await all.comeOnline()
  await all.atAlice.engine.whenSent(sent.id, never)
  all.clocks.nowMs = all.clocks.nodeMs
  // Times of composition only ascend, so this one is from 2106 too; the list does not show it.
  await all.atAlice.engine.send(all.withCarol.id, 'of today')
  expect(await all.list()).toContainEqual({ id: all.withCarol.id, isRight: true })
})

const at = (messageMs: number) => ({ messageMs, consent: 'unknown' as const, messages: 0 })

test('a conversation that a wrong clock has put first comes back with whatever is received', async () => {
  const { context, clock } = await aPartWorld()
  const other = anAddress()
  const id = directConversation(context.account.address, other)
  const lastMessageMs = BigInt(clock.nowMs + 80 * yearMs)
  const spoiled = put(tables.conversations, id, { conversationId: id, peer: other, lastMessageMs })
  await commit(context.store, { writes: [spoiled] })
  const { conversations, conversationList } = messageParts(context)
  await conversations.load(id)
  await commit(context.store, conversations.activityChange(id, at(clock.nowMs)))
  expect(await conversationList.page(9)).toMatchObject([{ id, lastMessageAtMs: clock.nowMs }])
  // A late copy of an older message changes nothing.
  await commit(context.store, conversations.activityChange(id, at(clock.nowMs - dayMs)))
  expect(await conversationList.page(9)).toMatchObject([{ id, lastMessageAtMs: clock.nowMs }])
})
