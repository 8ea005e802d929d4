/**
 * A peer that forges what it is and what it sends (docs/protocol.md section 8, In). Each forgery is counted
 * by its code, none is stored or answered, and honest messages go on.
 */

import { expect, test } from 'vitest'
import { tables } from '../../../src/store/tables.ts'
import { CheatingPeer } from '../../support/cheating-peer/cheating-peer.ts'
import { forgeries } from '../../support/cheating-peer/forgeries.ts'
import { aStage, expectHonest, say, shownTexts } from '../../support/cheating-stage.ts'
import { countOf, inboxOf, until, untilTexts } from '../../support/engine.ts'

for (const { name, forge, code, count = 1, arrives = [], sessions = 0, isHelped } of forgeries) {
  test(name, async () => {
    const stage = await aStage({ haveTalked: true })
    const { atAlice, atBob, id, node, world } = stage
    const mallory = await CheatingPeer.register(world)
    const session = await mallory.sessionWith(stage.bob)
    const subscriptions = node.calls.subscribe
    await mallory.publish(await forge({ stage, mallory, session, to: session.to }))
    // Who is parked is worked off with the next heartbeat.
    await say(atAlice, id, 'meanwhile')
    await until(async () => {
      node.say({ case: 'heartbeat', value: { nodeNs: world.node.clock() } })
      await new Promise((resolve) => setTimeout(resolve, 5))
      return countOf(atBob, code) === count
    })
    expect(await untilTexts(atBob, id, 3)).toEqual(['one', 'two', 'meanwhile'])
    // Nobody is followed for having written what was rejected.
    if (arrives.length === 0 && !isHelped) expect(node.calls.subscribe).toBe(subscriptions)
    await expectHonest(stage)
    // Its own code and no other, nothing shown, nothing answered.
    expect(atBob.engine.status.warnings.map((one) => [one.code, one.count])).toEqual([
      [code, count],
    ])
    expect(await shownTexts(atBob, id)).toEqual(['one', 'two', 'meanwhile'])
    const { id: withMallory } = await atBob.engine.conversation(mallory.account.address)
    expect(await shownTexts(atBob, withMallory)).toEqual(arrives)
    expect(await inboxOf(world, mallory.id)).toEqual([])
    await atBob.engine.close()
    const store = await world.openStore(stage.bobDatabase)
    const rows = await store.all(tables.sessions)
    const ids = rows.map(({ value }) => value.installationId)
    expect(ids.filter((one) => one === mallory.id)).toHaveLength(sessions)
    expect(await store.all(tables.parked)).toEqual([])
  })
}
