/** Waiting: for a connection, for somebody to be there, and for a message to be sent. docs/protocol.md section 8, Out; one part alone. */

import { expect, test, vi } from 'vitest'
import { PadlockError } from '../../../src/errors.ts'
import { hourMs, minuteMs } from '../../../src/protocol/limits.ts'
import { MessageState } from '../../../src/store/tables.ts'
import { until } from '../../support/engine.ts'
import { anAddress } from '../../support/engine-context.ts'
import { anOutbox } from '../../support/outbox-part.ts'

test('a request without an answer goes out again with the same bytes, after a while or when the connection comes', async () => {
  const all = await anOutbox()
  const [peer] = all.aPeer()
  if (!peer) return
  await all.run()
  all.answers.push(new PadlockError('network_unavailable'), new PadlockError('unavailable'))
  const { id } = await all.outbox.send(all.conversationWith(peer.address), 'hello')
  await until(() => all.requests.length === 1)
  await until(() => all.waits.some((ms) => ms <= 500))
  all.turn(500)
  await until(() => all.requests.length === 2)
  await until(() => all.waits.some((ms) => ms > 250 && ms <= 1_000))
  all.outbox.setLive(true)
  await until(() => all.requests.length === 3)
  await until(async () => (await all.message(id)).state === MessageState.SENT)
  expect(all.requests[1]).toEqual(all.requests[0])
  expect(all.requests[2]).toEqual(all.requests[0])
  expect(all.warned('network_unavailable')).toBe(1)
})

test('a node that asks for patience is given it', async () => {
  const all = await anOutbox()
  const [peer] = all.aPeer()
  if (!peer) return
  await all.run()
  all.answers.push(new PadlockError('rate_limited', { details: { retryAfterMs: 20_000 } }))
  await all.outbox.send(all.conversationWith(peer.address), 'hello')
  await until(() => all.waits.includes(20_000))
  all.turn(19_999)
  expect(all.requests).toHaveLength(1)
  all.turn(1)
  await until(() => all.requests.length === 2)
})

test('a claim that fails holds up only those that need a session; others go out at once', async () => {
  const all = await anOutbox()
  const [friend] = all.aPeer()
  const [newcomer] = all.aPeer()
  if (!friend || !newcomer) return
  await all.run()
  const first = await all.outbox.send(all.conversationWith(friend.address), 'a session now')
  await until(async () => (await all.message(first.id)).state === MessageState.SENT)
  all.refusal.claims = new PadlockError('rate_limited', { details: { retryAfterMs: 40_000 } })
  const held = await all.outbox.send(all.conversationWith(newcomer.address), 'you first')
  const { id } = await all.outbox.send(all.conversationWith(friend.address), 'not held up')
  await until(async () => (await all.message(id)).state === MessageState.SENT)
  expect((await all.message(held.id)).state).toBe(MessageState.PENDING)
  expect(all.warned('rate_limited')).toBeGreaterThan(0)
  all.refusal.claims = undefined
  await all.idle()
  all.turn(40_000)
  await until(async () => (await all.message(held.id)).state === MessageState.SENT)
})

test('a held message keeps later ones of its conversation behind it, even once they could go', async () => {
  const all = await anOutbox()
  const [newcomer] = all.aPeer()
  if (!newcomer) return
  await all.run()
  all.refusal.claims = new PadlockError('rate_limited', { details: { retryAfterMs: 40_000 } })
  const first = await all.outbox.send(all.conversationWith(newcomer.address), 'first')
  await until(() => all.warned('rate_limited') > 0)
  all.refusal.claims = undefined
  await all.outbox.send(all.conversationWith(newcomer.address), 'second')
  await all.idle()
  expect(all.requests).toEqual([])
  all.turn(40_000)
  await until(async () => (await all.message(first.id)).state === MessageState.SENT)
  await until(async () => (await all.entries()).length === 0)
  const sealed = all.fanout.calls.flatMap(({ messages }) => messages.map(({ content }) => content))
  const words = sealed.map((content) => /first|second/.exec(new TextDecoder().decode(content))?.[0])
  expect(words).toEqual(['first', 'second'])
})

test('what waits for an account that is denied is given up', async () => {
  const all = await anOutbox()
  const nobody = anAddress()
  await all.run()
  const id = all.conversationWith(nobody)
  const message = await all.outbox.send(id, 'never mind')
  await until(async () => (await all.message(message.id)).reason === 'no_installation')
  await all.outbox.giveUp(id, 'sender_denied')
  expect(await all.message(message.id)).toMatchObject({ reason: 'sender_denied' })
  expect(await all.entries()).toEqual([])
})

