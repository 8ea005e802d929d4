/** Keys that age in a running client: docs/protocol.md sections 1 and 2. */

import { expect, test } from 'vitest'
import { parseContactBundle } from '../../../src/protocol/contact.ts'
import { dayMs } from '../../../src/protocol/limits.ts'
import { contactTopic } from '../../../src/protocol/topics.ts'
import { tables } from '../../../src/store/tables.ts'
import { addressOf, passed } from '../../support/checked.ts'
import {
  anAccount,
  type EngineWorld,
  freshDatabase,
  isSent,
  until,
  untilState,
  untilTexts,
} from '../../support/engine.ts'
import { aTurnedWorld } from '../../support/turned-world.ts'

const secretsOf = async (world: EngineWorld, database: string) => {
  const store = await world.openStore(database)
  const prekeys = (await store.get(tables.prekeys, 'prekeys'))?.value
  const sealing = (await store.get(tables.sealing, 'sealing'))?.value
  const identity = (await store.get(tables.identity, 'identity'))?.value
  await store.close()
  if (!prekeys || !sealing || !identity) throw new Error('no account')
  return { prekeys, sealing, identity }
}

const bundlesOf = async (world: EngineWorld, account: { readonly address: string }) => {
  const topic = contactTopic(addressOf(account))
  const { envelopes } = await world.network.query([{ topic, afterSequence: 0n }])
  return envelopes.map(({ message }) => passed(parseContactBundle(message)))
}

test('section 2: the sealing key is rotated after 30 days, and mail to the two before it is still opened', async () => {
  const { clocks, world } = await aTurnedWorld()
  const { platform } = clocks
  const [alice, bob] = [anAccount(), anAccount()]
  const database = freshDatabase()
  const atAlice = await world.open({ account: alice, database: freshDatabase(), platform })
  await untilState(atAlice, 'live')
  const { id } = await atAlice.engine.conversation(bob.address)
  let sent = 0
  let days = 0
  for (const later of [0, 29, 30, 60, 90]) {
    clocks.turn((later - days) * dayMs)
    days = later
    const atBob = await world.open({ account: bob, database, platform })
    await untilState(atBob, 'live')
    const expected = Math.floor(days / 30) + 1
    await until(async () => (await bundlesOf(world, bob)).length === expected)
    // Mail that was under way while the key changed.
    await atAlice.engine.send(id, `after ${days} days`)
    sent += 1
    expect(await untilTexts(atBob, id, sent)).toHaveLength(sent)
    await atBob.engine.close()
  }
  const { sealing, identity } = await secretsOf(world, database)
  expect(sealing.secrets).toHaveLength(3)
  expect(sealing.pendingBundle).toHaveLength(0)
  const bundles = await bundlesOf(world, bob)
  expect(sealing.secrets.map(({ publicKey }) => publicKey)).toEqual(
    bundles
      .slice(-3)
      .reverse()
      .map(({ sealingKey }) => sealingKey.key),
  )
  const stored = passed(parseContactBundle(identity.contactBundle))
  expect(stored.sealingKey.key).toEqual(bundles.at(-1)?.sealingKey.key)
})

/** How old the keys are by our own clock and by the node's when the device comes back. */
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
  // Maintenance begins with being live; these come after it.
  const { id } = await again.engine.conversation(account.address)
  for (const text of ['one', 'two', 'three']) {
    await again.engine.send(id, text)
    await until(() => isSent(again, id, text))
  }
  await again.engine.close()
  const after = await secretsOf(world, database)
  const isOld = (key: { readonly createdNs: bigint }) =>
    before.prekeys.oneTime[0]?.createdNs === key.createdNs
  return {
    sealing: after.sealing.secrets.length - 1,
    published: (await bundlesOf(world, account)).length - 1,
    fallback: after.prekeys.fallback.length - 1,
    oneTimeLeft: after.prekeys.oneTime.filter(isOld).length,
  }
}

test('section 1: keys are too old when both clocks say so, not when only our own or only the node’s does', async () => {
  const nothing = { sealing: 0, published: 0, fallback: 0, oneTimeLeft: 50 }
  expect(await comeBack(400 * dayMs, 0)).toEqual(nothing)
  expect(await comeBack(0, 400 * dayMs)).toEqual(nothing)
  const everything = { sealing: 1, published: 1, fallback: 1, oneTimeLeft: 0 }
  expect(await comeBack(90 * dayMs, 90 * dayMs)).toEqual(everything)
})
