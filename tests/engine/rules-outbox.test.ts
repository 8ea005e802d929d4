/** Publishing: order, refusals, limits and what is saved when. docs/protocol.md section 8, Out; one part alone. */

import { expect, test, vi } from 'vitest'
import type { Account, Context } from '../../src/engine/context.ts'
import type { KnownInstallation } from '../../src/engine/directory.ts'
import { PadlockError, type PadlockErrorCode } from '../../src/errors.ts'
import type { OutgoingEnvelope } from '../../src/network/network.ts'
import { encodeHex } from '../../src/protocol/bytes.ts'
import { type Address, buildConversationId } from '../../src/protocol/ids.ts'
import { messageTopic } from '../../src/protocol/topics.ts'
import { MessageState, put, tables } from '../../src/store/tables.ts'
import { until } from '../support/engine.ts'
import {
  aClaimedKey,
  aDevice,
  anAddress,
  aPartWorld,
  known,
  sendingParts,
} from '../support/engine-context.ts'

const minuteMs = 60_000
const hourMs = 60 * minuteMs
const dayMs = 24 * hourMs
const mib = 1_048_576

type Answer = Error | undefined

/** One part alone, over a node that answers each request as the test says. */
const anOutbox = async () => {
  const devices = new Map<string, Account>()
  const world = await aPartWorld()
  const requests: (readonly OutgoingEnvelope[])[] = []
  /** What the next requests are answered with; then each is taken. */
  const answers: Answer[] = []
  let inFlight = 0
  let mostInFlight = 0
  let nodeNs = 1_000_000n
  const seenAtPublish: { readonly sealed: boolean; readonly rows: number }[][] = []
  const context: Context = {
    ...world.context,
    network: {
      ...world.context.network,
      claimPrekeys: async (_, ids) =>
        ids.flatMap((id) => {
          const device = devices.get(id)
          return device ? [aClaimedKey(device)] : []
        }),
      publish: async (envelopes) => {
        inFlight += 1
        mostInFlight = Math.max(mostInFlight, inFlight)
        requests.push(envelopes)
        const stored = await world.store.scan(tables.outbox, { after: 0, limit: 100 })
        seenAtPublish.push(
          stored.rows.map(({ value }) => ({ sealed: value.sealed, rows: value.rows.length })),
        )
        await Promise.resolve()
        inFlight -= 1
        const answer = answers.shift()
        if (answer) throw answer
        nodeNs += 1n
        return envelopes.map((_, nth) => ({ sequence: BigInt(nth + 1), nodeNs }))
      },
    },
  }
  await world.store.advance([], () => ({
    writes: [put(tables.times, 'times', {})],
    result: undefined,
  }))
  const parts = sendingParts(context)
  const { outbox, directory } = parts
  const aPeer = (address: Address = anAddress(), count = 1): readonly KnownInstallation[] => {
    const installations = Array.from({ length: count }, () => {
      const device = aDevice(address)
      devices.set(device.installationId, device)
      return known(device)
    })
    directory.people.set(address, [...(directory.people.get(address) ?? []), ...installations])
    return installations
  }
  const conversationWith = (address: Address) =>
    buildConversationId(context.account.address, address)
  const run = async () => {
    await outbox.load()
    void outbox.run()
    outbox.setOnline(true)
  }
  const idle = () => until(() => world.waits.length > 0)
  const message = async (id: string) =>
    (await world.store.get(tables.messages, id))?.value ?? {
      state: undefined,
      reason: undefined,
      nodeNs: undefined,
    }
  const entries = async () =>
    (await world.store.scan(tables.outbox, { after: 0, limit: 100 })).rows.map(({ value }) => value)
  const warned = (code: PadlockErrorCode) =>
    context.status.current.warnings.find((warning) => warning.code === code)?.count ?? 0
  return {
    ...world,
    context,
    ...parts,
    requests,
    answers,
    seenAtPublish,
    mostInFlight: () => mostInFlight,
    aPeer,
    conversationWith,
    run,
    idle,
    message,
    entries,
    warned,
    get waits() {
      return world.waits
    },
  }
}

