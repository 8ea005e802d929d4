/**
 * Promises and signals. Two of these are built into newer platforms, and here for the browsers that
 * lack them: `Promise.withResolvers` (Chrome 119, Firefox 121, Safari 17.4) and `AbortSignal.any`
 * (Chrome 116, Firefox 124, Safari 17.4).
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

/**
 * Calls back once when the signal aborts, at once if it has already.
 *
 * @returns stops listening, so that a signal that lives long does not hold what is over
 */
export const onAbort = (signal: AbortSignal | undefined, listener: () => void): (() => void) => {
  if (signal?.aborted) listener()
  else signal?.addEventListener('abort', listener, { once: true })
  return () => signal?.removeEventListener('abort', listener)
}

/**
 * The promise, or a rejection as soon as the signal aborts: for what may never settle and need not know
 * of signals.
 */
export const raceAbort = <T>(
  promise: Promise<T>,
  signal: AbortSignal | undefined,
  reason: () => unknown,
): Promise<T> => {
  const aborted = deferred<never>()
  const stop = onAbort(signal, () => aborted.reject(reason()))
  // First, so that a signal that has aborted already wins over a promise that has settled already.
  return Promise.race([aborted.promise, promise]).finally(stop)
}

/** A signal that follows others, until it is let go. */
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
  const stops: (() => void)[] = []
  const release = () => {
    for (const stop of stops) stop()
  }
  for (const signal of signals) {
    const abort = () => {
      release()
      controller.abort(signal.reason)
    }
    if (!controller.signal.aborted) stops.push(onAbort(signal, abort))
  }
  return { signal: controller.signal, release }
}
