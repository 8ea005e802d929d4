/** Starts the worker and waits until it says that it is ready, so that a blocked one is an error and not a silence. */

import { PadlockError } from '../errors.ts'
import type { Port } from './rpc.ts'

/** What the worker says first. */
export const readyMessage = 'padlock worker ready'

/** A worker that is not ready by then never will be. */
const readyTimeoutMs = 20_000

/** A started worker. */
export interface Spawned {
  readonly port: Port
  /** Calls back once if the worker fails later. */
  onFailure(listener: (error: PadlockError) => void): void
  terminate(): void
}

/**
 * @throws PadlockError worker_unavailable when it cannot be made, loaded or does not answer; aborted
 */
export const spawnWorker = async (
  createWorker: () => Worker,
  signal: AbortSignal | undefined,
): Promise<Spawned> => {
  if (signal?.aborted) throw new PadlockError('aborted')
  let worker: Worker
  try {
    worker = createWorker()
  } catch (cause) {
    throw new PadlockError('worker_unavailable', { cause })
  }
  try {
    await untilReady(worker, signal)
  } catch (error) {
    worker.terminate()
    throw error
  }
  return {
    port: worker,
    onFailure: (listener) => {
      let failed = false
      const fail = (cause: unknown) => {
        if (failed) return
        failed = true
        listener(new PadlockError('worker_failed', { cause }))
      }
      worker.addEventListener('error', (event) => fail(event.error ?? event.message))
      worker.addEventListener('messageerror', () => fail('messageerror'))
    },
    terminate: () => worker.terminate(),
  }
}

const untilReady = (worker: Worker, signal: AbortSignal | undefined): Promise<void> =>
  new Promise((resolve, reject) => {
    const settle = (end: () => void) => {
      clearTimeout(timer)
      worker.removeEventListener('message', ready)
      worker.removeEventListener('error', failed)
      signal?.removeEventListener('abort', aborted)
      end()
    }
    const ready = ({ data }: MessageEvent<unknown>) => {
      if (data === readyMessage) settle(resolve)
    }
    const failed = (event: ErrorEvent) => {
      event.preventDefault()
      settle(() =>
        reject(new PadlockError('worker_unavailable', { cause: event.error ?? event.message })),
      )
    }
    const aborted = () => settle(() => reject(new PadlockError('aborted')))
    const timer = setTimeout(
      () => settle(() => reject(new PadlockError('worker_unavailable'))),
      readyTimeoutMs,
    )
    worker.addEventListener('message', ready)
    worker.addEventListener('error', failed)
    signal?.addEventListener('abort', aborted, { once: true })
  })
