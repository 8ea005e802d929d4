/** Delivers events to listeners, each with its own bounded queue. */

import { onAbort } from '../async.ts'
import { PadlockError } from '../errors.ts'
import type { ClientEvent } from '../worker/contract.ts'

/** How many events a listener may fall behind. */
const maxQueued = 1_000

interface Listener {
  readonly queue: ClientEvent[]
  wake: () => void
  error: PadlockError | undefined
}

export class EventHub {
  readonly #listeners = new Set<Listener>()
  #closed: PadlockError | undefined

  push(events: readonly ClientEvent[]): void {
    for (const listener of this.#listeners) {
      listener.queue.push(...events)
      if (listener.queue.length > maxQueued) {
        listener.queue.length = 0
        listener.error = new PadlockError('slow_reader')
      }
      listener.wake()
    }
  }

  /** Ends every listener with this error, once it has read what is queued. */
  close(error: PadlockError): void {
    this.#closed ??= error
    for (const listener of this.#listeners) {
      listener.error ??= error
      listener.wake()
    }
  }

  /** Everything from now on. Ends when aborted; throws `closed`, or `slow_reader` when too far behind. */
  listen(signal: AbortSignal | undefined): AsyncIterable<ClientEvent> {
    const listener: Listener = { queue: [], wake: () => undefined, error: this.#closed }
    this.#listeners.add(listener)
    const remove = () => {
      this.#listeners.delete(listener)
      listener.wake()
    }
    const stopListening = onAbort(signal, remove)
    const listeners = this.#listeners
    return (async function* () {
      try {
        for (;;) {
          const event = listener.queue.shift()
          if (event) yield event
          else if (!listeners.has(listener)) return
          else if (listener.error) throw listener.error
          else {
            await new Promise<void>((resolve) => {
              listener.wake = resolve
            })
          }
        }
      } finally {
        stopListening()
        remove()
      }
    })()
  }
}
