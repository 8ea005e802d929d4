/** A device that meets a node which knows nothing of it: docs/protocol.md sections 6 and 10. */

import { expect, onTestFinished, test } from 'vitest'
import { createInProcessNode } from '../../../node/src/testing.ts'
import { PadlockError } from '../../../src/errors.ts'
import { networkOver } from '../../../src/network/connect.ts'
import type { Network } from '../../../src/network/network.ts'
import { dayMs } from '../../../src/protocol/limits.ts'
import { parsePrekeyUpload } from '../../../src/protocol/prekey.ts'
import { tables } from '../../../src/store/tables.ts'
import { passed } from '../../support/checked.ts'
import {
  anAccount,
  anEngineWorld,
  type EngineWorld,
  freshDatabase,
  never,
  until,
  untilState,
} from '../../support/engine.ts'
import { aLine, aTurnedWorld } from '../../support/turned-world.ts'

/** The bytes of the prekey uploads that were offered to the node. */
const uploadsOf = (line: ReturnType<typeof aLine>): readonly Uint8Array[] =>
  line.published
    .flat()
    .filter(({ topic }) => topic.startsWith('prekey-'))
    .map(({ message }) => message)

const prekeysOf = async (world: EngineWorld, database: string) => {
  const store = await world.openStore(database)
  const record = (await store.get(tables.prekeys, 'prekeys'))?.value
  await store.close()
  if (!record) throw new Error('no prekeys')
  return record
}

/** A device that meets a node which knows nothing of it. */
const atAnotherNode = async () => {
  const { world, clocks } = await aTurnedWorld()
  const account = anAccount()
  const database = freshDatabase()
  const other = createInProcessNode({ clock: () => BigInt(clocks.nodeMs) * 1_000_000n })
  onTestFinished(() => other.close())
  const open = (network: (real: Network) => Network) =>
    world.open({ account, database, platform: clocks.platform, network })
  const first = await open((real) => real)
  await untilState(first, 'live')
  await first.engine.close()
  return { world, clocks, database, open, elsewhere: networkOver(other.transport) }
}

test('section 6: a fallback that no node acknowledged yet is carried to another node, and the one before it kept', async () => {
  const { open, elsewhere, world, clocks, database } = await atAnotherNode()
  const before = await prekeysOf(world, database)
  clocks.turn(7 * dayMs)
  const line = aLine()
  line.refuse = ([envelope]) =>
    envelope?.topic.startsWith('prekey-') === true
      ? new PadlockError('network_unavailable')
      : undefined
  const rotating = await open(line.network)
  await untilState(rotating, 'live')
  await until(() => uploadsOf(line).length === 1)
  await rotating.engine.close()
  const moved = aLine()
  const again = await open(() => moved.network(elsewhere))
  await untilState(again, 'live')
  await again.engine.close()
  const [pending, replacement] = [line, moved].map((each) =>
    passed(parsePrekeyUpload(uploadsOf(each)[0] ?? new Uint8Array())),
  )
  expect(replacement?.replace).toBe(true)
  expect(replacement?.fallback?.key).toEqual(pending?.fallback?.key)
  const { fallback } = await prekeysOf(world, database)
  expect(fallback.map(({ publicKey }) => publicKey)).toEqual([
    pending?.fallback?.key,
    before.fallback[0]?.publicKey,
  ])
})

test('section 10: a node that lost its data hears of revocations again before the devices that it knows nothing of', async () => {
  const world = await anEngineWorld()
  const other = createInProcessNode()
  onTestFinished(() => other.close())
  const [alice, bob] = [anAccount(), anAccount()]
  const database = freshDatabase()
  const laptop = await world.open({ account: alice, database })
  const phone = await world.open({ account: alice, database: freshDatabase() })
  for (const each of [laptop, phone]) await untilState(each, 'live')
  await laptop.engine.revoke([phone.engine.installationId], never)
  await laptop.engine.close()
  const lost = networkOver(other.transport)
  const again = await world.open({ account: alice, database, network: () => lost })
  await untilState(again, 'live')
  const atBob = await world.open({
    account: bob,
    database: freshDatabase(),
    network: () => lost,
  })
  await untilState(atBob, 'live')
  const seen = await atBob.engine.installations(alice.address)
  expect(seen.map(({ id, state }) => [id, state])).toEqual([
    [laptop.engine.installationId, 'valid'],
  ])
  const topic = `revoked-${alice.address.toLowerCase()}`
  expect((await lost.query([{ topic, afterSequence: 0n }])).envelopes).toHaveLength(1)
  // The revoked device does not get in there either, though the node never saw its grant.
  const bundles = await world.network.query([
    { topic: `contact-${alice.address.toLowerCase()}`, afterSequence: 0n },
  ])
  const old = bundles.envelopes[1]
  if (!old) throw new Error('no bundle')
  await expect(lost.publish([{ topic: old.topic, message: old.message }])).rejects.toMatchObject({
    code: 'revoked',
  })
})
