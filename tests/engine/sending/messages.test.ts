/** docs/protocol.md section 8, Out and Order: who gets a message, in which request, and how it is shown. */

import { expect, test } from 'vitest'
import { encodeContent } from '../../../src/content/registry.ts'
import { PadlockError } from '../../../src/errors.ts'
import { buildContactBundle, parseContactBundle } from '../../../src/protocol/contact.ts'
import { contentLimitBytes, dayMs, hourMs, minuteMs } from '../../../src/protocol/limits.ts'
import { sealingKeySigningBytes } from '../../../src/protocol/signing-bytes.ts'
import { contactTopic } from '../../../src/protocol/topics.ts'
import { tables } from '../../../src/store/tables.ts'
import { passed } from '../../support/checked.ts'
import {
  anAccount,
  type EngineWorld,
  freshDatabase,
  inboxOf,
  isSent,
  type Opened,
  until,
  untilState,
  untilTexts,
} from '../../support/engine.ts'
import { aLine, aTurnedWorld, insiderOf } from '../../support/turned-world.ts'

const inbox = ({ engine }: Opened) => `message-${engine.installationId}`

const composedOf = async (world: EngineWorld, database: string): Promise<readonly bigint[]> => {
  const store = await world.openStore(database)
  const rows = await store.all(tables.messages)
  await store.close()
  return rows.map(({ value }) => value.composedNs).sort()
}

test('section 8: a message goes to each other device of both accounts, in one request', async () => {
  const { world, clocks } = await aTurnedWorld()
  const { platform } = clocks
  const [alice, bob] = [anAccount(), anAccount()]
  const others: Opened[] = []
  for (const account of [alice, bob, bob]) {
    others.push(await world.open({ account, database: freshDatabase(), platform }))
  }
  for (const each of others) await untilState(each, 'live')
  const line = aLine()
  const { network } = line
  const atAlice = await world.open({ account: alice, database: freshDatabase(), platform, network })
  await untilState(atAlice, 'live')
  const { id } = await atAlice.engine.conversation(bob.address)
  await atAlice.engine.send(id, 'for all')
  for (const each of others) expect(await untilTexts(each, id, 1)).toEqual(['for all'])
  expect(line.mail.map((topics) => [...topics].sort())).toEqual([others.map(inbox).sort()])
  // All prekeys in one claim.
  const ids = others.map(({ engine }) => engine.installationId)
  expect(line.claimed.map(({ ids }) => [...ids].sort())).toEqual([ids.sort()])
})

test('section 8: one request is in flight at a time, and messages go in the order of composition', async () => {
  const { world, clocks } = await aTurnedWorld()
  const { platform } = clocks
  const [alice, bob] = [anAccount(), anAccount()]
  const atBob = await world.open({ account: bob, database: freshDatabase(), platform })
  await untilState(atBob, 'live')
  let inFlight = 0
  let most = 0
  const atAlice = await world.open({
    account: alice,
    database: freshDatabase(),
    platform,
    network: (real) => ({
      ...real,
      publish: async (envelopes, signal) => {
        const isMail = envelopes[0]?.topic.startsWith('message-') === true
        inFlight += isMail ? 1 : 0
        most = Math.max(most, inFlight)
        await new Promise((resolve) => setTimeout(resolve, 5))
        const receipts = await real.publish(envelopes, signal)
        inFlight -= isMail ? 1 : 0
        return receipts
      },
    }),
  })
  await untilState(atAlice, 'live')
  const { id } = await atAlice.engine.conversation(bob.address)
  const texts = Array.from({ length: 40 }, (_, n) => `number ${n}`)
  await Promise.all(texts.map((text) => atAlice.engine.send(id, text)))
  expect(await untilTexts(atBob, id, 40)).toEqual(texts)
  expect(most).toBe(1)
  const histories = await Promise.all(
    [atAlice, atBob].map(async ({ engine }) =>
      (await engine.history(id, undefined, 50)).map(({ content }) => content),
    ),
  )
  expect(histories).toEqual([texts.toReversed(), texts.toReversed()])
})

