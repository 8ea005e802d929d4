/** Files that a server never sends: what needs them fails in time, and says so. */
import { afterEach, expect, test, vi } from 'vitest'
import { chainsFrom } from '../../src/chains/chain-option.ts'
import type { WorkerApi } from '../../src/worker/contract.ts'
import { embeddedWasm, loadWasm } from '../../src/worker/load-wasm.ts'
import { connectRpc } from '../../src/worker/rpc.ts'
import { startEmbeddedWorker } from '../../src/worker/start.ts'

const never = () => new Promise<never>(() => undefined)

// As the browser does it where the file's request stays unanswered.
vi.mock('../../src/chains/asking.ts', () => new Promise<never>(() => undefined))

afterEach(() => {
  vi.useRealTimers()
})

const failure = (call: Promise<unknown>): Promise<unknown> =>
  call.then(
    () => 'no error',
    (error: unknown) => error,
  )

/** What comes of a call after a minute in which nothing is answered. */
const afterAMinute = async (call: () => Promise<unknown>): Promise<unknown> => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  const failed = failure(call())
  // Whatever waits has begun to wait.
  await new Promise((resolve) => setImmediate(resolve))
  vi.advanceTimersByTime(60_000)
  vi.useRealTimers()
  return failed
}

test('the worker of the copy inside the SDK is worker_unavailable', async () => {
  const failed = await afterAMinute(() => startEmbeddedWorker(never, undefined))
  expect(failed).toMatchObject({
    code: 'worker_unavailable',
    details: { tried: 'the copy inside the SDK: no answer in time' },
  })
})

test('the wasm of the copy inside the SDK is wasm_unavailable', async () => {
  const { port1 } = new MessageChannel()
  const { remote } = connectRpc<object, WorkerApi>(port1, {})
  const failed = await afterAMinute(() => loadWasm(remote, [embeddedWasm(never)], {}))
  expect(failed).toMatchObject({ code: 'wasm_unavailable' })
  port1.close()
})

test('a chain whose code does not load is unreachable, and takes no place for good', async () => {
  const chains = chainsFrom({ 1: 'https://rpc.invalid' }, { places: 1 })
  const question = {
    chainId: 1n,
    address: '0x0000000000000000000000000000000000000001',
    hash: new Uint8Array(32),
    signature: new Uint8Array(65),
  } as const
  const verify = () => chains.verify(question, new AbortController().signal)
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  for (const _ of [1, 2]) {
    const asked = verify()
    expect(vi.getTimerCount()).toBe(1)
    vi.advanceTimersByTime(10_000)
    expect(await asked).toBe('unreachable')
  }
})
