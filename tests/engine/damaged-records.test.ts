/** One damaged record of one peer costs that peer a moment, and nobody else anything. */

import { expect, test } from 'vitest'
import { request } from '../store/request.ts'
import {
  anAccount,
  anEngineWorld,
  countOf,
  freshDatabase,
  never,
  untilState,
  untilTexts,
} from '../support/engine.ts'

/** Spoils every record of a store. */
const spoil = async (database: string, store: string): Promise<number> => {
  const raw = await request(indexedDB.open(database))
  const records = raw.transaction(store, 'readwrite').objectStore(store)
  const keys = await request(records.getAllKeys())
  for (const key of keys) {
    const record = await request(records.get(key))
    records.put({ ...record, s: new Uint8Array(record.s.length) }, key)
  }
  raw.close()
  return keys.length
}

/** Alice and Bob have talked; something happens to Bob's database while he is away. */
const afterDamage = async (store: string) => {
  const world = await anEngineWorld()
  const [alice, bob] = [anAccount(), anAccount()]
  const database = freshDatabase()
  const atAlice = await world.open({ account: alice, database: freshDatabase() })
  const first = await world.open({ account: bob, database })
  await untilState(atAlice, 'live')
  await untilState(first, 'live')
  const { id } = await atAlice.engine.conversation(bob.address)
  await atAlice.engine.send(id, 'one')
  await untilTexts(first, id, 1)
  const answer = await first.engine.send(id, 'two')
  await first.engine.whenSent(answer.id, never)
  await untilTexts(atAlice, id, 2)
  await first.engine.close()
  expect(await spoil(database, store)).toBeGreaterThan(0)
  const atBob = await world.open({ account: bob, database })
  await untilState(atBob, 'live')
  return { world, atAlice, atBob, id }
}

test('an installation that does not open is read from the node again', async () => {
  const { atAlice, atBob, id } = await afterDamage('installations')
  await atAlice.engine.send(id, 'three')
  expect(await untilTexts(atBob, id, 3)).toEqual(['one', 'two', 'three'])
  expect(countOf(atBob, 'storage_damaged')).toBe(1)
  await atBob.engine.send(id, 'four')
  expect((await untilTexts(atAlice, id, 4)).at(-1)).toBe('four')
  const devices = await atBob.engine.installations(atAlice.engine.address)
  expect(devices).toMatchObject([{ id: atAlice.engine.installationId, state: 'valid' }])
})

test('a session that does not open stops nobody: others are read, and the next message makes another', async () => {
  const { world, atAlice, atBob, id } = await afterDamage('sessions')
  const carol = await world.open({ account: anAccount(), database: freshDatabase() })
  const withBob = await carol.engine.conversation(atBob.engine.address)
  await atAlice.engine.send(id, 'lost for a minute')
  await carol.engine.send(withBob.id, 'hello')
  expect(await untilTexts(atBob, withBob.id, 1)).toEqual(['hello'])
  expect(countOf(atBob, 'storage_damaged')).toBe(1)
  await atBob.engine.send(id, 'three')
  expect((await untilTexts(atAlice, id, 4)).at(-1)).toBe('three')
  await atAlice.engine.send(id, 'four')
  expect(await untilTexts(atBob, id, 4)).toContain('four')
})

test('a cursor that does not open means reading again, and nothing twice', async () => {
  const { atAlice, atBob, id } = await afterDamage('cursors')
  await atAlice.engine.send(id, 'three')
  expect(await untilTexts(atBob, id, 3)).toEqual(['one', 'two', 'three'])
  expect(await atBob.engine.history(id, undefined, 9)).toHaveLength(3)
})
