/** Counts the bytes of request bodies in memory, in all and by caller. */
import { CallerCounts } from '../limits/networks.ts'

/** The bytes of one request. */
export interface BodyShare {
  /** False if the budget does not have so many left: then refuse the request for now. */
  take(bytes: number): boolean
  /** Gives everything back; may be called again. */
  release(): void
}

export class BodyBudget {
  readonly #limit: number
  readonly #exempt: (caller: string) => boolean
  readonly #byCaller: CallerCounts
  #used = 0

  /**
   * @param limit bytes in all; one caller has a quarter, and an IPv6 /48 half, so that slow uploads of one do
   * not stop all.
   * @param exempt callers who may use all of it.
   */
  constructor(limit: number, exempt: (caller: string) => boolean) {
    this.#limit = limit
    this.#byCaller = new CallerCounts(limit / 4, 2)
    this.#exempt = exempt
  }

  /** Bytes in use. */
  get used(): number {
    return this.#used
  }

  open(caller: string): BodyShare {
    let own = 0
    return {
      take: (bytes) => {
        if (this.#used + bytes > this.#limit) return false
        if (this.#byCaller.isOver(caller, bytes) && !this.#exempt(caller)) return false
        own += bytes
        this.#used += bytes
        this.#byCaller.add(caller, bytes)
        return true
      },
      release: () => {
        if (own === 0) return
        this.#used -= own
        this.#byCaller.add(caller, -own)
        own = 0
      },
    }
  }
}
