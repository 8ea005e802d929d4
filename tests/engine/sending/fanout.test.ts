/** Sealing for many: docs/protocol.md sections 7 and 8, Out. */

import { expect, test } from 'vitest'
import { commit } from '../../../src/engine/runtime/change.ts'
import { digestEnvelope } from '../../../src/protocol/ids.ts'
import { hourMs } from '../../../src/protocol/limits.ts'
import { messageTopic } from '../../../src/protocol/topics.ts'
import { aFanout } from '../../support/fanout-part.ts'

test('section 7: claiming, sealing and saving happens for one send after the other, so that no key makes two sessions', async () => {
  const { fanout } = await aFanout()
  const done: string[] = []
  const first = Promise.withResolvers<void>()
  const one = fanout.runExclusive(async () => {
    await first.promise
    done.push('one')
  })
  const two = fanout.runExclusive(async () => {
    done.push('two')
  })
  await Promise.resolve()
  expect(done).toEqual([])
  first.resolve()
  await Promise.all([one, two])
  expect(done).toEqual(['one', 'two'])
})

test('an installation without a session that gave no key cannot be encrypted to', async () => {
  const { fanout, first } = await aFanout()
  expect(fanout.reachable([first], new Map())).toEqual([])
  const fresh = await fanout.prepare([first])
  expect(fanout.reachable([first], fresh)).toEqual([first])
})

test('an installation with an unusable sealing key is passed over for an hour: nobody encrypts to it', async () => {
  const all = await aFanout(2)
  const { fanout, recipients, first, turn } = all
  const fresh = await fanout.prepare(recipients)
  const bad = { ...first, sealingKey: new Uint8Array(32) }
  const [, second] = recipients
  if (!second) return
  expect(fanout.seal([all.message([bad, second])], fresh)).toBeUndefined()
  expect(fanout.reachable([bad, second], fresh)).toEqual([second])
  turn(hourMs - 1)
  expect(fanout.reachable([bad], fresh)).toEqual([])
  turn(1)
  expect(fanout.reachable([first], fresh)).toEqual([first])
})

test('each message is sealed once for each of its recipients, to their topic, under its digest', async () => {
  const all = await aFanout(3)
  const { fanout, recipients } = all
  const fresh = await fanout.prepare(recipients)
  const [one, two, three] = recipients
  if (!one || !two || !three) return
  const sealed = fanout.seal(
    [all.message([one, two], 'for two'), all.message([two, three], 'for two others')],
    fresh,
  )
  expect(
    sealed?.rows.map((rows) =>
      rows.map(({ topic, address, recipient }) => ({ topic, address, recipient })),
    ),
  ).toEqual(
    [
      [one, two],
      [two, three],
    ].map((to) =>
      to.map(({ id, address }) => ({ topic: messageTopic(id), address, recipient: id })),
    ),
  )
  for (const { message, digest } of sealed?.rows.flat() ?? []) {
    expect(digest).toEqual(digestEnvelope(message))
  }
  if (!sealed) throw new Error('not sealed')
  expect(sealed.change.writes.filter(({ table }) => table.store === 'sessions')).toHaveLength(3)
  await commit(all.store, sealed.change)
  const sessions = recipients.flatMap(({ id }) => all.parts.sessions.of(id))
  const sent = new Map(sessions.map((session) => [session.installationId, session.sentSince]))
  expect(sent).toEqual(
    new Map([
      [one.id, 1],
      [two.id, 2],
      [three.id, 1],
    ]),
  )
  // Each session comes once, and has moved on.
  for (const session of sessions) {
    expect(session.state).not.toEqual(fresh.get(session.installationId)?.state)
  }
})

test('a new session begins with nothing decrypted and nothing sent', async () => {
  const { fanout, first, clock } = await aFanout()
  expect(await fanout.prepareNew(first)).toMatchObject({
    installationId: first.id,
    createdMs: clock.nowMs,
    firstDecryptedMs: 0,
    lastDecryptedMs: 0,
    sentSince: 0,
    isClosed: false,
  })
})

test('section 8: the first message of a session tells the heads of both accounts, the next ones do not', async () => {
  const all = await aFanout()
  const { parts, fanout, recipients } = all
  parts.cursors.setNode(new Uint8Array(16).fill(1))
  const fresh = await fanout.prepare(recipients)
  const first = fanout.seal([all.message(), all.message()], fresh)
  if (!first) throw new Error('not sealed')
  const [one, two] = first.rows.map((rows) => rows[0]?.message.length ?? 0)
  expect(one).toBeGreaterThan(two ?? 0)
  await commit(all.store, first.change)
  const told = () => recipients.flatMap(({ id }) => parts.sessions.of(id)).map((s) => s.headsTold)
  const toldFirst = told()
  expect(toldFirst.map((digests) => digests?.length)).toEqual([16])
  const next = fanout.seal([all.message()], new Map())
  if (!next) throw new Error('not sealed')
  expect(next.rows[0]?.[0]?.message.length).toBe(two)
  await commit(all.store, next.change)
  expect(told()).toEqual(toldFirst)
})
