/** Delivers events to listeners, each with its own bounded queue. */

import { onAbort } from '../async.ts'
import { PadlockError } from '../errors.ts'
import type { ClientEvent } from './message.ts'
import { returnable } from './returnable.ts'

/** How many events a listener may fall behind. */
const maxQueued = 1_000

interface Listener {
  readonly queue: ClientEvent[]
  wake: () => void
  error: PadlockError | undefined
  /** Nothing more is queued; what is queued may still be read. */
  leave(): void
}

export class EventHub {
  readonly #listeners = new Set<Listener>()
  #closed: PadlockError | undefined

  push(events: readonly ClientEvent[]): void {
    for (const listener of [...this.#listeners]) {
      listener.queue.push(...events)
      if (listener.queue.length > maxQueued) {
        listener.queue.length = 0
        listener.error = new PadlockError('slow_reader')
        // Else it would get what comes after the gap, and keep it if nobody ever reads.
        listener.leave()
      }
      listener.wake()
    }
  }

  /** Ends every listener with this error, once it has read what is queued. */
  close(error: PadlockError): void {
    this.#closed ??= error
    for (const listener of [...this.#listeners]) {
      listener.error = error
      listener.leave()
      listener.wake()
    }
  }

  /** Everything from now on. Ends when aborted; throws `closed`, or `slow_reader` when too far behind. */
  listen(signal: AbortSignal | undefined): AsyncIterable<ClientEvent> {
    const listeners = this.#listeners
    return returnable((returned) => {
      let isOver = false
      const listener: Listener = {
        queue: [],
        wake: () => undefined,
        error: this.#closed,
        leave: () => {
          listeners.delete(listener)
          for (const stop of stops) stop()
        },
      }
      const end = () => {
        isOver = true
        listener.queue.length = 0
        listener.leave()
        listener.wake()
      }
      const stops: (() => void)[] = []
      if (!this.#closed) listeners.add(listener)
      for (const ending of [signal, returned]) stops.push(onAbort(ending, end))
      return eventsOf(listener, () => isOver)
    })
  }
}

async function* eventsOf(
  listener: Listener,
  isOver: () => boolean,
): AsyncGenerator<ClientEvent, void> {
  while (!isOver()) {
    const event = listener.queue.shift()
    if (event) yield event
    else if (listener.error) throw listener.error
    else {
      await new Promise<void>((resolve) => {
        listener.wake = resolve
      })
    }
  }
}
