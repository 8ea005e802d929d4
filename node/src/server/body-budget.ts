/** How many bytes of request bodies are in memory, in all and of each caller. */

/** What one request has taken; to be given back once. */
export interface BodyShare {
  /** False if that is more than is left: then the request is to be refused, and tried again. */
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
   * @param exempt who may have all of it.
   */
  constructor(limit: number, exempt: (caller: string) => boolean) {
    this.#limit = limit
    this.#limitOfCaller = limit / 4
    this.#exempt = exempt
  }

  /** Bytes that are taken. */
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
