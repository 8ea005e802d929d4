/**
 * Runs a task again and again until the client closes: at once when it is woken, else after the wait
 * that it asked for. Every loop of the engine is one of these.
 */

import { onAbort } from '../../async.ts'
import { PadlockError } from '../../errors.ts'
import { hourMs } from '../../protocol/limits.ts'
import type { Backoff } from './backoff.ts'
import type { Context } from './context.ts'

/**
 * Does what there is to do.
 *
 * @returns how long to rest before the next run, in milliseconds; 0: there may be more to do now
 */
export type Task = () => Promise<number>

export interface TaskLoopOptions {
  /**
   * How long to rest after a failure. Only `retryNow` ends that rest early: what fails is not tried more
   * often because something else happened. Absent: `restMs`, which a wake ends too.
   */
  readonly backoff?: Backoff
  /** The rest after a failure where there is no `backoff`; absent: an hour. */
  readonly restMs?: () => number
  /** What a failure means, besides the rest; absent: a warning. */
  readonly onError?: (error: unknown) => void
}

export class TaskLoop {
  readonly #context: Pick<Context, 'closing' | 'platform' | 'status'>
  readonly #task: Task
  readonly #options: TaskLoopOptions
  /** Ends the rest after a run that succeeded, or that failed without a back-off. */
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

  /** There may be something to do. Called during a run, it makes another one follow. */
  wake(): void {
    this.#rest.abort()
  }

  /** What failed may work now: ends a back-off too. */
  retryNow(): void {
    this.#rest.abort()
    this.#backingOff.abort()
  }

  /** Works until the client closes. */
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

/** What the node asked for. */
const retryAfterMs = (error: unknown): number =>
  error instanceof PadlockError ? Number(error.details?.retryAfterMs ?? 0) : 0
