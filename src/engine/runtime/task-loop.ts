/**
 * Runs a task repeatedly until the client closes: at once when woken, else after the rest that the
 * task asked for. Every loop of the engine is one of these.
 */

import { onAbort } from '../../async.ts'
import { hourMs } from '../../protocol/limits.ts'
import { type Backoff, retryAfterMs } from './backoff.ts'
import type { Context } from './context.ts'

/**
 * Does the work that is due.
 *
 * @returns how long to rest before the next run, in milliseconds; 0: there may be more to do now
 */
export type Task = () => Promise<number>

export interface TaskLoopOptions {
  /**
   * How long to rest after a failure. Only `retryNow` ends that rest early: other events do not
   * make a failing task run more often. If absent, `restMs` applies, which `wake` ends too.
   */
  readonly backoff?: Backoff
  /** The rest after a failure if there is no `backoff`; an hour if absent. */
  readonly restMs?: () => number
  /** Handles a failure, besides the rest; a warning if absent. */
  readonly onError?: (error: unknown) => void
}

export class TaskLoop {
  readonly #context: Pick<Context, 'closing' | 'platform' | 'status'>
  readonly #task: Task
  readonly #options: TaskLoopOptions
  /** Ends the rest after a run that succeeded or failed without a back-off. */
  #rest = new AbortController()
  #backingOff = new AbortController()

  constructor(
    context: Pick<Context, 'closing' | 'platform' | 'status'>,
    task: Task,
    options: TaskLoopOptions = {},
  ) {
    this.#context = context
    this.#task = task
    this.#options = options
  }

  /** Call this when there may be something to do. During a run, it makes another run follow. */
  wake(): void {
    this.#rest.abort()
  }

  /** Call this when a failed task may succeed now: ends a back-off too. */
  retryNow(): void {
    this.#rest.abort()
    this.#backingOff.abort()
  }

  /** Runs until the client closes. */
  async run(): Promise<void> {
    const { closing, platform } = this.#context
    const release = onAbort(closing, () => this.retryNow())
    try {
      while (!closing.aborted) {
        this.#rest = new AbortController()
        this.#backingOff = new AbortController()
        const { restMs, end } = await this.#runOnce()
        if (restMs > 0 && !closing.aborted) await platform.wait(restMs, end.signal)
      }
    } finally {
      release()
    }
  }

  /** @returns how long to rest, and what ends the rest early */
  async #runOnce(): Promise<{ readonly restMs: number; readonly end: AbortController }> {
    const { closing, status } = this.#context
    const { backoff, restMs = () => hourMs } = this.#options
    const { onError = (error) => status.warnOf(error) } = this.#options
    try {
      return { restMs: await this.#task(), end: this.#rest }
    } catch (error) {
      if (!closing.aborted) onError(error)
      if (!backoff) return { restMs: restMs(), end: this.#rest }
      return { restMs: backoff.next(retryAfterMs(error)), end: this.#backingOff }
    }
  }
}