test('a look-up that fails holds up only the accounts that nobody follows', async () => {
  const all = await anOutbox()
  const [followed] = all.aPeer()
  const [other] = all.aPeer()
  if (!followed || !other) return
  const { coverage } = all.directory
  const own = all.context.account.address
  coverage.follow(new Set([own, followed.address]))
  coverage.onFrame()
  coverage.onCaughtUp()
  await all.run()
  all.directory.refuse = new PadlockError('unavailable')
  const held = await all.outbox.send(all.conversationWith(other.address), 'later')
  const { id } = await all.outbox.send(all.conversationWith(followed.address), 'now')
  await until(async () => (await all.message(id)).state === MessageState.SENT)
  expect((await all.message(held.id)).state).toBe(MessageState.PENDING)
  all.directory.refuse = undefined
  await all.idle()
  all.turn(1_000)
  await until(async () => (await all.message(held.id)).state === MessageState.SENT)
})

test('a message for nobody waits and says so: for an hour, or until that account is heard of', async () => {
  const all = await anOutbox()
  const address = anAddress()
  await all.run()
  const { id } = await all.outbox.send(all.conversationWith(address), 'hello')
  await until(async () => (await all.message(id)).reason === 'no_installation')
  await all.idle()
  const [peer] = all.aPeer(address)
  if (!peer) return
  all.turn(hourMs / 2)
  // News of somebody else is none: it wakes nothing, and does not make it wait longer.
  all.outbox.retry(anAddress())
  await all.idle()
  expect(all.waits).toEqual([hourMs])
  all.turn(hourMs / 2 - 1)
  await all.idle()
  expect(all.requests).toEqual([])
  all.turn(1)
  await until(async () => (await all.message(id)).state === MessageState.SENT)
  expect(await all.message(id)).toMatchObject({ reason: '' })
})

test('waiting for a message ends when it was sent, or with its state when the time is over', async () => {
  const all = await anOutbox()
  const [peer] = all.aPeer()
  if (!peer) return
  await all.outbox.load()
  const never = new AbortController().signal
  const { id } = await all.outbox.send(all.conversationWith(peer.address), 'hello')
  const early = all.outbox.whenSent(id, 1_000, never)
  await all.idle()
  all.turn(1_000)
  expect((await early).state).toBe('pending')
  const late = all.outbox.whenSent(id, hourMs, never)
  void all.outbox.run()
  all.outbox.setLive(true)
  expect(await late).toMatchObject({ id, state: 'sent' })
  expect(await all.outbox.whenSent(id, hourMs, never)).toMatchObject({ id, state: 'sent' })
  await expect(all.outbox.whenSent('none', hourMs, never)).rejects.toMatchObject({
    code: 'invalid_argument',
  })
  const gone = new AbortController()
  const other = await all.outbox.send(all.conversationWith(anAddress()), 'hello?')
  const stopped = all.outbox.whenSent(other.id, hourMs, gone.signal)
  gone.abort()
  expect((await stopped).state).toBe('pending')
})

test('back-off begins anew after something worked, and when the connection comes', async () => {
  const all = await anOutbox()
  const [peer] = all.aPeer()
  if (!peer) return
  await all.run()
  const id = all.conversationWith(peer.address)
  const fail = () => new PadlockError('network_unavailable')
  const failedTimes = async (count: number) => {
    await until(() => all.warned('network_unavailable') === count)
    await until(() => all.waits.length > 0)
  }
  all.answers.push(fail(), fail(), fail(), fail())
  const first = await all.outbox.send(id, 'one')
  for (let n = 1; n <= 4; n += 1) {
    await failedTimes(n)
    // Half a second, one, two and four, each between half and all of it.
    const [wait = 0] = all.waits
    expect(wait).toBeGreaterThan(250 * 2 ** (n - 1) - 1)
    expect(wait).toBeLessThanOrEqual(500 * 2 ** (n - 1))
    all.turn(Math.ceil(wait))
  }
  await until(async () => (await all.message(first.id)).state === MessageState.SENT)
  all.answers.push(fail(), fail(), fail(), fail(), fail())
  await all.idle()
  await all.outbox.send(id, 'two')
  await failedTimes(5)
  expect(all.waits[0]).toBeLessThanOrEqual(500)
  for (let n = 6; n <= 8; n += 1) {
    all.turn(minuteMs)
    await failedTimes(n)
  }
  expect(all.waits[0]).toBeGreaterThan(1_000)
  all.outbox.setLive(true)
  await failedTimes(9)
  expect(all.waits[0]).toBeLessThanOrEqual(500)
})

