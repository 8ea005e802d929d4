/**
 * Starts one worker and waits until it says that it is ready, so that a blocked one fails instead
 * of staying silent, and one of another release is found at once.
 */

import { onAbort } from '../async.ts'
import { PadlockError } from '../errors.ts'
import { isSameRelease, release } from '../release.ts'
import type { Port } from './rpc.ts'

/** What a worker says first. */
export interface ReadyMessage {
  readonly padlock: 'ready'
  readonly release: string
}

export const readyMessage: ReadyMessage = { padlock: 'ready', release }

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
 * @throws PadlockError worker_unavailable when it cannot be made, loaded or does not answer;
 * reload_needed when it is of another release; aborted
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
    let stopListening: () => void = () => undefined
    const settle = (error?: PadlockError) => {
      clearTimeout(timer)
      worker.removeEventListener('message', onMessage)
      worker.removeEventListener('error', failed)
      stopListening()
      if (error) reject(error)
      else resolve()
    }
    const onMessage = ({ data }: MessageEvent<unknown>) => {
      const other = releaseIn(data)
      if (other === undefined) return
      if (isSameRelease(release, other)) return settle()
      settle(new PadlockError('reload_needed', { details: { page: release, worker: other } }))
    }
    const failed = (event: ErrorEvent) => {
      event.preventDefault()
      // Browsers say nothing here about a script that did not load.
      const cause: unknown = event.error ?? (event.message || undefined)
      settle(new PadlockError('worker_unavailable', { cause }))
    }
    const aborted = () => settle(new PadlockError('aborted'))
    const timer = setTimeout(
      () =>
        settle(
          new PadlockError('worker_unavailable', {
            cause: new Error(`it did not say that it is ready within ${readyTimeoutMs / 1000} s`),
          }),
        ),
      readyTimeoutMs,
    )
    worker.addEventListener('message', onMessage)
    worker.addEventListener('error', failed)
    stopListening = onAbort(signal, aborted)
  })

/** The release of the worker that sent this; undefined if it is not a worker's first message. */
const releaseIn = (data: unknown): string | undefined => {
  // What the first workers sent, before releases were compared.
  if (data === 'padlock worker ready') return 'unknown'
  if (typeof data !== 'object' || data === null || !('padlock' in data)) return undefined
  return 'release' in data && typeof data.release === 'string' ? data.release : 'unknown'
}
