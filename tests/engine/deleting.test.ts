/** Deleting messages and conversations: what is gone, what stays, and what comes again. */

import { expect, test } from 'vitest'
import type { Engine } from '../../src/engine/engine.ts'
import { PadlockError } from '../../src/errors.ts'
import type { ConversationId } from '../../src/protocol/ids.ts'
import type { Store } from '../../src/store/store.ts'
import { tables } from '../../src/store/tables.ts'
import {
  anAccount,
  anEngineWorld,
  codeOf,
  freshDatabase,
  never,
  until,
  untilState,
  untilTexts,
} from '../support/engine.ts'
import { set } from '../support/envelope-forge/fields.ts'
import { forge, textContent } from '../support/envelope-forge/forge.ts'
import { aReceiver } from '../support/envelope-forge/receiver.ts'
import { storeWithTransaction } from '../support/store-with-transaction.ts'

/** Two people who have talked: Alice, whose device deletes, and Bob. */
const aConversation = async (store?: (real: Store) => Store) => {
  const world = await anEngineWorld()
  const [alice, bob] = [anAccount(), anAccount()]
  const database = freshDatabase()
  const atAlice = await world.open({ account: alice, database, ...(store && { store }) })
  const atBob = await world.open({ account: bob, database: freshDatabase() })
  await untilState(atAlice, 'live')
  await untilState(atBob, 'live')
  const { id } = await atAlice.engine.conversation(bob.address)
  const say = async (from: { readonly engine: Engine }, ...texts: readonly string[]) => {
    for (const text of texts) {
      const { id: message } = await from.engine.send(id, text)
      await from.engine.whenSent(message, never)
    }
  }
  return { world, alice, bob, database, atAlice, atBob, id, say }
}

const textsOf = async ({ engine }: { readonly engine: Engine }, id: string) =>
  (await engine.history(id, undefined, 500)).map(({ content }) => content).toReversed()

test('a deleted message is gone here and stays with the others; its cursor still has its place', async () => {
  const { atAlice, atBob, id, say } = await aConversation()
  await say(atAlice, 'one', 'two')
  await untilTexts(atBob, id, 2)
  await say(atBob, 'three')
  await untilTexts(atAlice, id, 3)
  const [three, two] = await atAlice.engine.history(id, undefined, 9)
  if (!two || !three) throw new Error('three messages')
  await atAlice.engine.delete(id, [two.id])
  expect(await textsOf(atAlice, id)).toEqual(['one', 'three'])
  expect(await textsOf(atBob, id)).toEqual(['one', 'two', 'three'])
  expect(atAlice.events).toContainEqual({
    kind: 'deleted',
    conversationId: id,
    messageIds: [two.id],
  })
  const streamed = await atAlice.engine.nextMessages('0', id, never)
  expect(streamed.messages.map(({ content }) => content)).toEqual(['one', 'three'])
  const before = await atAlice.engine.history(id, two.cursor, 9)
  expect(before.map(({ content }) => content)).toEqual(['one'])
  // Again: nothing. Of another conversation, or none: a mistake.
  await atAlice.engine.delete(id, [two.id])
  expect(await codeOf(atAlice.engine.delete(id, ['0'.repeat(64)]))).toBe('invalid_argument')
  const self = await atAlice.engine.conversation(atAlice.engine.address)
  expect(await codeOf(atAlice.engine.delete(self.id, [three.id]))).toBe('invalid_argument')
  const listed = await atAlice.engine.conversations()
  expect(listed.find((one) => one.id === id)).toMatchObject({ messageCount: 2 })
})

test('the newest message that is left says when the conversation was last active', async () => {
  const { atAlice, id, say } = await aConversation()
  await say(atAlice, 'one')
  const [{ lastMessageAtMs: between = 0 } = {}] = await atAlice.engine.conversations()
  await until(() => Date.now() > between + 1)
  await say(atAlice, 'two')
  const [two] = await atAlice.engine.history(id, undefined, 1)
  const [before] = await atAlice.engine.conversations()
  expect(before?.lastMessageAtMs).toBeGreaterThan(between)
  await atAlice.engine.delete(id, [two?.id ?? ''])
  const [after] = await atAlice.engine.conversations()
  expect(after).toMatchObject({ messageCount: 1, lastMessage: { content: 'one' } })
  expect(after?.lastMessageAtMs).toBeLessThan(before?.lastMessageAtMs ?? 0)
})