const refusal = (code: PadlockErrorCode, envelopeIndex?: number): PadlockError =>
  new PadlockError(code, envelopeIndex === undefined ? {} : { details: { envelopeIndex } })

const topicsOf = (request: readonly OutgoingEnvelope[] | undefined) =>
  (request ?? []).map(({ topic }) => topic)

test('messages leave in the order of composition, one request at a time, sealed on the disk before', async () => {
  const all = await anOutbox()
  const [peer] = all.aPeer()
  if (!peer) return
  await all.run()
  const id = all.conversationWith(peer.address)
  const messages = []
  for (const text of ['one', 'two', 'three']) messages.push(await all.outbox.send(id, text))
  for (const { id: name } of messages) {
    await until(async () => (await all.message(name)).state === MessageState.SENT)
  }
  expect(all.mostInFlight()).toBe(1)
  expect(all.requests.flat()).toHaveLength(3)
  // Whatever was on its way lay sealed in the store, with its bytes.
  for (const [at, request] of all.requests.entries()) {
    const sealed = all.seenAtPublish[at]?.filter((one) => one.sealed) ?? []
    expect(sealed.reduce((sum, { rows }) => sum + rows, 0)).toBe(request.length)
  }
  const sealings = all.committed.filter(({ tables: names }) => names.includes('sessions'))
  expect(sealings.length).toBeGreaterThan(0)
  for (const { tables: names, durability } of sealings) {
    expect(durability).toBe('strict')
    expect(names).toEqual(expect.arrayContaining(['sessions', 'outbox', 'sent']))
  }
  const times = await Promise.all(
    messages.map(async ({ id: name }) => (await all.message(name)).nodeNs),
  )
  expect([...times].sort()).toEqual(times)
  await all.idle()
  expect(await all.entries()).toEqual([])
  // The row goes with the message's new state.
  const sent = all.committed.filter(({ tables: names }) => names.includes('messages')).slice(-1)
  expect(sent[0]?.tables).toEqual(expect.arrayContaining(['messages', 'outbox']))
})

