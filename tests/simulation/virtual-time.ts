/**
 * Time that passes only when nothing is left to do: a queue of timers in this process. Between two
 * of them all promises run to their end, so that the order of everything follows from the queue.
 */

/** Taken before anything replaces it. */
const realTurn = globalThis.setImmediate

/** Turns of the event loop that are asked for at once: one each would cost more than what runs in it. */
const turnsAtOnce = 64
/** So many timers within one virtual second are a loop that never waits. */
const timersPerSecondLimit = 2_000_000

interface Timer {
  readonly atMs: number
  /** Of timers at the same time the first that was set runs first. */
  readonly order: number
  readonly run: () => void
  cancelled: boolean
}

/** What `after` gave: cancels it. */
export type Cancel = () => void

export class VirtualTime {
  #nowMs = 0
  #order = 0
  #holds = 0
  #lastTaskMs = 0
  #ran = 0
  #stallSecond = -1
  #stallCount = 0
  readonly #heap: Timer[] = []

  /** Milliseconds since the beginning; has fractions. */
  get nowMs(): number {
    return this.#nowMs
  }

  /** How many timers ran. */
  get ran(): number {
    return this.#ran
  }

  after(delayMs: number, run: () => void): Cancel {
    const timer: Timer = {
      atMs: this.#nowMs + Math.max(0, delayMs),
      order: this.#order++,
      run,
      cancelled: false,
    }
    this.#push(timer)
    return () => {
      timer.cancelled = true
    }
  }

  /** As `after`, but such tasks keep their order whatever their delays are. */
  task(delayMs: number, run: () => void): Cancel {
    this.#lastTaskMs = Math.max(this.#lastTaskMs, this.#nowMs) + delayMs
    return this.after(this.#lastTaskMs - this.#nowMs, run)
  }

  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.after(ms, resolve)
    })
  }

  /** Stops time while real work of another thread is under way, which takes none of it. */
  async hold<T>(work: () => Promise<T>): Promise<T> {
    this.#holds += 1
    try {
      return await work()
    } finally {
      this.#holds -= 1
    }
  }

  /** Runs timers until the work is done. @throws Error when it waits for something that never comes */
  drive<T>(work: () => Promise<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      let isOver = false
      const end = (settle: () => void) => {
        isOver = true
        settle()
      }
      const turn = () => {
        if (isOver || this.#holds > 0) return
        const problem = this.#runNext()
        if (problem !== undefined) end(() => reject(new Error(problem)))
      }
      const turns = () => {
        if (isOver) return
        for (let count = 0; count < turnsAtOnce; count += 1) realTurn(turn)
        realTurn(turns)
      }
      work().then(
        (value) => end(() => resolve(value)),
        (error: unknown) => end(() => reject(error)),
      )
      realTurn(turns)
    })
  }

  /** @returns why it cannot go on. */
  #runNext(): string | undefined {
    let timer = this.#pop()
    while (timer?.cancelled) timer = this.#pop()
    if (!timer) return 'everything waits for something that never comes'
    this.#nowMs = timer.atMs
    this.#ran += 1
    const second = Math.floor(timer.atMs / 1_000)
    if (second !== this.#stallSecond) {
      this.#stallSecond = second
      this.#stallCount = 0
    } else if (++this.#stallCount > timersPerSecondLimit) return 'time does not pass any more'
    timer.run()
    return undefined
  }

  #push(timer: Timer): void {
    const heap = this.#heap
    let at = heap.push(timer) - 1
    while (at > 0) {
      const above = (at - 1) >> 1
      const parent = heap[above]
      if (!parent || isBefore(parent, timer)) break
      heap[at] = parent
      at = above
    }
    heap[at] = timer
  }

  #pop(): Timer | undefined {
    const heap = this.#heap
    const first = heap[0]
    const last = heap.pop()
    if (!first || !last || heap.length === 0) return first
    let at = 0
    for (;;) {
      const left = heap[2 * at + 1]
      const right = heap[2 * at + 2]
      if (!left) break
      const isRight = right !== undefined && isBefore(right, left)
      const child = isRight ? right : left
      if (isBefore(last, child)) break
      heap[at] = child
      at = 2 * at + (isRight ? 2 : 1)
    }
    heap[at] = last
    return first
  }
}

const isBefore = (a: Timer, b: Timer): boolean =>
  a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order)
