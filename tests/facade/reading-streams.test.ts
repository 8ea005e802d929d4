/** Streams of events and messages, however their reader reads them, and whenever it stops. */
import { getEventListeners } from 'node:events'
import { afterEach, expect, test } from 'vitest'
import { deferred } from '../../src/async.ts'
import { PadlockError } from '../../src/errors.ts'
import { EventHub } from '../../src/facade/events.ts'
import type { ClientEvent } from '../../src/facade/message.ts'
import { streamMessages } from '../../src/facade/stream.ts'
import type { WorkerApi } from '../../src/worker/contract.ts'
import { connectRpc } from '../../src/worker/rpc.ts'

const ports: MessagePort[] = []
afterEach(() => {
  for (const port of ports.splice(0)) port.close()
})

const eventOf = (count: number): ClientEvent => ({
  kind: 'status',
  status: { state: 'live', warnings: [{ code: 'gap', message: 'gap', count }] },
})
const manyEvents = (first: number, count: number): readonly ClientEvent[] =>
  Array.from({ length: count }, (_, at) => eventOf(first + at))

const readAll = async (events: AsyncIterable<ClientEvent>) => {
  const read: ClientEvent[] = []
  try {
    for await (const event of events) read.push(event)
  } catch (error) {
    return { read, code: error instanceof PadlockError ? error.code : error }
  }
  return { read, code: undefined }
}

const listenersOf = (signal: AbortSignal): number => getEventListeners(signal, 'abort').length

test('a slow reader gets no event from behind the gap, only the error', async () => {
  const hub = new EventHub()
  const events = hub.listen(undefined)
  hub.push(manyEvents(0, 1_001))
  hub.push(manyEvents(1_001, 5))
  expect(await readAll(events)).toEqual({ read: [], code: 'slow_reader' })
})

test('events that nobody ever reads are let go of with the first that is too many', () => {
  const hub = new EventHub()
  const life = new AbortController()
  hub.listen(life.signal)
  hub.push(manyEvents(0, 1_000))
  expect(listenersOf(life.signal)).toBe(1)
  hub.push(manyEvents(1_000, 1))
  expect(listenersOf(life.signal)).toBe(0)
})

test('a reader that returns before its first event is forgotten', async () => {
  const hub = new EventHub()
  const life = new AbortController()
  const events = hub.listen(life.signal)[Symbol.asyncIterator]()
  await events.return?.()
  expect(listenersOf(life.signal)).toBe(0)
  hub.push([eventOf(1)])
  expect(await events.next()).toEqual({ done: true, value: undefined })
})

test('a reader that returns while it waits for an event waits no longer', async () => {
  const hub = new EventHub()
  const events = hub.listen(undefined)[Symbol.asyncIterator]()
  const next = events.next()
  await events.return?.()
  expect(await next).toEqual({ done: true, value: undefined })
})

test('an aborted reader gets nothing more, not even what is queued', async () => {
  const hub = new EventHub()
  const ending = new AbortController()
  const events = hub.listen(ending.signal)
  hub.push([eventOf(1)])
  ending.abort()
  expect(await readAll(events)).toEqual({ read: [], code: undefined })
})

test('after a close every reader gets what was queued for it, then the reason', async () => {
  const hub = new EventHub()
  const life = new AbortController()
  const events = hub.listen(life.signal)
  hub.push([eventOf(1)])
  hub.close(new PadlockError('closed'))
  expect(listenersOf(life.signal)).toBe(0)
  expect(await readAll(events)).toEqual({ read: [eventOf(1)], code: 'closed' })
  expect(await readAll(hub.listen(undefined))).toEqual({ read: [], code: 'closed' })
})

/** A worker whose poll has not been answered yet. */
const aWorkerThatPolls = () => {
  const { port1, port2 } = new MessageChannel()
  ports.push(port1, port2)
  for (const port of ports) port.start()
  const polled = deferred()
  const cancelled = deferred()
  connectRpc<Pick<WorkerApi, 'lastCursor' | 'nextMessages'>, object>(port2, {
    lastCursor: async () => '7',
    nextMessages: (_, signal) =>
      new Promise((_resolve, reject) => {
        polled.resolve()
        signal.addEventListener('abort', () => {
          cancelled.resolve()
          reject(new PadlockError('aborted'))
        })
      }),
  })
  const { remote } = connectRpc<object, WorkerApi>(port1, {})
  return { remote, polled: polled.promise, cancelled: cancelled.promise }
}

test('a reader of messages that returns while it waits waits no longer, nor does the worker', async () => {
  const { remote, polled, cancelled } = aWorkerThatPolls()
  const life = new AbortController()
  const messages = streamMessages(remote, undefined, { signal: life.signal })[
    Symbol.asyncIterator
  ]()
  const next = messages.next()
  await polled
  await messages.return?.()
  expect(await next).toEqual({ done: true, value: undefined })
  await cancelled
  expect(listenersOf(life.signal)).toBe(0)
})
