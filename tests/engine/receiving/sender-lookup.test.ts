/** docs/protocol.md section 8, In, step 3: whose word counts is asked of the node before it counts. */

import { expect, test } from 'vitest'
import { encodeContent } from '../../../src/content/registry.ts'
import { type Address, buildConversationId } from '../../../src/protocol/ids.ts'
import { buildPayload } from '../../../src/protocol/payload.ts'
import { addressOf } from '../../support/checked.ts'
import {
  anAccount,
  countOf,
  freshDatabase,
  never,
  until,
  untilState,
  untilTexts,
} from '../../support/engine.ts'
import { aLine, aTurnedWorld, envelopesFrom, insiderOf } from '../../support/turned-world.ts'

/** Alice, who once looked at Bob's devices and has no conversation with him; the test has Bob's tablet. */
const anAcquaintance = async () => {
  const { world, clocks } = await aTurnedWorld()
  const { platform } = clocks
  const [alice, bob] = [anAccount(), anAccount()]
  const phone = await world.open({ account: bob, database: freshDatabase(), platform })
  const tabletDatabase = freshDatabase()
  const tablet = await world.open({ account: bob, database: tabletDatabase, platform })
  for (const each of [phone, tablet]) await untilState(each, 'live')
  await tablet.engine.close()
  const insider = await insiderOf(world, tabletDatabase)
  const database = freshDatabase()
  const line = aLine()
  const { network } = line
  const atAlice = await world.open({ account: alice, database, platform, network })
  await untilState(atAlice, 'live')
  expect(await atAlice.engine.installations(bob.address)).toHaveLength(2)
  const id = buildConversationId(addressOf(alice), addressOf(bob))
  const says = (text: string, composedNs: bigint) =>
    buildPayload({ convoId: id, contentBytes: encodeContent(text), composedNs })
  return { world, clocks, alice, bob, phone, tablet, insider, database, line, atAlice, id, says }
}

/** Addresses that nobody has. */
const strangers = Array.from(
  { length: 10 },
  (_, n) => `0x${(n + 1).toString(16).padStart(40, '0')}` as Address,
)

test('section 8: a revoked device is not believed because strangers used up the look-ups', async () => {
  const { world, clocks, alice, phone, tablet, insider, atAlice, id, says } = await anAcquaintance()
  await phone.engine.revoke([tablet.engine.installationId], never)
  // Envelopes that claim to be from as many accounts: a query each, one after the other.
  for (const [at, address] of strangers.entries()) {
    const forged = await envelopesFrom(world, { ...insider, address }, alice, [says('?', 2n)])
    await world.network.publish(forged)
    await until(() => countOf(atAlice, 'unknown_sender') === at + 1)
  }
  await world.network.publish(
    await envelopesFrom(world, insider, alice, [says('I am still here', 3n)]),
  )
  // Something that the client takes in after them.
  await phone.engine.send(id, 'from the phone')
  const inbox = `message-${atAlice.engine.installationId}`
  const sent = async () =>
    (
      await world.node.store.page([{ topic: inbox, afterSequence: 11n }], {
        envelopes: 9,
        bytes: 1e9,
      })
    ).envelopes.length
  await until(async () => (await sent()) === 1)
  await new Promise((resolve) => setTimeout(resolve, 100))
  expect(await atAlice.engine.history(id, undefined, 10)).toEqual([])
  // There is a look-up again.
  clocks.turn(3_000)
  expect(await untilTexts(atAlice, id, 1)).toEqual(['from the phone'])
  await until(() => countOf(atAlice, 'sender_revoked') === 1)
  expect(await atAlice.engine.history(id, undefined, 10)).toHaveLength(1)
})