test('section 8: a message is there at once and has its id, offline too, and composed_ns ascends across restarts and clocks set back', async () => {
  const { world, clocks } = await aTurnedWorld()
  const { platform } = clocks
  const [alice, bob] = [anAccount(), anAccount()]
  const database = freshDatabase()
  const first = await world.open({ account: alice, database, platform })
  await untilState(first, 'live')
  const { id } = await first.engine.conversation(bob.address)
  const one = await first.engine.send(id, 'one')
  expect(one.state).toBe('pending')
  await first.engine.close()
  clocks.nowMs -= dayMs
  const second = await world.open({
    account: alice,
    database,
    platform,
    network: (real) => ({
      ...real,
      getInfo: async () => {
        throw new PadlockError('network_unavailable')
      },
    }),
  })
  const two = await second.engine.send(id, 'two')
  const three = await second.engine.send(id, 'three')
  const history = await second.engine.history(id, undefined, 10)
  expect(history.map(({ id }) => id)).toEqual([three.id, two.id, one.id])
  await second.engine.close()
  const [a = 0n, b, c] = await composedOf(world, database)
  expect([b, c]).toEqual([a + 1n, a + 2n])
})

test('section 8: with nobody of the peer there is nothing to publish, not even to own devices, until someone registers', async () => {
  const { world, clocks } = await aTurnedWorld()
  const { platform } = clocks
  const [alice, bob] = [anAccount(), anAccount()]
  const laptop = await world.open({ account: alice, database: freshDatabase(), platform })
  await untilState(laptop, 'live')
  const line = aLine()
  const { network } = line
  const atAlice = await world.open({ account: alice, database: freshDatabase(), platform, network })
  await untilState(atAlice, 'live')
  const { id } = await atAlice.engine.conversation(bob.address)
  const waiting = await atAlice.engine.send(id, 'are you there?')
  const stateOf = async () =>
    (await atAlice.engine.history(id, undefined, 1)).map(({ state, reason }) => [state, reason])
  await until(async () => (await stateOf())[0]?.[1] === 'no_installation')
  expect(await stateOf()).toEqual([['pending', 'no_installation']])
  expect(line.mail).toEqual([])
  // Others do not wait behind it.
  const note = await atAlice.engine.conversation(alice.address)
  await atAlice.engine.send(note.id, 'buy milk')
  expect(await untilTexts(laptop, note.id, 1)).toEqual(['buy milk'])

  const atBob = await world.open({ account: bob, database: freshDatabase(), platform })
  expect(await untilTexts(atBob, id, 1)).toEqual(['are you there?'])
  expect(await untilTexts(laptop, id, 1)).toEqual(['are you there?'])
  const [got] = await atBob.engine.history(id, undefined, 1)
  expect(got?.id).toBe(waiting.id)
  await until(async () => (await stateOf())[0]?.[0] === 'sent')
  expect((await stateOf())[0]?.[1]).toBeUndefined()
})

test('section 8: a note to self with no other device is sent at once, publishes nothing, and stands at node time', async () => {
  const { world, clocks } = await aTurnedWorld()
  const alice = anAccount()
  const line = aLine()
  clocks.nowMs += dayMs
  const { platform } = clocks
  const { network } = line
  const atAlice = await world.open({ account: alice, database: freshDatabase(), platform, network })
  await untilState(atAlice, 'live')
  const { id } = await atAlice.engine.conversation(alice.address)
  await atAlice.engine.send(id, 'alone')
  await until(() => isSent(atAlice, id, 'alone'))
  expect(line.mail).toEqual([])
  // Our own clock is a day ahead: the time shown is the node’s.
  const [note] = await atAlice.engine.history(id, undefined, 1)
  expect(note?.sentAtMs).toBe(clocks.nodeMs)
})

test('section 8: a note to self waits for no device: for one that gives no prekey it is deferred', async () => {
  const { world, clocks } = await aTurnedWorld()
  const { platform } = clocks
  const alice = anAccount()
  const laptop = await world.open({ account: alice, database: freshDatabase(), platform })
  await untilState(laptop, 'live')
  // A note that is published at the very moment of its registration is not deferred for it.
  clocks.turn(1)
  const line = aLine()
  line.serve = (keys) => keys.map((key) => ({ ...key, prekey: undefined }))
  const { network } = line
  const database = freshDatabase()
  const phone = await world.open({ account: alice, database, platform, network })
  await untilState(phone, 'live')
  const { id } = await phone.engine.conversation(alice.address)
  await phone.engine.send(id, 'buy milk')
  await until(() => isSent(phone, id, 'buy milk'))
  expect(await inboxOf(world, laptop)).toEqual([])
  line.serve = (keys) => keys
  clocks.turn(hourMs)
  expect(await untilTexts(laptop, id, 1)).toEqual(['buy milk'])
})

