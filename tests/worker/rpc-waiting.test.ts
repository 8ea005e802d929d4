/** How long a call waits: for its time-out, for a side that lives, and for a person. */

import { afterEach, expect, test, vi } from 'vitest'
import { deferred } from '../../src/async.ts'
import { PadlockError } from '../../src/errors.ts'
import { connectRpc } from '../../src/worker/rpc.ts'
import { aPair, type Calculator, connectCalculator, failure, type Host } from './calculator.ts'

afterEach(() => {
  vi.useRealTimers()
})

test('a call that is not answered in time is worker_failed and is cancelled over there', async () => {
  const { caller, cancelled } = connectCalculator()
  const call = caller.remote.wait({ name: 'a' }, { timeoutMs: 30 })
  expect(await failure(call)).toMatchObject({ code: 'worker_failed' })
  await cancelled('a')
})

/** Calls back at every message that a port gets, and counts those that say that a call lives. */
const countAnswers = (port: MessagePort) => {
  let count = 0
  const reached = deferred()
  port.addEventListener('message', ({ data }: MessageEvent<{ alive?: boolean }>) => {
    if (data.alive) count += 1
    if (count === 20) reached.resolve()
  })
  return reached.promise
}

test('a call that takes long is not given up while the other side works on it', async () => {
  const { port1, port2 } = aPair()
  const slow = deferred<number>()
  connectRpc<Calculator, Host>(port2, {
    ...connectCalculator().calculator,
    add: () => slow.promise,
  })
  const { remote } = connectRpc<Host, Calculator>(port1, { ask: async () => '' }, { pingMs: 5 })
  const call = remote.add({ a: 1, b: 1 })
  await Promise.race([countAnswers(port1), call])
  slow.resolve(2)
  expect(await call).toBe(2)
})

test('a side that no longer lives fails a call, however long that may take', async () => {
  const { port1 } = aPair()
  const { remote } = connectRpc<Host, Calculator>(port1, { ask: async () => '' }, { pingMs: 5 })
  expect(await failure(remote.wait({ name: 'a' }))).toMatchObject({ code: 'worker_failed' })
})

test('a side that lives without working on a call fails it', async () => {
  const { port1, port2 } = aPair()
  const { remote } = connectRpc<Host, Calculator>(port1, { ask: async () => '' }, { pingMs: 5 })
  const asked = deferred()
  port2.addEventListener('message', () => asked.resolve(), { once: true })
  const lost = failure(remote.wait({ name: 'a' }))
  await asked.promise
  connectRpc<Calculator, Host>(port2, connectCalculator().calculator)
  expect(await remote.add({ a: 1, b: 1 })).toBe(2)
  expect(await lost).toMatchObject({ code: 'worker_failed' })
})

test('timers that all ran out in a suspension fail no call', async () => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
  const { port1, port2 } = aPair()
  const slow = deferred<number>()
  connectRpc<Calculator, Host>(port2, {
    ...connectCalculator().calculator,
    add: () => slow.promise,
  })
  const { remote } = connectRpc<Host, Calculator>(port1, { ask: async () => '' }, { pingMs: 1_000 })
  const call = remote.add({ a: 1, b: 1 })
  // All questions are due before the first answer can be read.
  vi.advanceTimersByTime(6_000)
  const answered = deferred()
  port1.addEventListener('message', () => answered.resolve(), { once: true })
  await answered.promise
  expect(vi.getTimerCount()).toBe(1)
  slow.resolve(2)
  expect(await call).toBe(2)
  expect(vi.getTimerCount()).toBe(0)
})

test('a call without a time-out waits for as long as a person takes', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  const { caller, started } = connectCalculator()
  let isSettled = false
  const settled = () => {
    isSettled = true
  }
  const call = caller.remote.wait({ name: 'wallet' })
  call.then(settled, settled)
  await started('wallet')
  expect(vi.getTimerCount()).toBe(0)
  vi.advanceTimersByTime(24 * 3_600_000)
  expect(await caller.remote.add({ a: 1, b: 1 })).toBe(2)
  expect(isSettled).toBe(false)
  caller.close(new PadlockError('closed'))
  expect(await failure(call)).toMatchObject({ code: 'closed' })
})

test('an answered call leaves no timer behind', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  const { caller } = connectCalculator()
  expect(await caller.remote.add({ a: 1, b: 1 }, { timeoutMs: 60_000 })).toBe(2)
  expect(vi.getTimerCount()).toBe(0)
})
