/** Giving up while the worker or its wasm is still being loaded. */
import { privateKeyToAccount } from 'viem/accounts'
import { expect, test } from 'vitest'
import { deferred } from '../../src/async.ts'
import type { EngineHandle } from '../../src/facade/engine-host.ts'
import { openClient } from '../../src/facade/open-client.ts'
import { serve } from '../../src/worker/main.ts'

const wallet = privateKeyToAccount(`0x${'6'.repeat(64)}`)
const options = { wallet, node: 'http://127.0.0.1:9', database: 'giving-up' }

const codeOf = (call: Promise<unknown>): Promise<unknown> =>
  call.then(
    () => 'no error',
    (error: { code?: unknown }) => error.code,
  )

test('while the worker loads: at once, and the worker is ended when it comes', async () => {
  const giveUp = new AbortController()
  const loading = deferred<EngineHandle>()
  const asked = deferred()
  const start = () => {
    asked.resolve()
    return loading.promise
  }
  const opening = codeOf(openClient({ ...options, signal: giveUp.signal }, start))
  await asked.promise
  giveUp.abort()
  expect(await opening).toBe('aborted')
  const ended = deferred()
  const { port1 } = new MessageChannel()
  loading.resolve({ port: port1, wasm: [], terminate: () => ended.resolve() })
  await ended.promise
  port1.close()
})

test('while the wasm loads: at once, and the worker is ended', async () => {
  const giveUp = new AbortController()
  const asked = deferred()
  const ended = deferred()
  const { port1, port2 } = new MessageChannel()
  for (const port of [port1, port2]) port.start()
  serve(port2)
  const never = () => {
    asked.resolve()
    return new Promise<never>(() => undefined)
  }
  const started = { port: port1, wasm: [never], terminate: () => ended.resolve() }
  const opening = codeOf(openClient({ ...options, signal: giveUp.signal }, async () => started))
  await asked.promise
  giveUp.abort()
  expect(await opening).toBe('aborted')
  await ended.promise
  for (const port of [port1, port2]) port.close()
})
