/** docs/protocol.md sections 1 and 2: how long keys live, to the millisecond, and that one clock alone ends nothing. */

import { expect, test } from 'vitest'
import { parseContactBundle } from '../../../src/protocol/contact.ts'
import { contactTopic } from '../../../src/protocol/topics.ts'
import { tables } from '../../../src/store/tables.ts'
import {
  anAccount,
  type EngineWorld,
  freshDatabase,
  until,
  untilState,
} from '../../support/engine.ts'
import { addressOf, aTurnedWorld, dayMs, isSent, must } from '../../support/turned-world.ts'

const secretsOf = async (world: EngineWorld, database: string) => {
  const store = await world.openStore(database)
  const prekeys = (await store.get(tables.prekeys, 'prekeys'))?.value
  const sealing = (await store.get(tables.sealing, 'sealing'))?.value
  store.close()
  if (!prekeys || !sealing) throw new Error('no account')
  return { prekeys, sealing }
}

/** How old the keys are by the own clock and by the node's when the device comes back. */
const comeBack = async (ownMs: number, nodeMs: number) => {
  const { world, clocks } = await aTurnedWorld()
  const { platform } = clocks
  const account = anAccount()
  const database = freshDatabase()
  const first = await world.open({ account, database, platform })
  await untilState(first, 'live')
  await first.engine.close()
  const before = await secretsOf(world, database)
  clocks.nowMs += ownMs
  clocks.nodeMs += nodeMs
  const again = await world.open({ account, database, platform })
  await untilState(again, 'live')
  // Upkeep begins with being live; these come after it.
  const { id } = await again.engine.conversation(account.address)
  for (const text of ['one', 'two', 'three']) {
    await again.engine.send(id, text)
    await until(() => isSent(again, id, text))
  }
  await again.engine.close()
  const after = await secretsOf(world, database)
  const topic = contactTopic(addressOf(account))
  const { envelopes } = await world.network.query([{ topic, afterSequence: 0n }])
  const bundles = envelopes.map(({ message }) => must(parseContactBundle(message)))
  const isOld = (key: { readonly createdNs: bigint }) =>
    before.prekeys.oneTime[0]?.createdNs === key.createdNs
  return {
    sealing: after.sealing.secrets.length - 1,
    published: bundles.length - 1,
    fallback: after.prekeys.fallback.length - 1,
    oneTimeLeft: after.prekeys.oneTime.filter(isOld).length,
  }
}

const nothing = { sealing: 0, published: 0, fallback: 0, oneTimeLeft: 50 }

test('section 2: a fallback prekey is replaced after 7 days, not a millisecond before', async () => {
  expect(await comeBack(7 * dayMs - 1, 7 * dayMs - 1)).toEqual(nothing)
  expect(await comeBack(7 * dayMs, 7 * dayMs)).toEqual({ ...nothing, fallback: 1 })
})

test('section 2: a sealing key is replaced after 30 days, not a millisecond before', async () => {
  const aFallback = { ...nothing, fallback: 1 }
  expect(await comeBack(30 * dayMs - 1, 30 * dayMs - 1)).toEqual(aFallback)
  expect(await comeBack(30 * dayMs, 30 * dayMs)).toEqual({ ...aFallback, sealing: 1, published: 1 })
})

test('section 2: one-time secrets that nobody used are dropped after 90 days, not a millisecond before', async () => {
  expect((await comeBack(90 * dayMs - 1, 90 * dayMs - 1)).oneTimeLeft).toBe(50)
  expect((await comeBack(90 * dayMs, 90 * dayMs)).oneTimeLeft).toBe(0)
})

test('section 1: an age that only the own clock, or only the node, says has passed has not', async () => {
  expect(await comeBack(400 * dayMs, 0)).toEqual(nothing)
  expect(await comeBack(0, 400 * dayMs)).toEqual({ ...nothing })
})

test('section 1: created_ns is that of the clock that is behind, and greater than the last of its kind', async () => {
  for (const [ownMs, nodeMs] of [
    [0, dayMs],
    [dayMs, 0],
  ] as const) {
    const { world, clocks } = await aTurnedWorld()
    const account = anAccount()
    const startMs = clocks.nowMs
    clocks.nowMs += ownMs
    clocks.nodeMs += nodeMs
    const database = freshDatabase()
    const one = await world.open({ account, database, platform: clocks.platform })
    await untilState(one, 'live')
    await one.engine.close()
    const { prekeys, sealing } = await secretsOf(world, database)
    const createdNs = BigInt(startMs) * 1_000_000n
    expect(sealing.secrets.map((secret) => secret.createdNs)).toEqual([createdNs])
    const prekeyTimes = new Set(
      [...prekeys.oneTime, ...prekeys.fallback].map((key) => key.createdNs),
    )
    expect([...prekeyTimes]).toEqual([createdNs])
  }
})
