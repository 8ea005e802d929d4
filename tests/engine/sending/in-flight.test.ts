/** What must hold while messages are under way (docs/protocol.md sections 5 and 8, Out): each test names it. */

import { expect, test } from 'vitest'
import { dayMs } from '../../../src/protocol/limits.ts'
import {
  anAccount,
  anEngineWorld,
  countOf,
  freshDatabase,
  never,
  type Opened,
  until,
  untilState,
  untilTexts,
} from '../../support/engine.ts'
import { Line, unreachable } from '../../support/line.ts'
import { aTurnedWorld } from '../../support/turned-world.ts'

const stateOf = async ({ engine }: Opened, id: string, content: string) =>
  (await engine.history(id, undefined, 50)).find((one) => one.content === content)

test('when nobody of the peer is left in the middle of a send, the message waits, and is encrypted anew under its id', async () => {
  const world = await anEngineWorld()
  const [alice, bob] = [anAccount(), anAccount()]
  const line = new Line()
  const database = freshDatabase()
  const atAlice = await world.open({
    account: alice,
    database: freshDatabase(),
    network: line.network,
  })
  const other = await world.open({ account: alice, database: freshDatabase() })
  const phone = await world.open({ account: bob, database })
  for (const each of [atAlice, other, phone]) await untilState(each, 'live')
  const { id } = await atAlice.engine.conversation(bob.address)
  await atAlice.engine.send(id, 'one')
  await untilTexts(phone, id, 1)
  line.refusal = unreachable()
  const { id: messageId } = await atAlice.engine.send(id, 'two')
  await until(() => countOf(atAlice, 'network_unavailable') > 0)
  await phone.engine.revoke([phone.engine.installationId], never)
  line.refusal = undefined
  await until(async () => (await stateOf(atAlice, id, 'two'))?.reason === 'no_installation')
  // Not even to our other devices.
  const isOthers = async () => (await stateOf(other, id, 'two')) !== undefined
  expect(await isOthers()).toBe(false)

  await phone.engine.close()
  const anew = await world.open({ account: bob, database, renew: true })
  await untilTexts(anew, id, 2)
  expect((await stateOf(anew, id, 'two'))?.id).toBe(messageId)
  await until(isOthers)
  expect((await stateOf(other, id, 'two'))?.order).toBe((await stateOf(anew, id, 'two'))?.order)
})

test('a second copy of a message changes nothing: not its place, and not what is streamed', async () => {
  const { clocks, world } = await aTurnedWorld()
  const { platform } = clocks
  const [alice, bob] = [anAccount(), anAccount()]
  let isAnswerLost = false
  const atAlice = await world.open({
    account: alice,
    database: freshDatabase(),
    platform,
    network: (real) => ({
      ...real,
      publish: async (envelopes, signal) => {
        const receipts = await real.publish(envelopes, signal)
        if (isAnswerLost) throw unreachable()
        return receipts
      },
    }),
  })
  const atBob = await world.open({ account: bob, database: freshDatabase(), platform })
  for (const each of [atAlice, atBob]) await untilState(each, 'live')
  const { id } = await atAlice.engine.conversation(bob.address)
  isAnswerLost = true
  await atAlice.engine.send(id, 'one')
  const first = await atBob.engine.nextMessages('0', id, never)
  expect(first.messages).toHaveLength(1)
  await until(() => countOf(atAlice, 'network_unavailable') > 0)

  // The same bytes are offered for two weeks; then the message is encrypted anew.
  clocks.turn(15 * dayMs)
  isAnswerLost = false
  await until(async () => (await stateOf(atAlice, id, 'one'))?.state === 'sent')
  await until(() => countOf(atBob, 'duplicate_message') > 0)
  await atAlice.engine.send(id, 'two')
  const next = await atBob.engine.nextMessages(first.cursor, id, never)
  expect(next.messages.map(({ content }) => content)).toEqual(['two'])
  const history = await atBob.engine.history(id, undefined, 50)
  expect(history.map(({ content }) => content)).toEqual(['two', 'one'])
  expect(history[1]).toEqual(first.messages[0])
})

test('an offline client asks for nothing and publishes nothing, and sends all in order when the line is back', async () => {
  const world = await anEngineWorld()
  const [alice, bob, carol] = [anAccount(), anAccount(), anAccount()]
  const line = new Line()
  const atAlice = await world.open({
    account: alice,
    database: freshDatabase(),
    network: line.network,
  })
  const atBob = await world.open({ account: bob, database: freshDatabase() })
  const atCarol = await world.open({ account: carol, database: freshDatabase() })
  for (const each of [atAlice, atBob, atCarol]) await untilState(each, 'live')
  const { id } = await atAlice.engine.conversation(bob.address)
  await atAlice.engine.send(id, 'one')
  await untilTexts(atBob, id, 1)
  line.failure = unreachable()
  line.cut()
  await untilState(atAlice, 'offline')
  const [asked, published] = [line.queried.length, line.published.length]
  for (const text of ['two', 'three']) await atAlice.engine.send(id, text)
  // Longer than a message takes.
  const { id: theirs } = await atCarol.engine.conversation(bob.address)
  await atCarol.engine.send(theirs, 'meanwhile')
  await untilTexts(atBob, theirs, 1)
  expect([line.queried.length, line.published.length]).toEqual([asked, published])
  line.failure = undefined
  expect(await untilTexts(atBob, id, 3)).toEqual(['one', 'two', 'three'])
})
