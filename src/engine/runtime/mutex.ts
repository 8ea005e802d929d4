/** Runs asynchronous tasks one after the other, so that they never overlap. */

export class Mutex {
  #last: Promise<unknown> = Promise.resolve()

  /** Runs the task when all earlier ones have succeeded or failed. */
  runExclusive<T>(task: () => Promise<T>): Promise<T> {
    const result = this.#last.then(task, task)
    this.#last = result.catch(() => undefined)
    return result
  }
}
