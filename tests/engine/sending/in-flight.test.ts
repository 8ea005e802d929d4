/** What must hold while messages are under way (docs/protocol.md sections 5 and 8, Out): each test names it. */

import { expect, test } from 'vitest'
import type { NodeFrame } from '../../../src/network/network.ts'
import { encodeBase64Url } from '../../../src/protocol/bytes.ts'
import { joinKey, remove, tables } from '../../../src/store/tables.ts'
import {
  anAccount,
  anEngineWorld,
  freshDatabase,
  type Opened,
  until,
  untilState,
  untilTexts,
} from '../../support/engine.ts'
import { Line, unreachable } from '../../support/line.ts'

const never = new AbortController().signal
const minuteMs = 60_000
const dayMs = 86_400_000

/** All clocks, which can be put forward. */
const aClock = () => {
  const clock = { laterMs: 0 }
  const nowMs = () => Date.now() + clock.laterMs
  const monotonicMs = () => performance.now() + clock.laterMs
  return { clock, nodeClock: () => BigInt(nowMs()) * 1_000_000n, platform: { nowMs, monotonicMs } }
}

const inboxOf = ({ engine }: Opened) => `message-${engine.installationId}`

const stateOf = async ({ engine }: Opened, id: string, content: string) =>
  (await engine.history(id, undefined, 50)).find((one) => one.content === content)

const countOf = ({ engine }: Opened, code: string): number =>
  engine.status.warnings.find((warning) => warning.code === code)?.count ?? 0

test('when one device of two is revoked in the middle of a send, the other gets the very same bytes', async () => {
  const world = await anEngineWorld()
  const [alice, bob] = [anAccount(), anAccount()]
  const line = new Line()
  const atAlice = await world.open({
    account: alice,
    database: freshDatabase(),
    network: line.network,
  })
  const phone = await world.open({ account: bob, database: freshDatabase() })
  const tablet = await world.open({ account: bob, database: freshDatabase() })
  for (const each of [atAlice, phone, tablet]) await untilState(each, 'live')
  const { id } = await atAlice.engine.conversation(bob.address)
  await atAlice.engine.send(id, 'one')
  for (const each of [phone, tablet]) await untilTexts(each, id, 1)
  line.refusal = unreachable()
  await atAlice.engine.send(id, 'two')
  await until(() => countOf(atAlice, 'network_unavailable') > 0)
  const offered = line.published.at(-1) ?? []
  expect(offered.map(({ topic }) => topic).sort()).toEqual([phone, tablet].map(inboxOf).sort())

  await phone.engine.revoke([tablet.engine.installationId], never)
  line.refusal = undefined
  expect(await untilTexts(phone, id, 2)).toEqual(['one', 'two'])
  await until(async () => (await stateOf(atAlice, id, 'two'))?.state === 'sent')
  expect(line.published.at(-1)).toEqual(offered.filter(({ topic }) => topic === inboxOf(phone)))
  expect(countOf(atAlice, 'node_withholding')).toBe(0)
})

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
  // Not even to own devices.
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
  const { clock, nodeClock, platform } = aClock()
  const world = await anEngineWorld({ clock: nodeClock })
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
  clock.laterMs += 15 * dayMs
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

test('a claim is forgotten with the session made from it: the next session comes of another key', async () => {
  const world = await anEngineWorld()
  const [alice, bob] = [anAccount(), anAccount()]
  const database = freshDatabase()
  const claims: string[] = []
  const open = () =>
    world.open({
      account: alice,
      database,
      network: (real) => ({
        ...real,
        claimPrekeys: (claimId, ids, signal) => {
          claims.push(Buffer.from(claimId).toString('hex'))
          return real.claimPrekeys(claimId, ids, signal)
        },
      }),
    })
  const before = await open()
  const atBob = await world.open({ account: bob, database: freshDatabase() })
  for (const each of [before, atBob]) await untilState(each, 'live')
  const { id } = await before.engine.conversation(bob.address)
  await before.engine.send(id, 'one')
  await untilTexts(atBob, id, 1)
  await before.engine.close()
  const store = await world.openStore(database)
  const sessions = await store.all(tables.sessions)
  expect(sessions).toHaveLength(1)
  await store.transaction([], () => ({
    writes: sessions.map(({ value: { installationId, sessionId } }) =>
      remove(tables.sessions, joinKey(installationId, encodeBase64Url(sessionId))),
    ),
    result: undefined,
  }))
  store.close()

  const again = await open()
  await again.engine.send(id, 'two')
  expect(await untilTexts(atBob, id, 2)).toEqual(['one', 'two'])
  expect(new Set(claims).size).toBe(2)
  expect(atBob.events.filter(({ kind }) => kind === 'envelopes')).toEqual([])
})

