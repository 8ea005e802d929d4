/**
 * Two small helpers that newer platforms have built in, for the browsers that lack them:
 * `Promise.withResolvers` (Chrome 119, Firefox 121, Safari 17.4) and `AbortSignal.any` (Chrome 116,
 * Firefox 124, Safari 17.4).
 */

/** A promise together with what settles it. */
export interface Deferred<T> {
  readonly promise: Promise<T>
  readonly resolve: (value: T | PromiseLike<T>) => void
  readonly reject: (reason: unknown) => void
}

/** What `Promise.withResolvers` returns. */
export const deferred = <T = void>(): Deferred<T> => {
  let resolve: Deferred<T>['resolve'] = () => undefined
  let reject: Deferred<T>['reject'] = () => undefined
  const promise = new Promise<T>((onResolve, onReject) => {
    resolve = onResolve
    reject = onReject
  })
  return { promise, resolve, reject }
}

/** A signal that follows others until it is released. */
export interface JoinedSignal {
  readonly signal: AbortSignal
  /**
   * Stops listening to the others, which would otherwise keep this signal alive as long as they
   * live.
   */
  release(): void
}

/** A signal that aborts as soon as one of these does. `release` it when its work is done. */
export const joinSignals = (...signals: readonly AbortSignal[]): JoinedSignal => {
  const controller = new AbortController()
  const abort = () => {
    release()
    controller.abort(signals.find(({ aborted }) => aborted)?.reason)
  }
  const release = () => {
    for (const signal of signals) signal.removeEventListener('abort', abort)
  }
  for (const signal of signals) signal.addEventListener('abort', abort, { once: true })
  if (signals.some(({ aborted }) => aborted)) abort()
  return { signal: controller.signal, release }
}
