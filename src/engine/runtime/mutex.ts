/** Runs asynchronous tasks one after the other: what touches ratchets never overlaps. */

export class Mutex {
  #last: Promise<unknown> = Promise.resolve()

  /** Runs the task when all earlier ones have ended, however they ended. */
  runExclusive<T>(task: () => Promise<T>): Promise<T> {
    const result = this.#last.then(task, task)
    this.#last = result.catch(() => undefined)
    return result
  }
}
