/** Who has not come back to a node that lost its data, and what becomes of the others' messages (docs/protocol.md sections 8 and 10). */

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { expect, onTestFinished, test } from 'vitest'
import { createInProcessNode } from '../../../node/src/testing.ts'
import { networkOver } from '../../../src/network/connect.ts'
import type { Network } from '../../../src/network/network.ts'
import {
  anAccount,
  anEngineWorld,
  countOf,
  freshDatabase,
  type Opened,
  until,
  untilState,
  untilTexts,
} from '../../support/engine.ts'

const idOf = async ({ engine }: Opened, id: string, content: string) =>
  (await engine.history(id, undefined, 50)).find((one) => one.content === content)?.id

/** Alice with one device, Bob with two; the node that they know, and one that lost everything. */
const aStage = async () => {
  const world = await anEngineWorld()
  const other = createInProcessNode()
  onTestFinished(() => other.close())
  const lost = networkOver(other.transport)
  const [alice, bob] = [anAccount(), anAccount()]
  const databases = { alice: freshDatabase(), phone: freshDatabase(), tablet: freshDatabase() }
  const open = (name: 'alice' | 'phone' | 'tablet', network?: (real: Network) => Network) =>
    world.open({
      account: name === 'alice' ? alice : bob,
      database: databases[name],
      ...(network ? { network } : {}),
    })
  const before = {
    alice: await open('alice'),
    phone: await open('phone'),
    tablet: await open('tablet'),
  }
  for (const each of Object.values(before)) await untilState(each, 'live')
  const { id } = await before.alice.engine.conversation(bob.address)
  await before.alice.engine.send(id, 'one')
  for (const each of [before.phone, before.tablet]) await untilTexts(each, id, 1)
  for (const { engine } of Object.values(before)) await engine.close()
  const atLost = (name: 'alice' | 'phone' | 'tablet') => open(name, () => lost)
  const { nodeId } = await world.network.getInfo()
  return { open, atLost, id, nodeId }
}

test('a device that has not come back to a node that lost its data holds nothing up, and gets it all when it comes', async () => {
  const { atLost, id } = await aStage()
  const phone = await atLost('phone')
  await untilState(phone, 'live')
  const atAlice = await atLost('alice')
  await untilState(atAlice, 'live')
  for (const text of ['two', 'three']) await atAlice.engine.send(id, text)
  expect(await untilTexts(phone, id, 3)).toEqual(['one', 'two', 'three'])
  await until(async () =>
    (await atAlice.engine.history(id, undefined, 9)).every(({ state }) => state === 'sent'),
  )
  // The node is another one: it withholds nothing that it ever had.
  expect(countOf(atAlice, 'node_withholding')).toBe(0)

  const tablet = await atLost('tablet')
  expect((await untilTexts(tablet, id, 3)).sort()).toEqual(['one', 'three', 'two'])
  expect(await idOf(tablet, id, 'two')).toBe(await idOf(phone, id, 'two'))
  await atAlice.engine.send(id, 'four')
  for (const each of [phone, tablet]) expect((await untilTexts(each, id, 4)).at(-1)).toBe('four')
})

test('while nobody of the peer has come back to a node that lost its data, the message waits', async () => {
  const { atLost, id } = await aStage()
  const atAlice = await atLost('alice')
  await untilState(atAlice, 'live')
  await atAlice.engine.send(id, 'two')
  await until(async () => {
    const [newest] = await atAlice.engine.history(id, undefined, 1)
    return newest?.reason === 'no_prekeys'
  })
  expect(countOf(atAlice, 'node_withholding')).toBe(0)
  const phone = await atLost('phone')
  expect(await untilTexts(phone, id, 2)).toEqual(['one', 'two'])
})

test('a node that lost data and keeps its id withholds it: that is reported, and nothing goes around a device', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'padlock-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  const file = join(folder, 'node.sqlite')
  await createInProcessNode({ file }).close()
  const { open, id, nodeId } = await aStage()
  const database = new DatabaseSync(file)
  database.prepare(`UPDATE meta SET value = ? WHERE name = 'node_id'`).run(nodeId)
  database.close()
  const other = createInProcessNode({ file })
  onTestFinished(() => other.close())
  const lost = networkOver(other.transport)
  const published: number[] = []
  const atAlice = await open('alice', () => ({
    ...lost,
    publish: (envelopes, signal) => {
      const messages = envelopes.filter(({ topic }) => topic.startsWith('message-'))
      if (messages.length > 0) published.push(messages.length)
      return lost.publish(envelopes, signal)
    },
  }))
  await untilState(atAlice, 'live')
  await atAlice.engine.send(id, 'two')
  await until(() => countOf(atAlice, 'node_withholding') > 1)
  // The same bytes for both devices, again and again.
  expect(new Set(published)).toEqual(new Set([2]))
  expect((await atAlice.engine.history(id, undefined, 1))[0]?.state).toBe('pending')
})
