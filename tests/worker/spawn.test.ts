/** Starting a worker: whatever is wrong with it has a code, and nothing waits forever. */

import { afterEach, expect, test, vi } from 'vitest'
import { PadlockError } from '../../src/errors.ts'
import { readyMessage, type Spawned, spawnWorker } from '../../src/worker/spawn.ts'

afterEach(() => {
  vi.useRealTimers()
})

/** A worker that says only what the test says for it. */
class FakeWorker extends EventTarget implements Worker {
  onmessage: Worker['onmessage'] = null
  onmessageerror: Worker['onmessageerror'] = null
  onerror: Worker['onerror'] = null
  terminated = 0
  readonly listeners = new Map<string, number>()

  postMessage(): void {}

  terminate(): void {
    this.terminated += 1
  }

  override addEventListener(...args: Parameters<EventTarget['addEventListener']>): void {
    this.listeners.set(args[0], (this.listeners.get(args[0]) ?? 0) + 1)
    super.addEventListener(...args)
  }

  override removeEventListener(...args: Parameters<EventTarget['removeEventListener']>): void {
    this.listeners.set(args[0], (this.listeners.get(args[0]) ?? 0) - 1)
    super.removeEventListener(...args)
  }

  say(data: unknown): void {
    this.dispatchEvent(new MessageEvent('message', { data }))
  }

  /** @returns whether the page would report it as an uncaught error. */
  fail(message: string): boolean {
    const event = new Event('error', { cancelable: true })
    Object.assign(event, { message, error: undefined })
    return this.dispatchEvent(event)
  }
}

const failure = (call: Promise<unknown>): Promise<unknown> =>
  call.then(
    () => 'no error',
    (error: unknown) => error,
  )

const started = async (worker: FakeWorker): Promise<Spawned> => {
  const spawning = spawnWorker(() => worker, undefined)
  worker.say(readyMessage)
  return spawning
}

test('a worker that says it is ready is the port', async () => {
  const worker = new FakeWorker()
  const spawned = await started(worker)
  expect(spawned.port).toBe(worker)
  expect(worker.terminated).toBe(0)
  expect([...worker.listeners.values()]).toEqual([0, 0])
  spawned.terminate()
  expect(worker.terminated).toBe(1)
})

test('a worker that never says that it is ready is worker_unavailable and ended', async () => {
  vi.useFakeTimers()
  const worker = new FakeWorker()
  const spawning = failure(spawnWorker(() => worker, undefined))
  worker.say('something else')
  await vi.advanceTimersByTimeAsync(19_000)
  expect(worker.terminated).toBe(0)
  await vi.advanceTimersByTimeAsync(2_000)
  expect(await spawning).toMatchObject({
    code: 'worker_unavailable',
    cause: { message: 'it did not say that it is ready within 20 s' },
  })
  expect(worker.terminated).toBe(1)
  expect(vi.getTimerCount()).toBe(0)
})

test.each([
  [{ padlock: 'ready', release: '0.0.9+0123456789ab' }, '0.0.9+0123456789ab'],
  [{ padlock: 'ready' }, 'unknown'],
  [{ padlock: 'here I am', contract: 7 }, 'unknown'],
  ['padlock worker ready', 'unknown'],
])('a worker of another release, which says %j, is reload_needed at once', async (word, other) => {
  vi.stubGlobal('PADLOCK_RELEASE', '0.1.0+ba9876543210')
  vi.resetModules()
  const { spawnWorker: spawnReleased } = await import('../../src/worker/spawn.ts')
  const worker = new FakeWorker()
  const spawning = failure(spawnReleased(() => worker, undefined))
  worker.say(word)
  expect(await spawning).toMatchObject({
    code: 'reload_needed',
    retryable: false,
    details: { page: '0.1.0+ba9876543210', worker: other },
  })
  expect(worker.terminated).toBe(1)
  vi.unstubAllGlobals()
})

test('a worker that fails to load is worker_unavailable with its reason, told once', async () => {
  const worker = new FakeWorker()
  const spawning = failure(spawnWorker(() => worker, undefined))
  expect(worker.fail('404')).toBe(false)
  const error = await spawning
  expect(error).toBeInstanceOf(PadlockError)
  expect(error).toMatchObject({ code: 'worker_unavailable', cause: '404' })
  expect(worker.terminated).toBe(1)
})

test('a worker that cannot be made at all is worker_unavailable', async () => {
  const blocked = new Error('blocked by the content policy')
  const spawning = spawnWorker(() => {
    throw blocked
  }, undefined)
  expect(await failure(spawning)).toMatchObject({ code: 'worker_unavailable', cause: blocked })
})

test('aborting ends the start and the worker', async () => {
  vi.useFakeTimers()
  const worker = new FakeWorker()
  const abort = new AbortController()
  const spawning = failure(spawnWorker(() => worker, abort.signal))
  abort.abort()
  expect(await spawning).toMatchObject({ code: 'aborted' })
  expect(worker.terminated).toBe(1)
  expect(vi.getTimerCount()).toBe(0)
})

test('what is aborted already makes no worker', async () => {
  let made = 0
  const make = () => {
    made += 1
    return new FakeWorker()
  }
  expect(await failure(spawnWorker(make, AbortSignal.abort()))).toMatchObject({ code: 'aborted' })
  expect(made).toBe(0)
})

test('a worker that fails later says so once, whatever follows', async () => {
  const worker = new FakeWorker()
  const { onFailure } = await started(worker)
  const failures: PadlockError[] = []
  onFailure((error) => failures.push(error))
  worker.fail('out of memory')
  worker.fail('again')
  worker.dispatchEvent(new MessageEvent('messageerror'))
  expect(failures).toHaveLength(1)
  expect(failures[0]).toMatchObject({ code: 'worker_failed', cause: 'out of memory' })
})

test('a message that cannot be read is a failure of the worker', async () => {
  const worker = new FakeWorker()
  const { onFailure } = await started(worker)
  const failures: PadlockError[] = []
  onFailure((error) => failures.push(error))
  worker.dispatchEvent(new MessageEvent('messageerror'))
  expect(failures.map(({ code }) => code)).toEqual(['worker_failed'])
})
