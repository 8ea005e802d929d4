/** Bounds how many tasks run at a time, and how many may queue for their turn. */

import { deferred, onAbort } from '../../../src/async.ts'

/** Thrown when all slots are busy and the queue is full. */
export class QueueFull extends Error {}

export interface Semaphore {
  /**
   * Runs the task once a slot is free, first come, first served.
   * @throws QueueFull if too many tasks wait; the signal's reason if it aborts before the turn came.
   */
  run<T>(signal: AbortSignal, task: () => Promise<T>): Promise<T>
}

export function openSemaphore(slots: number, queueLimit: number): Semaphore {
  let free = slots
  const queue = new Set<() => void>()

  const acquire = async (signal: AbortSignal): Promise<void> => {
    signal.throwIfAborted()
    if (free > 0) {
      free -= 1
      return
    }
    if (queue.size >= queueLimit) throw new QueueFull('too many questions wait')
    const turn = deferred()
    queue.add(turn.resolve)
    const stopListening = onAbort(signal, () => {
      queue.delete(turn.resolve)
      turn.reject(signal.reason)
    })
    await turn.promise.finally(stopListening)
  }

  const release = (): void => {
    const [next] = queue
    if (next === undefined) {
      free += 1
      return
    }
    // The slot passes on without being free in between, so nobody overtakes the queue.
    queue.delete(next)
    next()
  }

  return {
    async run(signal, task) {
      await acquire(signal)
      try {
        return await task()
      } finally {
        release()
      }
    },
  }
}
