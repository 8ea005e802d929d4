/** docs/protocol.md section 10: an older copy of a client, at a node that is not the one it knew. */

import { expect, onTestFinished, test } from 'vitest'
import { createInProcessNode } from '../../../node/src/testing.ts'
import { networkOver } from '../../../src/network/connect.ts'
import { copyDatabase } from '../../support/databases.ts'
import { anAccount, freshDatabase, until, untilState, untilTexts } from '../../support/engine.ts'
import { addressOf, aTurnedWorld, dayMs } from '../../support/turned-world.ts'

test('section 10: an older copy that meets a restored node, where the newer one was first, repairs itself and goes on', async () => {
  const { world, clocks } = await aTurnedWorld()
  const { platform } = clocks
  const [alice, bob] = [anAccount(), anAccount()]
  const [database, copy] = [freshDatabase(), freshDatabase()]
  const first = await world.open({ account: bob, database, platform })
  await untilState(first, 'live')
  await first.engine.close()
  await copyDatabase(database, copy)

  clocks.turn(30 * dayMs)
  const newer = await world.open({ account: bob, database, platform })
  await untilState(newer, 'live')
  const contact = { topic: `contact-${addressOf(bob)}`, afterSequence: 0n }
  const bundles = async () => (await world.network.query([contact])).envelopes.length
  await until(async () => (await bundles()) === 2)
  await newer.engine.close()

  // The node lost its data, and the newer one came back to it first.
  const other = createInProcessNode({ clock: () => BigInt(clocks.nodeMs) * 1_000_000n })
  onTestFinished(() => other.close())
  const network = () => networkOver(other.transport)
  const moved = await world.open({ account: bob, database, platform, network })
  await untilState(moved, 'live')
  await moved.engine.close()
  clocks.turn(1_000)
  const older = await world.open({ account: bob, database: copy, platform, network })
  await untilState(older, 'live')
  expect(older.events.filter(({ kind }) => kind === 'restored')).toHaveLength(1)
  const atAlice = await world.open({ account: alice, database: freshDatabase(), platform, network })
  await untilState(atAlice, 'live')
  const { id } = await atAlice.engine.conversation(bob.address)
  await atAlice.engine.send(id, 'which of you is it?')
  expect(await untilTexts(older, id, 1)).toEqual(['which of you is it?'])
  for (const { engine } of [older, atAlice]) await engine.close()
})
