/** A contract to call across a real MessageChannel, both ends real. */

import { onTestFinished } from 'vitest'
import { PadlockError } from '../../src/errors.ts'
import { connectRpc } from '../../src/worker/rpc.ts'

export interface Calculator {
  add(arg: { readonly a: number; readonly b: number }): Promise<number>
  echo(arg: Plain): Promise<Plain>
  fail(arg: { readonly kind: 'known' | 'unknown' | 'text' }): Promise<void>
  /** Never answers; tells when it was started and when it was cancelled. */
  wait(arg: { readonly name: string }, signal: AbortSignal): Promise<void>
  unsendable(arg: Record<string, never>): Promise<number>
}

export interface Plain {
  readonly bytes: Uint8Array
  readonly big: bigint
  readonly nothing: undefined
  readonly list: readonly (string | null)[]
}

/** The caller's side answers one question. */
export interface Host {
  ask(arg: { readonly question: string }): Promise<string>
}

/** Both ends of a channel, for one test. */
export const aPair = () => {
  const { port1, port2 } = new MessageChannel()
  onTestFinished(() => {
    for (const port of [port1, port2]) port.close()
  })
  port1.start()
  port2.start()
  return { port1, port2 }
}

export const connectCalculator = () => {
  const { port1, port2 } = aPair()
  const started = new Map<string, PromiseWithResolvers<void>>()
  const cancelled = new Map<string, PromiseWithResolvers<void>>()
  const moment = (map: Map<string, PromiseWithResolvers<void>>, name: string) => {
    const known = map.get(name) ?? Promise.withResolvers<void>()
    map.set(name, known)
    return known
  }
  const value: string = 'value'
  const calculator: Calculator = {
    add: async ({ a, b }) => a + b,
    echo: async (plain) => plain,
    fail: async ({ kind }) => {
      if (kind === 'known') {
        throw new PadlockError('too_large', {
          message: 'Too much for one page.',
          details: { envelopeIndex: 3 },
          cause: Object.assign(new RangeError('a cause', { cause: 'its own' }), { code: -32002 }),
        })
      }
      if (kind === 'text') throw 'a secret text'
      throw new TypeError('a secret detail')
    },
    wait: ({ name }, signal) =>
      new Promise((_, reject) => {
        moment(started, name).resolve()
        signal.addEventListener('abort', () => {
          moment(cancelled, name).resolve()
          reject(new PadlockError('aborted'))
        })
      }),
    unsendable: async () => Reflect.get({ value: () => 1 }, value),
  }
  const host: Host = { ask: async ({ question }) => `${question}? yes` }
  const caller = connectRpc<Host, Calculator>(port1, host)
  const callee = connectRpc<Calculator, Host>(port2, calculator)
  return {
    calculator,
    port1,
    port2,
    caller,
    callee,
    started: (name: string) => moment(started, name).promise,
    cancelled: (name: string) => moment(cancelled, name).promise,
  }
}

export const failure = (call: Promise<unknown>): Promise<unknown> =>
  call.then(
    () => 'no error',
    (error: unknown) => error,
  )
