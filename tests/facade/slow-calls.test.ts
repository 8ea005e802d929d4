/** Calls that take minutes: what the engine works on is waited for, and its own answer comes out. */
import { afterEach, expect, test, vi } from 'vitest'
import { type Deferred, deferred } from '../../src/async.ts'
import { PadlockError } from '../../src/errors.ts'
import { makeConversation } from '../../src/facade/conversation.ts'
import { connectEngine, type EngineHandle, hostOf } from '../../src/facade/engine-host.ts'
import { streamMessages } from '../../src/facade/stream.ts'
import type { Message, WorkerApi } from '../../src/worker/contract.ts'
import { connectRpc } from '../../src/worker/rpc.ts'

const ports: MessagePort[] = []
afterEach(() => {
  vi.useRealTimers()
  for (const port of ports.splice(0)) port.close()
})

const message = { id: 'one', state: 'sent' } as Message
const info = {
  id: 'dm:a:b',
  peer: 'b',
  createdAtMs: 0,
  lastMessageAtMs: undefined,
  consent: 'allowed' as const,
  messageCount: 0,
  leftOutCount: 0,
}

/** An engine that answers these calls when the test says so. */
const aSlowEngine = (answers: Partial<Record<keyof WorkerApi, Deferred<unknown>>>) => {
  const { port1, port2 } = new MessageChannel()
  ports.push(port1, port2)
  for (const port of [port1, port2]) port.start()
  const asked = deferred()
  port2.addEventListener('message', () => asked.resolve(), { once: true })
  const methods = Object.entries(answers).map(([name, { promise }]) => [name, () => promise])
  connectRpc<object, object>(port2, Object.fromEntries(methods))
  const engine: EngineHandle = { port: port1, wasm: [], terminate: () => undefined }
  const wallet = {
    getAddress: () => Promise.reject(new PadlockError('internal')),
    signText: () => Promise.reject(new PadlockError('internal')),
    findChain: async () => undefined,
  }
  const chains = { ids: new Set<bigint>(), verify: async () => 'unreachable' as const }
  const { remote } = connectEngine(
    engine,
    hostOf(wallet, chains, () => undefined),
  )
  /** Lets minutes pass in steps, as they do: the worker can answer in between. */
  const passMinutes = async (minutes: number): Promise<void> => {
    await asked.promise
    for (let second = 0; second < minutes * 60; second += 10) {
      const answered = deferred()
      port1.addEventListener('message', () => answered.resolve(), { once: true })
      vi.advanceTimersByTime(10_000)
      await answered.promise
    }
  }
  return { remote, passMinutes }
}

test('a send that takes minutes is the one message that was stored, and no failure', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'] })
  const send = deferred<unknown>()
  const { remote, passMinutes } = aSlowEngine({ send })
  const sending = makeConversation(remote, info, () => undefined).send('gm')
  await passMinutes(3)
  send.resolve(message)
  expect(await sending).toEqual(message)
})

test('a slow node is said to be one, by whoever waited for it', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'] })
  const canMessage = deferred<unknown>()
  const { remote, passMinutes } = aSlowEngine({ canMessage })
  const asking = remote.canMessage({ address: 'b' }).catch((error: unknown) => error)
  await passMinutes(3)
  canMessage.reject(new PadlockError('network_unavailable'))
  expect(await asking).toMatchObject({ code: 'network_unavailable' })
})

test('a stream of messages outlives a poll that a suspension made long', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'] })
  const nextMessages = deferred<unknown>()
  const { remote, passMinutes } = aSlowEngine({ nextMessages })
  const messages = streamMessages(remote, undefined, { since: '0' })[Symbol.asyncIterator]()
  const next = messages.next()
  await passMinutes(3)
  nextMessages.resolve({ messages: [message], cursor: '1' })
  expect(await next).toEqual({ done: false, value: message })
})