test('who comes back online tries every waiting message at once, however short it has waited', async () => {
  const { clock, nodeClock, platform } = aClock()
  const world = await anEngineWorld({ clock: nodeClock })
  const [alice, bob] = [anAccount(), anAccount()]
  const line = new Line()
  let isHidden = true
  const atAlice = await world.open({
    account: alice,
    database: freshDatabase(),
    platform,
    network: (real) => {
      const watched = line.network(real)
      return {
        ...watched,
        claimPrekeys: async (claimId, ids, signal) => {
          const claimed = await real.claimPrekeys(claimId, ids, signal)
          return claimed.map((one) => (isHidden ? { ...one, prekey: undefined } : one))
        },
      }
    },
  })
  const atBob = await world.open({ account: bob, database: freshDatabase() })
  for (const each of [atAlice, atBob]) await untilState(each, 'live')
  const { id } = await atAlice.engine.conversation(bob.address)
  const isWaiting = (text: string) => async () =>
    (await stateOf(atAlice, id, text))?.reason === 'no_installation'
  await atAlice.engine.send(id, 'one')
  await until(isWaiting('one'))
  clock.laterMs += 50 * minuteMs
  await atAlice.engine.send(id, 'two')
  await until(isWaiting('two'))
  // The hour without claims is over, the second message's hour is not.
  clock.laterMs += 15 * minuteMs
  isHidden = false
  line.cut()
  expect(await untilTexts(atBob, id, 2)).toEqual(['one', 'two'])
})

