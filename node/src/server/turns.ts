/**
 * Begins calls in turns, one of each caller after another and some at a time, so that thousands that come at
 * once on a few connections neither hold up the thread nor the calls of others.
 */

/** How many calls begin before other work goes on: some milliseconds. */
const atOnce = 16

export class Turns {
  /** Calls that wait, by caller; whose turn is next comes first. */
  readonly #waiting = new Map<string, Set<() => void>>()
  #begun = 0
  #isScheduled = false

  /** How many calls wait. */
  get size(): number {
    let size = 0
    for (const calls of this.#waiting.values()) size += calls.size
    return size
  }

  /**
   * Calls `begin` now, or when it is this caller's turn.
   * @returns leaves, if it is not begun yet.
   */
  take(caller: string, begin: () => void): () => void {
    this.#schedule()
    if (this.#waiting.size === 0 && this.#begun < atOnce) {
      this.#begun += 1
      begin()
      return () => {}
    }
    const own = this.#waiting.get(caller)
    if (own === undefined) this.#waiting.set(caller, new Set([begin]))
    else own.add(begin)
    return () => {
      const calls = this.#waiting.get(caller)
      calls?.delete(begin)
      if (calls?.size === 0) this.#waiting.delete(caller)
    }
  }

  #schedule(): void {
    if (this.#isScheduled) return
    this.#isScheduled = true
    setImmediate(() => this.#next())
  }

  #next(): void {
    this.#isScheduled = false
    this.#begun = 0
    while (this.#begun < atOnce) {
      const [first] = this.#waiting
      if (first === undefined) return
      const [caller, calls] = first
      this.#waiting.delete(caller)
      const [begin] = calls
      if (begin === undefined) continue
      calls.delete(begin)
      if (calls.size > 0) this.#waiting.set(caller, calls)
      this.#begun += 1
      begin()
    }
    this.#schedule()
  }
}
