/** Consent as an application sees it: docs/protocol.md section 9, over whole clients and a real node. */

import { expect, test } from 'vitest'
import { minuteMs, requestMessagesLimit } from '../../../src/protocol/limits.ts'
import { aTurnedClock } from '../../support/cheating-clock.ts'
import { CheatingPeer } from '../../support/cheating-peer/cheating-peer.ts'
import { aStage, say, shownTexts } from '../../support/cheating-stage.ts'
import {
  anAccount,
  anEngineWorld,
  codeOf,
  countOf,
  freshDatabase,
  inboxOf,
  never,
  type Opened,
  until,
  untilState,
  untilTexts,
} from '../../support/engine.ts'

/** Two people who do not know each other yet. */
const aMeeting = async () => {
  const world = await anEngineWorld()
  const [alice, bob] = [anAccount(), anAccount()]
  const atAlice = await world.open({ account: alice, database: freshDatabase() })
  const atBob = await world.open({ account: bob, database: freshDatabase() })
  await untilState(atAlice, 'live')
  await untilState(atBob, 'live')
  const { id } = await atAlice.engine.conversation(bob.address)
  return { world, alice, bob, atAlice, atBob, id }
}

const consentsOf = async ({ engine }: Opened) =>
  (await engine.conversations()).map(({ consent }) => consent)

test('who writes first makes a request; an answer accepts it, and both know', async () => {
  const { atAlice, atBob, id, alice, bob } = await aMeeting()
  expect(await atAlice.engine.consent(bob.address)).toBe('unknown')
  await say(atAlice, id, 'hello')
  // Writing to somebody accepts them.
  expect(await atAlice.engine.consent(bob.address)).toBe('allowed')
  expect(await consentsOf(atAlice)).toEqual(['allowed'])
  await untilTexts(atBob, id, 1)
  expect(await atBob.engine.conversations(9, undefined, 'unknown')).toMatchObject([
    { id, consent: 'unknown', messageCount: 1, lastMessage: { content: 'hello' } },
  ])
  expect(await atBob.engine.conversations(9, undefined, 'allowed')).toEqual([])
  const [request] = await atBob.engine.history(id, undefined, 1)
  expect(request?.consent).toBe('unknown')
  await say(atBob, id, 'hello too')
  expect(await consentsOf(atBob)).toEqual(['allowed'])
  expect((await atBob.engine.history(id, undefined, 9)).map(({ consent }) => consent)).toEqual([
    'allowed',
    'allowed',
  ])
  expect(atBob.events).toContainEqual({
    kind: 'consent',
    address: alice.address,
    consent: 'allowed',
  })
})

test('another device of ours accepts with what it writes, and a denial since then stands', async () => {
  const { world, atAlice, atBob, id, alice, bob } = await aMeeting()
  const phone = await world.open({ account: bob, database: freshDatabase() })
  await untilState(phone, 'live')
  await say(atAlice, id, 'hello')
  await untilTexts(phone, id, 1)
  await say(phone, id, 'from the phone')
  await untilTexts(atBob, id, 2)
  expect(await atBob.engine.consent(alice.address)).toBe('allowed')
  expect(await consentsOf(atBob)).toEqual(['allowed'])
  await phone.engine.close()
  await atBob.engine.setConsent(alice.address, 'denied')
  await say(atAlice, id, 'are you there?')
  await until(() => countOf(atBob, 'sender_denied') === 1)
  expect(await consentsOf(atBob)).toEqual([])
  expect(await atBob.engine.conversations(9, undefined, 'denied')).toMatchObject([{ id }])
  expect((await atBob.engine.history(id, undefined, 9)).map(({ consent }) => consent)).toEqual([
    'denied',
    'denied',
  ])
  // Writing again takes it back.
  await say(atBob, id, 'here I am')
  expect(await atBob.engine.consent(alice.address)).toBe('allowed')
  await untilTexts(atAlice, id, 4)
  await say(atAlice, id, 'good')
  expect((await untilTexts(atBob, id, 4)).at(-1)).toBe('good')
})

