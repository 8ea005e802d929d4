/** Accounts that the subscription covers, and of whose devices nobody need ask: docs/protocol.md sections 5, 8 and 11. */

import { expect, test } from 'vitest'
import type { NodeFrame } from '../../../src/network/network.ts'
import { buildConversationId } from '../../../src/protocol/ids.ts'
import { minuteMs } from '../../../src/protocol/limits.ts'
import { put, StoredConsent, tables } from '../../../src/store/tables.ts'
import { addressOf } from '../../support/checked.ts'
import {
  anAccount,
  anEngineWorld,
  freshDatabase,
  isSent,
  type Opened,
  until,
  untilState,
  untilTexts,
} from '../../support/engine.ts'
import { Line } from '../../support/line.ts'
import { aLine, aTurnedWorld } from '../../support/turned-world.ts'

const inboxTopic = ({ engine }: Opened) => `message-${engine.installationId}`

test('section 8: a send to a covered account asks the node nothing; with a last frame of 60 s ago it asks once', async () => {
  const { world, clocks } = await aTurnedWorld()
  const { platform } = clocks
  const [alice, bob] = [anAccount(), anAccount()]
  const line = aLine()
  const atBob = await world.open({ account: bob, database: freshDatabase(), platform })
  await untilState(atBob, 'live')
  const database = freshDatabase()
  const atAlice = await world.open({ account: alice, database, platform, network: line.network })
  const { id } = await atAlice.engine.conversation(bob.address)
  const contact = `contact-${addressOf(bob)}`
  await until(() => line.subscribed.at(-1)?.includes(contact) === true)
  await untilState(atAlice, 'live')
  await atAlice.engine.send(id, 'the first, on a new session')
  await untilTexts(atBob, id, 1)
  await until(() => isSent(atAlice, id, 'the first, on a new session'))

  line.queried.length = 0
  line.claimed.length = 0
  for (const text of ['two', 'three']) await atAlice.engine.send(id, text)
  await until(() => isSent(atAlice, id, 'three'))
  clocks.monotonicMs += minuteMs - 1
  await atAlice.engine.send(id, 'after 59.999 s of silence')
  await until(() => isSent(atAlice, id, 'after 59.999 s of silence'))
  expect(line.queried).toEqual([])

  clocks.monotonicMs += 1
  await atAlice.engine.send(id, 'after 60 s of silence')
  await until(() => isSent(atAlice, id, 'after 60 s of silence'))
  const topics = [alice, bob].map(addressOf).flatMap((a) => [`contact-${a}`, `revoked-${a}`])
  expect(line.queried.map((each) => [...each].sort())).toEqual([topics.sort()])
  // And no prekey more than the first message needed.
  expect(line.claimed).toEqual([])
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
  expect([...(line.messageTopics.at(-1) ?? [])].sort()).toEqual(
    [phone, tablet].map(inboxTopic).sort(),
  )
  held.resolve()
})

test('an account that writes first is in the subscription from then on: the answer asks for nothing', async () => {
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

test('section 11: a client covers the newest 360 accounts that were accepted, and 40 of others', async () => {
  const { world, clocks } = await aTurnedWorld()
  const { platform } = clocks
  const account = anAccount()
  const database = freshDatabase()
  const first = await world.open({ account, database, platform })
  await untilState(first, 'live')
  await first.engine.close()
  const peers = Array.from({ length: 410 }, (_, n) => `0x${(n + 1).toString(16).padStart(40, '0')}`)
  const store = await world.openStore(database)
  await store.transaction([], () => ({
    writes: peers.map((peer, n) => {
      const id = buildConversationId(addressOf(account), addressOf({ address: peer }))
      const lastMessageMs = BigInt(clocks.nowMs + n)
      return put(tables.conversations, id, {
        conversationId: id,
        peer,
        createdMs: lastMessageMs,
        lastMessageMs,
        consent: n < 365 ? StoredConsent.ALLOWED : StoredConsent.UNSPECIFIED,
      })
    }),
    result: undefined,
  }))
  await store.close()
  const line = aLine()
  const again = await world.open({ account, database, platform, network: line.network })
  await untilState(again, 'live')
  // The newest of 365, and the newest of 45.
  const covered = [addressOf(account), ...peers.slice(5, 365), ...peers.slice(370)]
  const topics = [
    `message-${again.engine.installationId}`,
    `prekey-${again.engine.installationId}`,
    ...covered.flatMap((address) => [`contact-${address}`, `revoked-${address}`]),
  ]
  expect([...(line.subscribed[0] ?? [])].sort()).toEqual(topics.sort())
  expect(topics).toHaveLength(2 + 2 * 401)
})
