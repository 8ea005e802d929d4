/** Calls across a real MessageChannel, both ends real. */

import { expect, test, vi } from 'vitest'
import { PadlockError } from '../../src/errors.ts'
import type { HostApi, WorkerApi } from '../../src/worker/contract.ts'
import { type Contract, connectRpc, type Port } from '../../src/worker/rpc.ts'
import {
  aPair,
  type Calculator,
  connectCalculator,
  failure,
  type Host,
  type Plain,
} from './calculator.ts'

test('results come back to the call they belong to, both ways at once', async () => {
  const { caller, callee } = connectCalculator()
  const sums = Array.from({ length: 50 }, (_, n) => caller.remote.add({ a: n, b: n }))
  const answer = callee.remote.ask({ question: 'ready' })
  expect(await Promise.all(sums)).toEqual(Array.from({ length: 50 }, (_, n) => 2 * n))
  expect(await answer).toBe('ready? yes')
})

test('plain data crosses unchanged', async () => {
  const { caller } = connectCalculator()
  const plain: Plain = {
    bytes: Uint8Array.of(1, 2, 3),
    big: 2n ** 63n,
    nothing: undefined,
    list: ['a', null],
  }
  expect(await caller.remote.echo(plain)).toEqual(plain)
})

test('errors cross with code, message, details and causes and come out as PadlockError', async () => {
  const { caller } = connectCalculator()
  const error = await failure(caller.remote.fail({ kind: 'known' }))
  expect(error).toBeInstanceOf(PadlockError)
  expect(error).toMatchObject({
    code: 'too_large',
    message: 'Too much for one page.',
    details: { envelopeIndex: 3 },
    retryable: false,
  })
  expect(error).toHaveProperty('cause', expect.any(Error))
  const cause = error instanceof Error ? error.cause : undefined
  expect(cause).toMatchObject({ name: 'RangeError', message: 'a cause', code: -32002 })
  expect(cause).toHaveProperty('cause.message', 'its own')
})

test('unknown errors become internal and do not tell what they said', async () => {
  const { caller } = connectCalculator()
  for (const kind of ['unknown', 'text'] as const) {
    const error = await failure(caller.remote.fail({ kind }))
    expect(error).toBeInstanceOf(PadlockError)
    expect(error).toMatchObject({ code: 'internal' })
    expect(JSON.stringify(error, Object.getOwnPropertyNames(error))).not.toContain('secret')
    expect(String(error)).not.toContain('secret')
    const cause = error instanceof Error ? error.cause : undefined
    expect(cause).toMatchObject({ name: kind === 'text' ? 'Error' : 'TypeError', message: '' })
  }
})

test('long and endless causes cross cut short', async () => {
  const { port1, port2 } = aPair()
  const endless = new Error('x'.repeat(10_000))
  endless.cause = endless
  connectRpc<Calculator, Host>(port2, {
    ...connectCalculator().calculator,
    add: () => Promise.reject(new PadlockError('wallet_failed', { cause: endless })),
  })
  const { remote } = connectRpc<Host, Calculator>(port1, { ask: async () => '' })
  let cause: unknown = await failure(remote.add({ a: 1, b: 1 }))
  const lengths: number[] = []
  while (cause instanceof Error) {
    cause = cause.cause
    if (cause instanceof Error) lengths.push(cause.message.length)
  }
  expect(lengths).toEqual([500, 500, 500, 500])
})

test('a cause that does not let itself be read holds up no answer', async () => {
  const { proxy: cause, revoke } = Proxy.revocable(new Error('of another frame'), {})
  revoke()
  const { port1, port2 } = aPair()
  connectRpc<Calculator, Host>(port2, {
    ...connectCalculator().calculator,
    add: () => Promise.reject(new PadlockError('wallet_failed', { cause })),
  })
  const { remote } = connectRpc<Host, Calculator>(port1, { ask: async () => '' })
  expect(await failure(remote.add({ a: 1, b: 1 }))).toMatchObject({ code: 'wallet_failed' })
})

test('a code that this release does not know comes out as internal', async () => {
  const { port1, port2 } = aPair()
  const { remote } = connectRpc<Host, Calculator>(port1, { ask: async () => '' })
  port2.addEventListener('message', ({ data }: MessageEvent<{ id: number }>) => {
    port2.postMessage({ to: 'caller', id: data.id, error: { code: 'from_2028', message: 'x' } })
  })
  expect(await failure(remote.add({ a: 1, b: 1 }))).toMatchObject({ code: 'internal' })
})

test('a result that cannot be cloned is an error and no silence', async () => {
  const { caller } = connectCalculator()
  expect(await failure(caller.remote.unsendable({}))).toMatchObject({ code: 'internal' })
})

test('an argument that cannot be cloned is invalid_argument, and the next call works', async () => {
  const { caller } = connectCalculator()
  // Applications in JavaScript pass anything.
  const call: Promise<unknown> = Reflect.apply(caller.remote.add, undefined, [{ a: () => 1, b: 2 }])
  expect(await failure(call)).toMatchObject({ code: 'invalid_argument' })
  expect(await caller.remote.add({ a: 1, b: 2 })).toBe(3)
})

test('aborting rejects at once and fires the callee’s signal', async () => {
  const { caller, started, cancelled } = connectCalculator()
  const abort = new AbortController()
  const call = failure(caller.remote.wait({ name: 'a' }, { signal: abort.signal }))
  await started('a')
  abort.abort()
  expect(await call).toMatchObject({ code: 'aborted' })
  await cancelled('a')
})