test('a deleted conversation leaves ids, no content, and begins anew with the next message', async () => {
  const { world, atAlice, atBob, id, say, database, alice } = await aConversation()
  const texts = Array.from({ length: 250 }, (_, n) => `number ${n}`)
  await atBob.engine.setConsent(alice.address, 'allowed')
  await Promise.all(texts.map((text) => atAlice.engine.send(id, text)))
  await untilTexts(atBob, id, 250)
  const last = atAlice.engine.lastCursor()
  await atAlice.engine.delete(id, undefined)
  expect(await atAlice.engine.conversations()).toEqual([])
  expect(await textsOf(atAlice, id)).toEqual([])
  await say(atBob, 'are you there?')
  expect(await untilTexts(atAlice, id, 1)).toEqual(['are you there?'])
  const [fresh] = await atAlice.engine.history(id, undefined, 9)
  expect(Number(fresh?.cursor)).toBeGreaterThan(Number(last))
  expect(await atAlice.engine.conversations()).toMatchObject([
    { id, messageCount: 1, consent: 'allowed' },
  ])
  await atAlice.engine.close()
  const store = await world.openStore(database)
  const rows = []
  for (let after = 0; ; ) {
    const page = await store.scan(tables.messages, { after, limit: 500 })
    rows.push(...page.rows)
    if (page.lastNumber <= after) break
    after = page.lastNumber
  }
  expect(rows.filter(({ value }) => value.deleted)).toHaveLength(250)
  for (const { value } of rows.filter((row) => row.value.deleted)) {
    expect(value).toMatchObject({ content: new Uint8Array(), sender: '', senderInstallation: '' })
  }
  await store.close()
  const again = await world.open({ account: alice, database })
  expect(await textsOf(again, id)).toEqual(['are you there?'])
})

test('what is deleted before it was sent is not sent', async () => {
  const { world, atAlice, id } = await aConversation()
  const nobody = anAccount()
  const waiting = await atAlice.engine.conversation(nobody.address)
  const { id: message } = await atAlice.engine.send(waiting.id, 'never mind')
  await atAlice.engine.delete(waiting.id, [message])
  const { id: kept } = await atAlice.engine.send(waiting.id, 'this one')
  expect(await codeOf(atAlice.engine.whenSent(message, never))).toBe('invalid_argument')
  const later = await world.open({ account: nobody, database: freshDatabase() })
  await untilState(later, 'live')
  expect((await atAlice.engine.whenSent(kept, never)).state).toBe('sent')
  expect(await untilTexts(later, waiting.id, 1)).toEqual(['this one'])
  expect(await textsOf(later, waiting.id)).toEqual(['this one'])
  expect(await textsOf(atAlice, id)).toEqual([])
})

test('what was deleted stays away when it comes again, on whatever session', async () => {
  const bob = await aReceiver()
  const alice = await bob.sender()
  const payload = { payload: set(4, textContent('once')) }
  expect((await bob.deliver(forge(bob.begin(alice), payload).message)).outcomes).toEqual(['kept'])
  const [conversation] = await bob.parts.conversationList.page(1)
  const id = conversation?.id as ConversationId
  await bob.parts.deletion.deleteConversation(id)
  // The same message, sealed anew: as a retransmission, or for a device that came late.
  const again = await bob.deliver(forge(bob.begin(alice), payload).message)
  expect(again.outcomes).toEqual(['duplicate'])
  expect(await bob.parts.conversationList.page(1)).toEqual([])
  const { rows } = await bob.store.scan(tables.messages, { after: 0, limit: 9 })
  expect(rows.map(({ value }) => value.deleted)).toEqual([true])
})

test('where nothing fits any more, deleting makes room first', async () => {
  let isFull = false
  const { atAlice, id, say } = await aConversation((real) =>
    storeWithTransaction(real, (reads, step, durability) =>
      real.transaction(
        reads,
        (rows) => {
          const planned = step(rows)
          if (isFull && planned.writes.some(({ kind }) => kind !== 'delete')) {
            throw new PadlockError('storage_full')
          }
          if (isFull && planned.writes.length > 0) isFull = false
          return planned
        },
        durability,
      ),
    ),
  )
  await say(atAlice, 'one', 'two')
  isFull = true
  expect(await codeOf(atAlice.engine.send(id, 'three'))).toBe('storage_full')
  await atAlice.engine.delete(id, undefined)
  expect(await textsOf(atAlice, id)).toEqual([])
  expect(await atAlice.engine.conversations()).toEqual([])
  expect((await atAlice.engine.send(id, 'four')).content).toBe('four')
})

test('a conversation of more than one read is deleted whole, and so is what comes meanwhile', async () => {
  const { atAlice, id } = await aConversation()
  const self = await atAlice.engine.conversation(atAlice.engine.address)
  for (let n = 0; n < 14; n += 1) await atAlice.engine.send(self.id, `${n}`.padEnd(800_000, 'x'))
  await atAlice.engine.delete(self.id, undefined)
  expect(await atAlice.engine.history(self.id, undefined, 500)).toEqual([])
  expect(await atAlice.engine.conversations()).toMatchObject([{ id }])
  // Made anew, it is empty.
  expect(await atAlice.engine.conversation(atAlice.engine.address)).toMatchObject({
    messageCount: 0,
  })
})

test('the newest message that is left is found behind any number of long ones', async () => {
  const { atAlice } = await aConversation()
  const { id } = await atAlice.engine.conversation(atAlice.engine.address)
  await atAlice.engine.send(id, 'small and old')
  const long: string[] = []
  for (let n = 0; n < 12; n += 1) {
    long.push((await atAlice.engine.send(id, `${n}`.padEnd(800_000, 'x'))).id)
  }
  // One of them twice counts once.
  await atAlice.engine.delete(id, [...long, ...long])
  const listed = (await atAlice.engine.conversations()).find((one) => one.id === id)
  expect(listed).toMatchObject({ messageCount: 1, lastMessage: { content: 'small and old' } })
  expect(listed?.lastMessageAtMs).toBeGreaterThan(0)
})
