/**
 * Bounds the calls under way, subscriptions too, in all and by caller: each takes some memory, whoever
 * makes it and whatever it waits for.
 */
import { type ContextKey, createContextKey } from '@connectrpc/connect'
import { FairPlaces } from '../limits/fair-places.ts'
import { CallerCounts } from '../limits/networks.ts'

/** What a call takes while it is under way, besides its body and its answer. */
export const callBytes = 64 * 1024

/** Whether a call has no place, and is to be refused. */
export const noPlaceKey: ContextKey<boolean> = createContextKey(false, {
  description: 'too many calls are under way',
})

export interface CallPlace {
  /** `refused` calls are answered so; those that are `cut` are so many that not even that is done. */
  readonly kind: 'served' | 'refused' | 'cut'
  /** Gives the place back; may be called again. */
  release(): void
}

/** How many calls may be refused at a time: some readers do not even take a refusal. */
const refusedAtOnce = 1_000

export class CallGate {
  /** In all. */
  readonly limit: number
  readonly #places: FairPlaces<() => void>
  readonly #byCaller: CallerCounts
  readonly #exempt: (caller: string) => boolean
  #refused = 0

  /** @param limit in all; one caller has a quarter. */
  constructor(limit: number, exempt: (caller: string) => boolean) {
    this.limit = limit
    this.#places = new FairPlaces(limit, (cut) => cut())
    this.#byCaller = new CallerCounts(limit / 4, 2)
    this.#exempt = exempt
  }

  /** Calls that are served. */
  get size(): number {
    return this.#places.size
  }

  /** @param cut ends the call when its place goes to somebody else. */
  open(caller: string, cut: () => void): CallPlace {
    const isOver = this.#byCaller.isOver(caller, 1) && !this.#exempt(caller)
    if (isOver || !this.#places.take(caller, cut)) return this.#refuse()
    this.#byCaller.add(caller, 1)
    let isOpen = true
    const release = (): void => {
      if (!isOpen) return
      isOpen = false
      this.#places.release(caller, cut)
      this.#byCaller.add(caller, -1)
    }
    return { kind: 'served', release }
  }

  #refuse(): CallPlace {
    if (this.#refused >= refusedAtOnce) return { kind: 'cut', release() {} }
    this.#refused += 1
    let isOpen = true
    const release = (): void => {
      if (isOpen) this.#refused -= 1
      isOpen = false
    }
    return { kind: 'refused', release }
  }
}
