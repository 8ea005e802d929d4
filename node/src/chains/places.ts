/** How many may ask a chain at a time, and how many may wait for their turn. */

/** Thrown to who finds every place taken and the queue full. */
export class NoPlace extends Error {}

export interface Places {
  /**
   * Runs the task when a place is free, in the order of the calls.
   * @throws NoPlace if too many wait; the signal's reason if it aborts before the turn came.
   */
  run<T>(signal: AbortSignal, task: () => Promise<T>): Promise<T>
}

export function openPlaces(size: number, queueLimit: number): Places {
  let free = size
  const waiting = new Set<() => void>()

  const enter = async (signal: AbortSignal): Promise<void> => {
    signal.throwIfAborted()
    if (free > 0) {
      free -= 1
      return
    }
    if (waiting.size >= queueLimit) throw new NoPlace('too many questions wait')
    await new Promise<void>((resolve, reject) => {
      const giveUp = () => {
        waiting.delete(turn)
        reject(signal.reason)
      }
      const turn = () => {
        signal.removeEventListener('abort', giveUp)
        resolve()
      }
      waiting.add(turn)
      signal.addEventListener('abort', giveUp, { once: true })
    })
  }

  const leave = (): void => {
    const [next] = waiting
    if (next === undefined) {
      free += 1
      return
    }
    // The place passes on without being free in between, so nobody overtakes the queue.
    waiting.delete(next)
    next()
  }

  return {
    async run(signal, task) {
      await enter(signal)
      try {
        return await task()
      } finally {
        leave()
      }
    },
  }
}
