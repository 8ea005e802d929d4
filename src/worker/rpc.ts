/**
 * Calls across a message port, generic over a contract. Errors come out as PadlockErrors
 * (wire-error.ts); an AbortSignal crosses as a cancel; closing rejects every pending call, and so
 * does a side that no longer lives: nothing hangs. How long a call may take is its callee's to say.
 */

import { onAbort } from '../async.ts'
import { PadlockError, type PadlockErrorCode } from '../errors.ts'
import { fromWire, toWire, type WireError } from './wire-error.ts'

/** A Worker, a MessagePort, or a worker's own global scope. */
export interface Port {
  postMessage(message: unknown): void
  addEventListener(type: 'message', listener: (event: MessageEvent<unknown>) => void): void
  removeEventListener(type: 'message', listener: (event: MessageEvent<unknown>) => void): void
}

type Primitive = string | number | boolean | bigint | null | undefined

/** T, if it is plain data all the way down; functions and class instances become `never`. */
type Plain<T> = T extends Primitive | Uint8Array
  ? T
  : T extends (...args: never[]) => unknown
    ? never
    : { readonly [Key in keyof T]: Plain<T[Key]> }

/** Api, if every method takes and gives plain data. */
export type Contract<Api> = {
  readonly [Method in keyof Api]: Api[Method] extends (
    arg: infer Arg,
    signal: AbortSignal,
  ) => Promise<infer Result>
    ? [Arg, Result] extends [Plain<Arg>, Plain<Result>]
      ? Api[Method]
      : never
    : never
}

export interface CallOptions {
  readonly signal?: AbortSignal | undefined
  /** The call fails if it takes longer; if absent, it waits as long as both sides live. */
  readonly timeoutMs?: number
}

export interface RpcOptions {
  /**
   * How often a waiting call asks whether the other side still works on it. If six questions in a
   * row stay unanswered, the call fails with `worker_failed`. If absent, it never asks.
   */
  readonly pingMs?: number
}

/** Several, as whatever was suspended together finds every timer run out when it wakes up. */
const maxUnanswered = 6

export type Remote<Api> = {
  readonly [Method in keyof Api]: Api[Method] extends (
    arg: infer Arg,
    signal: AbortSignal,
  ) => Promise<infer Result>
    ? (arg: Arg, options?: CallOptions) => Promise<Result>
    : never
}

interface Frame {
  /** Each end numbers its own calls. */
  readonly to: 'callee' | 'caller'
  readonly id: number
  readonly method?: string
  readonly arg?: unknown
  readonly cancel?: boolean
  /** A question to the callee, and its answer. */
  readonly alive?: boolean
  readonly result?: unknown
  readonly error?: WireError
}

interface Waiting {
  /** The other side works on it. */
  heard(): void
  resolve(result: unknown): void
  reject(error: PadlockError): void
}

const isFrame = (data: unknown): data is Frame =>
  typeof data === 'object' &&
  data !== null &&
  'to' in data &&
  (data.to === 'callee' || data.to === 'caller') &&
  'id' in data &&
  typeof data.id === 'number'

/**
 * Serves `own` to the other side and returns a proxy of what the other side serves.
 *
 * @param own methods of this side; called with an AbortSignal that fires when the caller cancels.
 */
export const connectRpc = <Own extends object, Other extends object>(
  port: Port,
  own: Own & Contract<Own>,
  { pingMs }: RpcOptions = {},
): { readonly remote: Remote<Other>; close(error: PadlockError): void } => {
  let lastId = 0
  let closed: PadlockError | undefined
  const waiting = new Map<number, Waiting>()
  const running = new Map<number, AbortController>()
  const methods = new Map<string, unknown>(Object.entries(own))
  const post = (frame: Frame) => port.postMessage(frame)

  const serve = async ({ id, method, arg }: Frame) => {
    const handler = method === undefined ? undefined : methods.get(method)
    const cancel = new AbortController()
    running.set(id, cancel)
    try {
      if (typeof handler !== 'function') throw new PadlockError('internal')
      const result: unknown = await handler.call(own, arg, cancel.signal)
      if (!closed) post({ to: 'caller', id, result })
    } catch (error) {
      if (!closed) post({ to: 'caller', id, error: toWire(error) })
    } finally {
      running.delete(id)
    }
  }

  const listener = ({ data }: MessageEvent<unknown>) => {
    if (!isFrame(data)) return
    if (data.to === 'callee') {
      if (data.cancel) running.get(data.id)?.abort()
      else if (data.alive) {
        // Of a call that is not running, nothing would ever come.
        if (running.has(data.id)) post({ to: 'caller', id: data.id, alive: true })
      } else void serve(data)
      return
    }
    const call = waiting.get(data.id)
    if (data.alive) return call?.heard()
    waiting.delete(data.id)
    if (data.error) call?.reject(fromWire(data.error))
    else call?.resolve(data.result)
  }
  port.addEventListener('message', listener)

  const call = (method: string, arg: unknown, { signal, timeoutMs }: CallOptions = {}) =>
    new Promise<unknown>((resolve, reject) => {
      if (closed) return reject(closed)
      if (signal?.aborted) return reject(new PadlockError('aborted'))
      const id = ++lastId
      const giveUp = (code: PadlockErrorCode) => {
        post({ to: 'callee', id, cancel: true })
        settle(() => reject(new PadlockError(code)))
      }
      const abort = () => giveUp('aborted')
      const timer =
        timeoutMs === undefined ? undefined : setTimeout(() => giveUp('worker_failed'), timeoutMs)
      let unanswered = 0
      const ask = () => {
        if (unanswered >= maxUnanswered) return giveUp('worker_failed')
        unanswered += 1
        post({ to: 'callee', id, alive: true })
      }
      const asking = pingMs === undefined ? undefined : setInterval(ask, pingMs)
      const settle = (end: () => void) => {
        waiting.delete(id)
        clearTimeout(timer)
        clearInterval(asking)
        stopListening()
        end()
      }
      const stopListening = onAbort(signal, abort)
      waiting.set(id, {
        heard: () => {
          unanswered = 0
        },
        resolve: (result) => settle(() => resolve(result)),
        reject: (error) => settle(() => reject(error)),
      })
      try {
        post({ to: 'callee', id, method, arg })
      } catch (cause) {
        settle(() => reject(new PadlockError('invalid_argument', { cause })))
      }
    })

  const remote = new Proxy(
    {},
    {
      // A proxy that answered `then` would be taken for a promise.
      get: (_, method) =>
        typeof method !== 'string' || method === 'then'
          ? undefined
          : (arg: unknown, options?: CallOptions) => call(method, arg, options),
    },
  ) as Remote<Other>

  return {
    remote,
    close: (error) => {
      if (closed) return
      closed = error
      port.removeEventListener('message', listener)
      for (const cancel of running.values()) cancel.abort()
      for (const [id, call] of [...waiting]) {
        // The other side may live on, and should stop working for a caller that is gone.
        post({ to: 'callee', id, cancel: true })
        call.reject(error)
      }
    },
  }
}
