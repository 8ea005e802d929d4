/** Counts the bytes of request bodies in memory, in all and by caller. */

/** The bytes of one request. */
export interface BodyShare {
  /** False if the budget does not have so many left: then refuse the request for now. */
  take(bytes: number): boolean
  /** Gives everything back; may be called again. */
  release(): void
}

export class BodyBudget {
  readonly #limit: number
  readonly #limitOfCaller: number
  readonly #exempt: (caller: string) => boolean
  readonly #byCaller = new Map<string, number>()
  #used = 0

  /**
   * @param limit bytes in all; one caller has a quarter, so that slow uploads of one do not stop all.
   * @param exempt callers who may use all of it.
   */
  constructor(limit: number, exempt: (caller: string) => boolean) {
    this.#limit = limit
    this.#limitOfCaller = limit / 4
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
        const ofCaller = (this.#byCaller.get(caller) ?? 0) + bytes
        if (this.#used + bytes > this.#limit) return false
        if (ofCaller > this.#limitOfCaller && !this.#exempt(caller)) return false
        own += bytes
        this.#used += bytes
        this.#byCaller.set(caller, ofCaller)
        return true
      },
      release: () => {
        if (own === 0) return
        this.#used -= own
        const left = (this.#byCaller.get(caller) ?? own) - own
        if (left === 0) this.#byCaller.delete(caller)
        else this.#byCaller.set(caller, left)
        own = 0
      },
    }
  }
}