test('streams leave out what strangers or denied accounts wrote, as they are asked to', async () => {
  const { world, atAlice, atBob, id, alice } = await aMeeting()
  const carol = await world.open({ account: anAccount(), database: freshDatabase() })
  await atBob.engine.setConsent(alice.address, 'allowed')
  const { id: withCarol } = await carol.engine.conversation(atBob.engine.address)
  await say(atAlice, id, 'from a friend')
  await say(carol, withCarol, 'from a stranger')
  await untilTexts(atBob, withCarol, 1)
  const streamed = async (consent?: 'allowed' | 'unknown' | 'denied') => {
    const page = await atBob.engine.nextMessages('0', undefined, AbortSignal.timeout(50), consent)
    return page.messages.map(({ content }) => content)
  }
  expect(await streamed()).toEqual(['from a friend', 'from a stranger'])
  expect(await streamed('allowed')).toEqual(['from a friend'])
  expect(await streamed('unknown')).toEqual(['from a stranger'])
  await atBob.engine.setConsent(carol.engine.address, 'denied')
  expect(await streamed()).toEqual(['from a friend'])
  expect(await streamed('denied')).toEqual(['from a stranger'])
  // A conversation that is asked for by name is shown whatever was said of it.
  expect(await untilTexts(atBob, withCarol, 1)).toEqual(['from a stranger'])
})

test('what found no room in a request comes once it is accepted, in its place', async () => {
  const clock = aTurnedClock()
  const stage = await aStage({ clock })
  const { atAlice, atBob, id, alice } = stage
  const texts = Array.from({ length: requestMessagesLimit + 7 }, (_, n) => `number ${n}`)
  for (const text of texts) await say(atAlice, id, text)
  await until(() => countOf(atBob, 'requests_full') === 7)
  expect(await shownTexts(atBob, id)).toEqual(texts.slice(0, requestMessagesLimit))
  expect(await atBob.engine.conversations()).toMatchObject([{ leftOutCount: 7 }])
  clock.turn(10 * minuteMs)
  await atBob.engine.setConsent(alice.address, 'allowed')
  await untilTexts(atBob, id, texts.length)
  expect(await shownTexts(atBob, id)).toEqual(texts)
  expect(await atBob.engine.conversations()).toMatchObject([
    { leftOutCount: 0, messageCount: texts.length, consent: 'allowed' },
  ])
})

test('an account that was not accepted learns nothing, whatever it sends, until it is', async () => {
  const clock = aTurnedClock()
  const stage = await aStage({ clock, haveTalked: true })
  const { atBob, world, bob } = stage
  const mallory = await CheatingPeer.register(world)
  const session = await mallory.sessionWith(bob)
  const [olm] = mallory.encrypt(session, [mallory.text(bob, 'never read')])
  if (!olm) throw new Error('nothing')
  // A right header signature over a message that no session opens: a probe.
  const probe = mallory.sealRaw(session.to, { sessionId: session.id, isPrekeyMessage: true }, olm)
  await mallory.publish([probe])
  await until(() => countOf(atBob, 'header_mismatch') === 1)
  clock.turn(2 * minuteMs)
  // Everything that was due by then is over when this has been answered.
  await say(stage.atAlice, stage.id, 'between friends')
  await untilTexts(atBob, stage.id, 3)
  await say(atBob, stage.id, 'yes')
  expect(await mallory.inbox()).toEqual([])
  expect(await inboxOf(world, mallory.id)).toEqual([])
  expect(await atBob.engine.conversations(9, undefined, 'unknown')).toEqual([])
  await atBob.engine.setConsent(mallory.account.address, 'allowed')
  clock.turn(2 * minuteMs)
  await until(async () => (await inboxOf(world, mallory.id)).length === 1)
})

test('nobody denies themselves, and what is no consent is refused', async () => {
  const { atAlice, alice, bob } = await aMeeting()
  expect(await codeOf(atAlice.engine.setConsent(alice.address, 'denied'))).toBe('invalid_argument')
  expect(await codeOf(atAlice.engine.setConsent('nobody', 'allowed'))).toBe('invalid_address')
  const wrong = 'maybe' as 'allowed'
  expect(await codeOf(atAlice.engine.setConsent(bob.address, wrong))).toBe('invalid_argument')
  expect(await codeOf(atAlice.engine.conversations(9, undefined, wrong))).toBe('invalid_argument')
  expect(await atAlice.engine.consent(alice.address)).toBe('allowed')
  const note = await atAlice.engine.conversation(alice.address)
  await atAlice.engine.send(note.id, 'to myself')
  expect(await atAlice.engine.nextMessages('0', undefined, never, 'allowed')).toMatchObject({
    messages: [{ content: 'to myself', consent: 'allowed' }],
  })
})