test('a call whose signal is aborted already is never sent', async () => {
  const { caller, port2 } = connectCalculator()
  const sent: unknown[] = []
  port2.addEventListener('message', ({ data }) => sent.push(data))
  const options = { signal: AbortSignal.abort() }
  expect(await failure(caller.remote.add({ a: 1, b: 1 }, options))).toMatchObject({
    code: 'aborted',
  })
  expect(await caller.remote.add({ a: 2, b: 2 })).toBe(4)
  expect(sent).toHaveLength(1)
})

test('aborting after the answer does nothing, and no listener stays', async () => {
  const { caller } = connectCalculator()
  const abort = new AbortController()
  const removed = vi.spyOn(abort.signal, 'removeEventListener')
  const added = vi.spyOn(abort.signal, 'addEventListener')
  expect(await caller.remote.add({ a: 1, b: 1 }, { signal: abort.signal })).toBe(2)
  abort.abort()
  expect(added).toHaveBeenCalledTimes(1)
  expect(removed).toHaveBeenCalledTimes(1)
})

test('closing rejects every waiting call, cancels it over there, and refuses later ones', async () => {
  const { caller, started, cancelled } = connectCalculator()
  const calls = ['a', 'b', 'c'].map((name) => failure(caller.remote.wait({ name })))
  await started('c')
  caller.close(new PadlockError('closed'))
  for (const error of await Promise.all(calls)) expect(error).toMatchObject({ code: 'closed' })
  await Promise.all(['a', 'b', 'c'].map(cancelled))
  expect(await failure(caller.remote.add({ a: 1, b: 1 }))).toMatchObject({ code: 'closed' })
  caller.close(new PadlockError('internal'))
  expect(await failure(caller.remote.add({ a: 1, b: 1 }))).toMatchObject({ code: 'closed' })
})

test('closing the callee cancels what it is working on', async () => {
  const { caller, callee, started, cancelled } = connectCalculator()
  const call = caller.remote.wait({ name: 'a' }).catch(() => undefined)
  await started('a')
  callee.close(new PadlockError('closed'))
  await cancelled('a')
  caller.close(new PadlockError('closed'))
  await call
})

test('a method that is not served is an error, also one that every object has', async () => {
  const { caller } = connectCalculator()
  for (const name of ['subtract', 'toString', 'constructor', '__proto__', 'hasOwnProperty']) {
    const method: unknown = Reflect.get(caller.remote, name)
    if (typeof method !== 'function') throw new Error(`${name} is not a call`)
    const call: Promise<unknown> = Reflect.apply(method, undefined, [{}])
    expect(await failure(call), name).toMatchObject({ code: 'internal' })
  }
})

test('the remote side is not a promise, so it can be returned by an async function', async () => {
  const { caller } = connectCalculator()
  expect(await (async () => caller.remote)()).toBe(caller.remote)
})

test('stray messages are ignored', async () => {
  const { caller, port1, port2, started } = connectCalculator()
  const waiting = failure(caller.remote.wait({ name: 'a' }))
  await started('a')
  const strays: unknown[] = ['padlock worker ready', null, 5, [], {}, { to: 'caller' }, { id: 1 }]
  strays.push({ to: 'caller', id: 99, result: 1 }, { to: 'callee', id: 99, cancel: true })
  // Another protocol's message that looks like ours, and names the id of the call that waits.
  strays.push({ to: 'nobody', id: 1, result: 1 }, { to: 'caller', id: '1', result: 1 })
  for (const port of [port1, port2]) for (const stray of strays) port.postMessage(stray)
  expect(await caller.remote.add({ a: 1, b: 1 })).toBe(2)
  caller.close(new PadlockError('closed'))
  expect(await waiting).toMatchObject({ code: 'closed' })
})

test('the second of two answers to one call is ignored', async () => {
  const { port1, port2 } = aPair()
  const { remote } = connectRpc<Host, Calculator>(port1, { ask: async () => '' })
  port2.addEventListener('message', ({ data }: MessageEvent<{ id: number }>) => {
    port2.postMessage({ to: 'caller', id: data.id, result: 1 })
    port2.postMessage({ to: 'caller', id: data.id, result: 2 })
  })
  expect(await remote.add({ a: 0, b: 0 })).toBe(1)
  expect(await remote.add({ a: 0, b: 0 })).toBe(1)
})

test('the two contracts of Padlock are plain data, and what is not does not compile', () => {
  const accept = <Api extends object>(_: Contract<Api>): void => undefined
  const port: Port = aPair().port1
  const worker = (): WorkerApi => {
    throw new Error('only its type is looked at')
  }
  const host = (): HostApi => {
    throw new Error('only its type is looked at')
  }
  const serveBoth = () => {
    connectRpc<WorkerApi, HostApi>(port, worker())
    connectRpc<HostApi, WorkerApi>(port, host())
  }
  expect(serveBoth).toThrow('only its type')

  interface Callback {
    call(arg: { readonly done: () => void }): Promise<void>
  }
  // @ts-expect-error a function cannot cross
  accept<Callback>({ call: async () => undefined })

  interface Instance {
    call(arg: { readonly at: Date }): Promise<void>
  }
  // @ts-expect-error an instance of a class arrives without its methods
  accept<Instance>({ call: async () => undefined })

  interface Returned {
    call(arg: Record<string, never>): Promise<{ readonly nested: readonly Map<string, string>[] }>
  }
  // @ts-expect-error neither as a result, however deep
  accept<Returned>({ call: async () => ({ nested: [] }) })

  interface Synchronous {
    call(arg: Record<string, never>): number
  }
  // @ts-expect-error every call takes time
  accept<Synchronous>({ call: () => 1 })

  const { remote } = connectRpc<Host, Calculator>(port, { ask: async () => '' })
  // @ts-expect-error only what the contract names can be called
  const unnamed: unknown = remote.subtract
  expect(unnamed).toBeTypeOf('function')
})