test('news that comes while nobody is found is not missed: the message is tried again at once', async () => {
  const all = await anOutbox()
  const address = anAddress()
  await all.run()
  await all.idle()
  const recipients = vi.spyOn(all.directory, 'recipients').mockImplementationOnce(async () => {
    all.aPeer(address)
    all.outbox.retry(address)
    return []
  })
  const { id } = await all.outbox.send(all.conversationWith(address), 'hello')
  await until(async () => (await all.message(id)).state === MessageState.SENT)
  expect(recipients.mock.calls.length).toBeGreaterThan(1)
})

test('news of others that comes meanwhile does not make a waiting message be tried again', async () => {
  const all = await anOutbox()
  await all.run()
  await all.idle()
  const recipients = vi.spyOn(all.directory, 'recipients').mockImplementation(async () => {
    all.outbox.retry(anAddress())
    return []
  })
  const { id } = await all.outbox.send(all.conversationWith(anAddress()), 'hello')
  await until(async () => (await all.message(id)).reason === 'no_installation')
  await all.idle()
  const asked = recipients.mock.calls.length
  expect(all.waits).toEqual([hourMs])
  all.outbox.retry(anAddress())
  await all.idle()
  expect(recipients.mock.calls).toHaveLength(asked)
})

test('when the connection comes, every waiting message is tried at once; nothing piles up', async () => {
  const all = await anOutbox()
  const address = anAddress()
  await all.run()
  const { id } = await all.outbox.send(all.conversationWith(address), 'hello')
  await until(async () => (await all.message(id)).reason === 'no_installation')
  for (let n = 0; n < 5; n += 1) await all.outbox.send(all.conversationWith(anAddress()), 'hello?')
  await until(() => all.waits.length > 0)
  all.aPeer(address)
  all.outbox.setLive(false)
  all.outbox.setLive(true)
  await until(async () => (await all.message(id)).state === MessageState.SENT)
  await all.idle()
  expect(all.waits).toHaveLength(1)
})

test('the application is told once why a message waits, and once that it was sent', async () => {
  const all = await anOutbox()
  const address = anAddress()
  await all.run()
  const { id } = await all.outbox.send(all.conversationWith(address), 'hello')
  const told = () =>
    all.events.flatMap((event) =>
      event.kind === 'message-state' && event.message.id === id
        ? [`${event.message.state} ${event.message.reason ?? ''}`]
        : [],
    )
  await until(() => told().length === 1)
  await all.idle()
  // Still nobody: nothing new to tell.
  all.outbox.retry(address)
  await until(() => all.waits.length > 0)
  all.turn(hourMs)
  await all.idle()
  expect(told()).toEqual(['pending no_installation'])
  all.aPeer(address)
  all.outbox.retry(address)
  await until(async () => (await all.message(id)).state === MessageState.SENT)
  await all.idle()
  expect(told()).toEqual(['pending no_installation', 'sent '])
})

test('waiting for one message does not end with another', async () => {
  const all = await anOutbox()
  const [peer] = all.aPeer()
  if (!peer) return
  await all.run()
  const waiting = await all.outbox.send(all.conversationWith(anAddress()), 'hello?')
  await until(async () => (await all.message(waiting.id)).reason === 'no_installation')
  await all.idle()
  let isOver = false
  const never = new AbortController().signal
  void all.outbox.whenSent(waiting.id, hourMs, never).then(() => {
    isOver = true
  })
  await until(() => all.waits.length === 2)
  const { id } = await all.outbox.send(all.conversationWith(peer.address), 'hello')
  await until(async () => (await all.message(id)).state === MessageState.SENT)
  await until(() => all.waits.length === 2)
  expect(isOver).toBe(false)
})

test('section 8: the node is asked about the accounts that a message goes to before it is sealed', async () => {
  const all = await anOutbox()
  const address = anAddress()
  await all.run()
  const refresh = vi.spyOn(all.directory, 'refresh').mockImplementation(async (addresses) => {
    if (addresses.includes(address) && !all.directory.people.has(address)) all.aPeer(address)
  })
  const { id } = await all.outbox.send(all.conversationWith(address), 'hello')
  await until(async () => (await all.message(id)).state === MessageState.SENT)
  expect([...(refresh.mock.calls[0]?.[0] ?? [])].sort()).toEqual(
    [all.context.account.address, address].sort(),
  )
})