test('what no answer came to goes out again with the same bytes, after a while or when the connection comes', async () => {
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
  all.outbox.setOnline(true)
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

test('nothing leaves while offline', async () => {
  const all = await anOutbox()
  const [peer] = all.aPeer()
  if (!peer) return
  await all.outbox.load()
  void all.outbox.run()
  const { id } = await all.outbox.send(all.conversationWith(peer.address), 'hello')
  await all.idle()
  all.turn(2 * hourMs)
  await all.idle()
  expect(all.requests).toEqual([])
  expect(await all.message(id)).toMatchObject({ state: MessageState.PENDING, reason: '' })
  all.outbox.setOnline(true)
  await until(async () => (await all.message(id)).state === MessageState.SENT)
})

test('a final refusal of one message gives up that one, and the others go', async () => {
  const all = await anOutbox()
  const peers = [all.aPeer(anAddress(), 2), all.aPeer(anAddress(), 3), all.aPeer()].flat()
  const addresses = [...new Set(peers.map(({ address }) => address))]
  await all.outbox.load()
  const ids: string[] = []
  for (const address of addresses) {
    ids.push((await all.outbox.send(all.conversationWith(address), 'hello')).id)
  }
  // Of six envelopes the fifth, counted from 0: the last of the second message.
  all.answers.push(refusal('too_large', 4))
  void all.outbox.run()
  all.outbox.setOnline(true)
  await until(async () => (await all.message(ids[2] ?? '')).state === MessageState.SENT)
  expect(all.requests.map(({ length }) => length)).toEqual([6, 3])
  expect(await all.message(ids[0] ?? '')).toMatchObject({ state: MessageState.SENT })
  expect(await all.message(ids[1] ?? '')).toMatchObject({
    state: MessageState.PENDING,
    reason: 'too_large',
  })
  await all.idle()
  expect(await all.entries()).toEqual([])
  expect(all.warned('too_large')).toBe(1)
  const never = new AbortController().signal
  await expect(all.outbox.whenSent(ids[1] ?? '', 1_000, never)).rejects.toMatchObject({
    code: 'too_large',
  })
})

test.each([2, 99])(
  'a refusal of envelope %s of two is no answer: nothing is given up',
  async (index) => {
    const all = await anOutbox()
    const [peer] = all.aPeer(anAddress(), 2)
    if (!peer) return
    all.answers.push(refusal('too_large', index), refusal('recipient_gone', index))
    await all.run()
    const { id } = await all.outbox.send(all.conversationWith(peer.address), 'hello')
    for (const count of [1, 2]) {
      await until(() => all.requests.length === count)
      await until(() => all.warned('bad_response') === count)
      await until(() => all.waits.length > 0)
      expect((await all.message(id)).state).toBe(MessageState.PENDING)
      all.turn(minuteMs)
    }
    await until(async () => (await all.message(id)).state === MessageState.SENT)
  },
)

test('on recipient_gone the topics are read again: of a revoked device the row goes, the rest is published', async () => {
  const all = await anOutbox()
  const [phone, tablet] = all.aPeer(anAddress(), 2)
  if (!phone || !tablet) return
  all.directory.onReread = (address) => {
    all.directory.people.set(address, [{ ...phone, revokedNs: 5n }, tablet])
  }
  all.answers.push(refusal('recipient_gone', 0))
  await all.run()
  const { id } = await all.outbox.send(all.conversationWith(phone.address), 'hello')
  await until(async () => (await all.message(id)).state === MessageState.SENT)
  expect(all.directory.rereads).toEqual([phone.address])
  expect(all.requests.map(topicsOf)).toEqual([
    [messageTopic(phone.id), messageTopic(tablet.id)],
    [messageTopic(tablet.id)],
  ])
  // The same bytes.
  expect(all.requests[1]?.[0]).toEqual(all.requests[0]?.[1])
})

test('if no row of the peer is left the message is pending again, and encrypted anew under the same id', async () => {
  const all = await anOutbox()
  const own = all.aPeer(all.context.account.address)
  const [phone] = all.aPeer()
  const [tablet] = phone ? all.aPeer(phone.address) : []
  if (!phone || !tablet || own.length === 0) return
  all.directory.people.set(phone.address, [phone])
  all.directory.onReread = (address) => {
    if (address === phone.address) all.directory.people.set(address, [{ ...phone, revokedNs: 5n }])
  }
  all.answers.push(refusal('recipient_gone', 0))
  await all.run()
  const { id } = await all.outbox.send(all.conversationWith(phone.address), 'hello')
  await until(async () => (await all.message(id)).reason === 'no_installation')
  await all.idle()
  // Nothing went to own devices either.
  expect(all.requests).toHaveLength(1)
  expect(await all.entries()).toMatchObject([{ sealed: false, rows: [], messageId: id }])
  all.directory.people.set(phone.address, [tablet])
  all.outbox.retry(phone.address)
  await until(async () => (await all.message(id)).state === MessageState.SENT)
  expect(topicsOf(all.requests.at(-1)).sort()).toEqual(
    [tablet, ...own].map((one) => messageTopic(one.id)).sort(),
  )
})

test('recipient_gone of a device that its topics call valid is the node’s fault: the row is kept', async () => {
  const all = await anOutbox()
  const [phone] = all.aPeer()
  if (!phone) return
  all.answers.push(refusal('recipient_gone', 0))
  await all.run()
  const { id } = await all.outbox.send(all.conversationWith(phone.address), 'hello')
  await until(() => all.warned('node_withholding') === 1)
  await until(() => all.waits.length > 0)
  expect(await all.entries()).toMatchObject([{ sealed: true, rows: [{}] }])
  all.turn(minuteMs)
  await until(async () => (await all.message(id)).state === MessageState.SENT)
  expect(all.requests[1]).toEqual(all.requests[0])
})

test('what installations say to each other is given up when its recipient is gone, and nobody is told', async () => {
  const all = await anOutbox()
  const [phone] = all.aPeer()
  if (!phone) return
  await all.run()
  const fresh = await all.fanout.prepareNew(phone)
  if (!fresh) throw new Error('no session')
  const content = new Uint8Array(3)
  const conversationId = all.conversationWith(phone.address)
  const sealed = all.fanout.seal(
    [{ conversationId, content, composedNs: 1n, recipients: [phone] }],
    new Map([[phone.id, fresh]]),
  )
  const entry = all.outbox.internalEntry(phone.address, sealed?.rows[0] ?? [])
  expect(entry.record).toMatchObject({ messageId: '', conversationId, sealed: true })
  await all.store.advance([], () => ({
    writes: [put(tables.outbox, entry.number, entry.record)],
    result: undefined,
  }))
  all.directory.people.set(phone.address, [])
  all.answers.push(refusal('recipient_gone', 0))
  all.events.length = 0
  all.outbox.enqueue(entry)
  await until(async () => (await all.entries()).length === 0)
  await all.idle()
  expect(all.requests).toHaveLength(1)
  expect(all.events.filter(({ kind }) => kind === 'message-state')).toEqual([])
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
  // News of somebody else is none, and does not make it wait longer.
  all.outbox.retry(anAddress())
  await until(() => all.waits.includes(hourMs / 2))
  all.turn(hourMs / 2 - 1)
  await all.idle()
  expect(all.requests).toEqual([])
  all.turn(1)
  await until(async () => (await all.message(id)).state === MessageState.SENT)
  expect(await all.message(id)).toMatchObject({ reason: '' })
})

test('what waits for one account does not hold up another', async () => {
  const all = await anOutbox()
  const [peer] = all.aPeer()
  if (!peer) return
  await all.run()
  const waiting = await all.outbox.send(all.conversationWith(anAddress()), 'hello?')
  const { id } = await all.outbox.send(all.conversationWith(peer.address), 'hello')
  await until(async () => (await all.message(id)).state === MessageState.SENT)
  expect((await all.message(waiting.id)).state).toBe(MessageState.PENDING)
})

test('a note to oneself without other devices is sent at once, with node time', async () => {
  const all = await anOutbox()
  await all.run()
  const { id } = await all.outbox.send(all.conversationWith(all.context.account.address), 'note')
  await until(async () => (await all.message(id)).state === MessageState.SENT)
  expect((await all.message(id)).nodeNs).toBe(all.context.time.nodeNs())
  expect(all.requests).toEqual([])
})

/** Sealed rows that lie in the store, each of so many bytes. */
const storeSealed = async (
  { store, clock, context, conversationWith }: Awaited<ReturnType<typeof anOutbox>>,
  sizes: readonly (readonly number[])[],
  sealedMs = clock.nowMs,
) => {
  const address = anAddress()
  const conversationId = conversationWith(address)
  await store.advance([], () => ({
    writes: sizes.flatMap((rows, nth) => [
      put(
        tables.messages,
        `message ${nth}`,
        {
          messageId: `message ${nth}`,
          conversationId,
          sender: context.account.address,
          senderInstallation: context.account.installationId,
          composedNs: BigInt(nth + 1),
          content: new Uint8Array(),
          state: MessageState.PENDING,
        },
        store.nextNumber(tables.messages),
      ),
      put(tables.outbox, store.nextNumber(tables.outbox), {
        messageId: `message ${nth}`,
        conversationId,
        composedNs: BigInt(nth + 1),
        sealed: true,
        sealedMs: BigInt(sealedMs),
        rows: rows.map((size) => ({
          topic: messageTopic(`${'A'.repeat(43)}` as Parameters<typeof messageTopic>[0]),
          message: new Uint8Array(size),
          address,
        })),
      }),
    ]),
    result: undefined,
  }))
  return address
}

const ones = (count: number): readonly number[] => Array.from({ length: count }, () => 1)

test.each([
  ['500 envelopes', [ones(300), ones(200), ones(1)], [500, 1]],
  ['all envelopes of a message', [ones(300), ones(201), ones(1)], [300, 202]],
  ['25 MiB', [[24 * mib], [mib], [1]], [2, 1]],
  ['whole messages within 25 MiB', [[24 * mib], [mib + 1], [1]], [1, 2]],
])(
  'a request holds %s at most, and messages in their order: section 11',
  async (_, sizes, expected) => {
    const all = await anOutbox()
    await storeSealed(all, sizes)
    await all.run()
    await until(async () => (await all.message('message 2')).state === MessageState.SENT)
    expect(all.requests.map(({ length }) => length)).toEqual(expected)
    const sent = all.requests.flat().map(({ message }) => message.length)
    expect(sent).toEqual(sizes.flat())
  },
)

test('each message has the time of its own receipt, and those of one request the same', async () => {
  const all = await anOutbox()
  await storeSealed(all, [ones(499), ones(1), ones(1)])
  await all.run()
  await until(async () => (await all.message('message 2')).state === MessageState.SENT)
  const times = await Promise.all(
    [0, 1, 2].map(async (nth) => (await all.message(`message ${nth}`)).nodeNs),
  )
  expect(times[1]).toBe(times[0])
  expect(Number(times[2])).toBeGreaterThan(Number(times[1]))
})

test('bytes that no node took for fourteen days are dropped, and the message is encrypted anew', async () => {
  const all = await anOutbox()
  const address = await storeSealed(all, [ones(1)])
  const [peer] = all.aPeer(address)
  all.turn(14 * dayMs)
  all.answers.push(new PadlockError('network_unavailable'))
  await all.run()
  await until(() => all.requests.length === 1)
  await until(() => all.waits.length > 0)
  expect(all.requests[0]?.[0]?.message).toHaveLength(1)
  all.turn(minuteMs)
  await until(() => all.requests.length === 2)
  expect(topicsOf(all.requests[1])).toEqual([messageTopic(peer?.id ?? ('' as never))])
  expect(all.requests[1]?.[0]?.message.length).toBeGreaterThan(512)
  await until(async () => (await all.message('message 0')).state === MessageState.SENT)
})

test('a message and its bytes come back after a restart, with nothing lost and nothing sent twice', async () => {
  const all = await anOutbox()
  const [peer] = all.aPeer()
  if (!peer) return
  all.answers.push(...Array.from({ length: 50 }, () => new PadlockError('network_unavailable')))
  await all.run()
  const { id } = await all.outbox.send(all.conversationWith(peer.address), 'hello')
  await until(() => all.requests.length === 1)
  await until(() => all.waits.length > 0)
  all.outbox.setOnline(false)
  all.answers.length = 0
  const again = sendingParts(all.context)
  again.directory.people.set(peer.address, [peer])
  await again.outbox.load()
  void again.outbox.run()
  again.outbox.setOnline(true)
  await until(async () => (await all.message(id)).state === MessageState.SENT)
  const [first, second] = all.requests.map((request) =>
    encodeHex(request[0]?.message ?? new Uint8Array()),
  )
  expect(second).toBe(first)
  expect(all.requests).toHaveLength(2)
})

test('whoever waits for a message hears that it was sent, or how it is when the wait is over', async () => {
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
  all.outbox.setOnline(true)
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
  all.outbox.setOnline(true)
  await failedTimes(9)
  expect(all.waits[0]).toBeLessThanOrEqual(500)
})

test('news that come while nobody is found are not missed: the message is tried again at once', async () => {
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

test('when the connection comes everything that waits is tried at once; nothing piles up', async () => {
  const all = await anOutbox()
  const address = anAddress()
  await all.run()
  const { id } = await all.outbox.send(all.conversationWith(address), 'hello')
  await until(async () => (await all.message(id)).reason === 'no_installation')
  for (let n = 0; n < 5; n += 1) await all.outbox.send(all.conversationWith(anAddress()), 'hello?')
  await until(() => all.waits.length > 0)
  all.aPeer(address)
  all.outbox.setOnline(false)
  all.outbox.setOnline(true)
  await until(async () => (await all.message(id)).state === MessageState.SENT)
  await all.idle()
  expect(all.waits).toHaveLength(1)
})

test('times of composition go on above those of before a restart, whatever the clock says', async () => {
  const all = await anOutbox()
  const above = BigInt(all.clock.nowMs + dayMs) * 1_000_000n
  await all.store.advance([], () => ({
    writes: [put(tables.times, 'times', { lastComposedNs: above })],
    result: undefined,
  }))
  await all.outbox.load()
  const { id } = await all.outbox.send(all.conversationWith(anAddress()), 'hello')
  const row = await all.store.get(tables.messages, id)
  expect(row?.value.composedNs).toBe(above + 1n)
  expect((await all.store.get(tables.times, 'times'))?.value.lastComposedNs).toBe(above + 1n)
})

test('messages never take a session past its thousandth send: the rest goes on a new one', async () => {
  const all = await anOutbox()
  const [peer] = all.aPeer()
  if (!peer) return
  const made = await all.fanout.prepareNew(peer)
  if (!made) throw new Error('no session')
  const nearly = { ...made, sentSince: 998 }
  await all.store.advance([], () => ({
    writes: all.sessions.writes([nearly]),
    result: undefined,
  }))
  all.sessions.committed([nearly])
  await all.outbox.load()
  const ids: string[] = []
  for (const text of ['one', 'two', 'three']) {
    ids.push((await all.outbox.send(all.conversationWith(peer.address), text)).id)
  }
  void all.outbox.run()
  all.outbox.setOnline(true)
  for (const id of ids) {
    await until(async () => (await all.message(id)).state === MessageState.SENT)
  }
  expect(all.requests.map(({ length }) => length)).toEqual([2, 1])
  const sends = all.sessions.of(peer.id).map(({ sentSince }) => sentSince)
  expect(sends.sort()).toEqual([1, 1_000])
})

test('the application is told why a message waits once, and that it was sent once', async () => {
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

test('who waits for one message is not woken by another', async () => {
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

test('a message whose envelopes no request could hold is given up before it is encrypted', async () => {
  const all = await anOutbox()
  const address = anAddress()
  // 900 KiB for each of thirty devices is more than 25 MiB.
  all.aPeer(address, 30)
  await all.run()
  const { id } = await all.outbox.send(all.conversationWith(address), 'x'.repeat(890 * 1024))
  await until(async () => (await all.message(id)).reason === 'message_too_large')
  await all.idle()
  expect(all.requests).toEqual([])
  expect(await all.entries()).toEqual([])
  expect(all.fanout.calls.flatMap(({ messages }) => messages)).toEqual([])
})

test('what installations say to each other is given up after fourteen days, and nothing is encrypted anew', async () => {
  const all = await anOutbox()
  const [phone] = all.aPeer()
  if (!phone) return
  const rows = [
    {
      topic: messageTopic(phone.id),
      message: new Uint8Array(3),
      digest: new Uint8Array(32),
      address: phone.address,
      recipient: phone.id,
    },
  ]
  const entry = all.outbox.internalEntry(phone.address, rows)
  await all.store.advance([], () => ({
    writes: [put(tables.outbox, entry.number, entry.record)],
    result: undefined,
  }))
  all.turn(14 * dayMs + 1)
  await all.run()
  await until(async () => (await all.entries()).length === 0)
  await all.idle()
  expect(all.requests).toEqual([])
})

test('that old bytes are encrypted anew is stored, so that a crash does not offer them again', async () => {
  const all = await anOutbox()
  await storeSealed(all, [ones(2)])
  all.turn(14 * dayMs + 1)
  await all.run()
  await until(async () => (await all.message('message 0')).reason === 'no_installation')
  await all.idle()
  expect(await all.entries()).toMatchObject([{ sealed: false, rows: [], sealedMs: 0n }])
  expect(all.requests).toEqual([])
})

test('a failure that is no node’s refusal gives up nothing: the message is tried again', async () => {
  const all = await anOutbox()
  const [peer] = all.aPeer()
  if (!peer) return
  await all.run()
  all.answers.push(
    new PadlockError('bad_response'),
    new PadlockError('incompatible_node'),
    new Error('a defect'),
  )
  const { id } = await all.outbox.send(all.conversationWith(peer.address), 'hello')
  for (let count = 1; count <= 3; count += 1) {
    await until(() => all.requests.length === count)
    await until(() => all.waits.length > 0)
    expect(await all.message(id)).toMatchObject({ state: MessageState.PENDING, reason: '' })
    all.turn(minuteMs)
  }
  await until(async () => (await all.message(id)).state === MessageState.SENT)
  for (const code of ['bad_response', 'incompatible_node', 'internal'] as const) {
    expect(all.warned(code)).toBe(1)
  }
})

test('a refusal that names no envelope is of the first message', async () => {
  const all = await anOutbox()
  const peers = [...all.aPeer(), ...all.aPeer()]
  await all.outbox.load()
  const ids: string[] = []
  for (const { address } of peers) {
    ids.push((await all.outbox.send(all.conversationWith(address), 'hello')).id)
  }
  all.answers.push(refusal('malformed'))
  void all.outbox.run()
  all.outbox.setOnline(true)
  await until(async () => (await all.message(ids[1] ?? '')).state === MessageState.SENT)
  expect((await all.message(ids[0] ?? '')).reason).toBe('malformed')
})

test('who was passed over is owed the message in the transaction that marks it sent; what devices say to each other is owed to nobody', async () => {
  const all = await anOutbox()
  const [phone] = all.aPeer()
  if (!phone) return
  const silent = known(aDevice(phone.address))
  all.directory.people.set(phone.address, [phone, silent])
  await all.run()
  const { id } = await all.outbox.send(all.conversationWith(phone.address), 'hello')
  await until(async () => (await all.message(id)).state === MessageState.SENT)
  await all.idle()
  const debts = async () =>
    (await all.store.scan(tables.owed, { after: 0, limit: 9 })).rows.map(({ value }) => [
      value.messageId,
      value.installationId,
    ])
  expect(await debts()).toEqual([[id, silent.id]])
  const marking = all.committed.filter(({ tables: names }) => names.includes('owed'))
  expect(marking.map(({ tables: names }) => [...new Set(names)].sort())).toEqual([
    ['messages', 'outbox', 'owed'],
  ])
  const sealed = all.fanout.seal(
    [
      {
        conversationId: all.conversationWith(phone.address),
        content: new Uint8Array(3),
        composedNs: 1n,
        recipients: [phone],
      },
    ],
    new Map(),
  )
  const entry = all.outbox.internalEntry(phone.address, sealed?.rows[0] ?? [])
  await all.store.advance([], () => ({
    writes: [put(tables.outbox, entry.number, entry.record)],
    result: undefined,
  }))
  all.outbox.enqueue(entry)
  await until(async () => (await all.entries()).length === 0)
  await all.idle()
  expect(await debts()).toHaveLength(1)
})

test('of one request only what was for the gone device is mended: the others keep their bytes', async () => {
  const all = await anOutbox()
  const [phone, other] = [...all.aPeer(), ...all.aPeer()]
  const [own] = all.aPeer(all.context.account.address)
  const [tablet] = phone ? all.aPeer(phone.address) : []
  if (!phone || !other || !own || !tablet) return
  await all.outbox.load()
  const ids: string[] = []
  for (const { address } of [phone, other]) {
    ids.push((await all.outbox.send(all.conversationWith(address), 'hello')).id)
  }
  all.directory.onReread = (address) => {
    if (address === phone.address) {
      all.directory.people.set(address, [{ ...phone, revokedNs: 5n }, tablet])
    }
  }
  all.answers.push(refusal('recipient_gone', 0))
  void all.outbox.run()
  all.outbox.setOnline(true)
  for (const id of ids) {
    await until(async () => (await all.message(id)).state === MessageState.SENT)
  }
  // Phone and tablet, and the own device; then the other account’s, and the own device again.
  expect(all.requests.map(({ length }) => length)).toEqual([5, 4])
  expect(all.requests[1]).toEqual(all.requests[0]?.slice(1))
})