test('who is offline asks for nothing and publishes nothing, and all in order when the line is back', async () => {
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

test('who was revoked publishes nothing any more', async () => {
  const world = await anEngineWorld()
  const [alice, bob] = [anAccount(), anAccount()]
  const line = new Line()
  const phone = await world.open({
    account: alice,
    database: freshDatabase(),
    network: line.network,
  })
  const laptop = await world.open({ account: alice, database: freshDatabase() })
  const atBob = await world.open({ account: bob, database: freshDatabase() })
  for (const each of [phone, laptop, atBob]) await untilState(each, 'live')
  const { id } = await phone.engine.conversation(bob.address)
  await phone.engine.send(id, 'one')
  await untilTexts(atBob, id, 1)
  await laptop.engine.revoke([phone.engine.installationId], never)
  await untilState(phone, 'revoked')
  const count = line.published.length
  await phone.engine.send(id, 'two')
  await laptop.engine.send(id, 'from the laptop')
  expect(await untilTexts(atBob, id, 2)).toEqual(['one', 'from the laptop'])
  expect(line.published).toHaveLength(count)
  expect((await stateOf(phone, id, 'two'))?.state).toBe('pending')
})

test('a send while the subscription still catches up asks who has which devices', async () => {
  const world = await anEngineWorld()
  const [alice, bob] = [anAccount(), anAccount()]
  const line = new Line()
  const atAlice = await world.open({
    account: alice,
    database: freshDatabase(),
    network: line.network,
  })
  const phone = await world.open({ account: bob, database: freshDatabase() })
  for (const each of [atAlice, phone]) await untilState(each, 'live')
  const { id } = await atAlice.engine.conversation(bob.address)
  await atAlice.engine.send(id, 'one')
  await untilTexts(phone, id, 1)
  const held = Promise.withResolvers<void>()
  line.gate = async ({ kind }: NodeFrame) => {
    if (kind !== 'started') await held.promise
  }
  const { length } = line.subscribed
  line.cut()
  await until(() => line.subscribed.length > length)
  await until(() => atAlice.engine.status.state === 'catching-up')
  const tablet = await world.open({ account: bob, database: freshDatabase() })
  await untilState(tablet, 'live')
  await atAlice.engine.send(id, 'two')
  await untilTexts(phone, id, 2)
  expect([...(line.messageTopics.at(-1) ?? [])].sort()).toEqual([phone, tablet].map(inboxOf).sort())
  held.resolve()
})

test('a send after a minute of silence asks who has which devices; before that it asks nothing', async () => {
  const world = await anEngineWorld()
  const [alice, bob] = [anAccount(), anAccount()]
  const line = new Line()
  const began = performance.now()
  let laterMs = 0
  const atAlice = await world.open({
    account: alice,
    database: freshDatabase(),
    network: line.network,
    platform: { monotonicMs: () => performance.now() - began + laterMs },
  })
  const phone = await world.open({ account: bob, database: freshDatabase() })
  for (const each of [atAlice, phone]) await untilState(each, 'live')
  const { id } = await atAlice.engine.conversation(bob.address)
  const contact = `contact-${bob.address.toLowerCase()}`
  await until(() => line.subscribed.at(-1)?.includes(contact) ?? false)
  await atAlice.engine.send(id, 'one')
  await untilTexts(phone, id, 1)
  await untilState(atAlice, 'live')
  const asked = line.queried.length
  await atAlice.engine.send(id, 'two')
  await untilTexts(phone, id, 2)
  expect(line.queried).toHaveLength(asked)

  const held = Promise.withResolvers<void>()
  line.gate = () => held.promise
  const tablet = await world.open({ account: bob, database: freshDatabase() })
  await untilState(tablet, 'live')
  laterMs = 61_000
  await atAlice.engine.send(id, 'three')
  expect(await untilTexts(tablet, id, 1)).toEqual(['three'])
  held.resolve()
  expect([...(line.messageTopics.at(-1) ?? [])].sort()).toEqual([phone, tablet].map(inboxOf).sort())
})

test('who comes online is connected at once, however long the wait would have been', async () => {
  const world = await anEngineWorld()
  const line = new Line()
  let comeOnline: () => void = () => undefined
  const atAlice = await world.open({
    account: anAccount(),
    database: freshDatabase(),
    network: line.network,
    platform: {
      onOnline: (listener) => {
        comeOnline = listener
        return () => undefined
      },
    },
  })
  await untilState(atAlice, 'live')
  // The longest wait that a node may ask for.
  line.failure = unreachable(300_000)
  line.cut()
  await untilState(atAlice, 'offline')
  line.failure = undefined
  await until(() => countOf(atAlice, 'network_unavailable') > 0)
  comeOnline()
  await untilState(atAlice, 'live')
})

test('who writes first is in the subscription from then on: the answer asks for nothing', async () => {
  const world = await anEngineWorld()
  const [alice, bob] = [anAccount(), anAccount()]
  const line = new Line()
  const atAlice = await world.open({ account: alice, database: freshDatabase() })
  const atBob = await world.open({
    account: bob,
    database: freshDatabase(),
    network: line.network,
  })
  for (const each of [atAlice, atBob]) await untilState(each, 'live')
  const { id } = await atAlice.engine.conversation(bob.address)
  await atAlice.engine.send(id, 'one')
  await untilTexts(atBob, id, 1)
  const topics = ['contact', 'revoked'].map((kind) => `${kind}-${alice.address.toLowerCase()}`)
  await until(() => topics.every((topic) => line.subscribed.at(-1)?.includes(topic)))
  await untilState(atBob, 'live')
  const asked = line.queried.length
  await atBob.engine.send(id, 'two')
  await untilTexts(atAlice, id, 2)
  expect(line.queried).toHaveLength(asked)
})