test('section 8: the time shown is when it was written, unless that is more than five minutes after the node had it', async () => {
  for (const [aheadMs, shownAheadMs] of [
    [-dayMs, -dayMs],
    [5 * minuteMs, 5 * minuteMs],
    [5 * minuteMs + 1, 0],
  ] as const) {
    const { world, clocks } = await aTurnedWorld()
    const [alice, bob] = [anAccount(), anAccount()]
    const platform = { ...clocks.platform, nowMs: () => clocks.nodeMs + aheadMs }
    const atBob = await world.open({ account: bob, database: freshDatabase() })
    await untilState(atBob, 'live')
    const atAlice = await world.open({ account: alice, database: freshDatabase(), platform })
    await untilState(atAlice, 'live')
    const { id } = await atAlice.engine.conversation(bob.address)
    await atAlice.engine.send(id, 'what time is it?')
    await untilTexts(atBob, id, 1)
    await until(() => isSent(atAlice, id, 'what time is it?'))
    for (const { engine } of [atAlice, atBob]) {
      const [message] = await engine.history(id, undefined, 1)
      expect(message?.sentAtMs).toBe(clocks.nodeMs + shownAheadMs)
    }
    for (const { engine } of [atAlice, atBob]) await engine.close()
  }
})

test('section 11: a message of 900 KiB after encoding goes through, one byte more is refused before it is stored', async () => {
  const { world, clocks } = await aTurnedWorld()
  const { platform } = clocks
  const [alice, bob] = [anAccount(), anAccount()]
  const atBob = await world.open({ account: bob, database: freshDatabase(), platform })
  await untilState(atBob, 'live')
  const atAlice = await world.open({ account: alice, database: freshDatabase(), platform })
  await untilState(atAlice, 'live')
  const { id } = await atAlice.engine.conversation(bob.address)
  const nearly = contentLimitBytes - 1_000
  const overhead = encodeContent('a'.repeat(nearly)).length - nearly
  const largest = 'a'.repeat(contentLimitBytes - overhead)
  expect(encodeContent(largest)).toHaveLength(contentLimitBytes)
  await expect(atAlice.engine.send(id, `${largest}a`)).rejects.toMatchObject({
    code: 'message_too_large',
  })
  expect(await atAlice.engine.history(id, undefined, 10)).toEqual([])
  await atAlice.engine.send(id, largest)
  expect((await untilTexts(atBob, id, 1))[0]?.length).toBe(largest.length)
})

test('section 8: a device whose sealing key nobody can encrypt to is passed over, until its topic has another', async () => {
  const { world, clocks } = await aTurnedWorld()
  const { platform } = clocks
  const [alice, bob] = [anAccount(), anAccount()]
  const phone = await world.open({ account: bob, database: freshDatabase(), platform })
  const tabletDatabase = freshDatabase()
  const tablet = await world.open({ account: bob, database: tabletDatabase, platform })
  for (const each of [phone, tablet]) await untilState(each, 'live')
  await tablet.engine.close()
  const insider = await insiderOf(world, tabletDatabase)
  const topic = contactTopic(insider.address)
  const bundles = (await world.network.query([{ topic, afterSequence: 0n }])).envelopes
    .map(({ message }) => passed(parseContactBundle(message)))
    .filter(({ installationId }) => installationId === insider.id)
  const publishKey = async (key: Uint8Array) => {
    const [bundle] = bundles
    if (!bundle) throw new Error('no bundle')
    clocks.turn(1_000)
    const createdNs = BigInt(clocks.nodeMs) * 1_000_000n
    const text = sealingKeySigningBytes({
      address: insider.address,
      installationId: insider.id,
      createdNs,
      key,
    })
    const [signature = new Uint8Array()] = world.crypto.sign(insider.identity, [text])
    const message = buildContactBundle({ ...bundle, sealingKey: { key, createdNs, signature } })
    await world.network.publish([{ topic, message }])
  }
  // A point of small order: whatever it is agreed with, the result is zero (RFC 7748 section 6.1).
  await publishKey(new Uint8Array(32))
  const atAlice = await world.open({ account: alice, database: freshDatabase(), platform })
  await untilState(atAlice, 'live')
  const { id } = await atAlice.engine.conversation(bob.address)
  await atAlice.engine.send(id, 'for both')
  expect(await untilTexts(phone, id, 1)).toEqual(['for both'])
  expect(await inboxOf(world, tablet)).toHaveLength(0)
  const [pair] = world.crypto.createKeyPairs(1)
  await publishKey(pair?.publicKey ?? new Uint8Array())
  await until(async () => (await inboxOf(world, tablet)).length === 1)
})
