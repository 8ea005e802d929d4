/**
 * Counts the bytes of request bodies in memory, in all and by caller. When they are too many, the caller that
 * holds most loses a body that is still on its way: slow uploads of a few stop nobody else.
 */
import { CallerCounts } from '../limits/networks.ts'

/** The bytes of one request. */
export interface BodyShare {
  /** False if the budget does not have so many left: then refuse the request for now. */
  take(bytes: number): boolean
  /** The body is there as a whole: it will be answered before long. */
  arrived(): void
  /** Gives everything back; may be called again. */
  release(): void
}

interface Body {
  readonly caller: string
  readonly cut: () => void
  bytes: number
}

export class BodyBudget {
  readonly #limit: number
  readonly #exempt: (caller: string) => boolean
  readonly #byCaller: CallerCounts
  /** The oldest first. */
  readonly #onTheirWay = new Set<Body>()
  #used = 0

  /**
   * @param limit bytes in all; one caller has a quarter, or room for a request of the largest size if half is
   * enough for that, and an IPv6 /48 twice as much.
   * @param exempt callers who may use all of it.
   * @param largest bytes of the largest request.
   */
  constructor(limit: number, exempt: (caller: string) => boolean, largest = 0) {
    this.#limit = limit
    this.#byCaller = new CallerCounts(Math.max(limit / 4, Math.min(limit / 2, largest)), 2)
    this.#exempt = exempt
  }

  /** Bytes in use. */
  get used(): number {
    return this.#used
  }

  /** @param cut ends a request whose body goes for that of somebody else. */
  open(caller: string, cut: () => void = () => {}): BodyShare {
    const body: Body = { caller, cut, bytes: 0 }
    return {
      take: (bytes) => {
        if (this.#byCaller.isOver(caller, bytes) && !this.#exempt(caller)) return false
        if (this.#used + bytes > this.#limit && !this.#makeRoom(caller, bytes)) return false
        this.#onTheirWay.add(body)
        this.#change(body, bytes)
        return true
      },
      arrived: () => void this.#onTheirWay.delete(body),
      release: () => this.#drop(body),
    }
  }

  #drop(body: Body): void {
    this.#onTheirWay.delete(body)
    this.#change(body, -body.bytes)
  }

  #change(body: Body, bytes: number): void {
    if (bytes === 0) return
    body.bytes += bytes
    this.#used += bytes
    this.#byCaller.add(body.caller, bytes)
  }

  /** Cuts bodies of whoever holds most, as long as that is more than this caller has. */
  #makeRoom(caller: string, bytes: number): boolean {
    while (this.#used + bytes > this.#limit) {
      let most: Body | undefined
      for (const body of this.#onTheirWay) {
        if (most === undefined || this.#held(body.caller) > this.#held(most.caller)) most = body
      }
      if (most === undefined || this.#held(most.caller) <= this.#held(caller) + bytes) return false
      this.#drop(most)
      most.cut()
    }
    return true
  }

  #held(caller: string): number {
    return this.#byCaller.around(caller)
  }
}
