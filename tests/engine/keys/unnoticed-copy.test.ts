/**
 * docs/protocol.md section 12: a profile that was put back. One that is newer than the last key that
 * was uploaded is not noticed, as the texts say; what becomes of it then.
 */

import { expect, test } from 'vitest'
import { copyDatabase } from '../../support/databases.ts'
import {
  anAccount,
  anEngineWorld,
  freshDatabase,
  until,
  untilState,
  untilTexts,
} from '../../support/engine.ts'
import { countOf, never } from '../../support/turned-world.ts'

test('section 12: a copy that is newer than the last replaced key goes unnoticed, shows nobody anything false, and goes on after an answer', async () => {
  const world = await anEngineWorld()
  const [alice, bob] = [anAccount(), anAccount()]
  const [database, copy] = [freshDatabase(), freshDatabase()]
  const first = await world.open({ account: alice, database })
  const atBob = await world.open({ account: bob, database: freshDatabase() })
  for (const each of [first, atBob]) await untilState(each, 'live')
  const { id } = await first.engine.conversation(bob.address)
  const sendsAs = async ({ engine }: typeof first, text: string) => {
    const sent = await engine.send(id, text)
    await engine.whenSent(sent.id, never)
  }
  await sendsAs(first, 'one')
  await untilTexts(atBob, id, 1)
  await sendsAs(atBob, 'two')
  await untilTexts(first, id, 2)
  // A chain of messages has begun, so the next key follows from what is copied.
  await sendsAs(first, 'and on')
  await untilTexts(atBob, id, 3)
  await first.engine.close()
  await copyDatabase(database, copy)

  const newer = await world.open({ account: alice, database })
  await sendsAs(newer, 'three')
  await untilTexts(atBob, id, 4)
  await newer.engine.close()

  // The copy does not know of the third message, and encrypts under the key of it once more.
  const older = await world.open({ account: alice, database: copy })
  await untilState(older, 'live')
  await sendsAs(older, 'not three')
  await until(() => countOf(atBob, 'message_key_gone') === 1)
  expect(older.events.filter(({ kind }) => kind === 'restored')).toEqual([])
  const texts = async () =>
    (await atBob.engine.history(id, undefined, 10)).map(({ content }) => content).reverse()
  expect(await texts()).toEqual(['one', 'two', 'and on', 'three'])

  await sendsAs(atBob, 'four')
  await untilTexts(older, id, 5)
  await sendsAs(older, 'five')
  await untilTexts(atBob, id, 6)
  expect(await texts()).toEqual(['one', 'two', 'and on', 'three', 'four', 'five'])
})
