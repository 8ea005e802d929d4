/**
 * Bounds the envelopes that are read for answers and not taken by their readers yet, in all and by
 * caller. Who finds no room waits, and whose caller holds least is served first. If that takes a while,
 * the answer that has stood still longest at the caller that holds the most is cut. So those who read
 * nothing harm each other only.
 */
import { type ContextKey, createContextKey } from '@connectrpc/connect'
import { CallerCounts, networkOf } from './networks.ts'

/** How long a query waits for memory; then it is refused, to be sent again. */
export const queryWaitMs = 15_000

/** The part of one answer. */
export interface AnswerShare {
  /** Whether memory is short, so that frames should be small. */
  readonly isTight: boolean
  /**
   * Takes room for so many bytes of envelopes, and waits for it if need be.
   * @returns false if there was none in time, or the answer is over.
   */
  take(bytes: number, waitMs: number): Promise<boolean>
  /** So many bytes are needed after all, at most as many as were taken. */
  keep(bytes: number): void
  /** The reader took something. */
  moved(): void
  /** Gives everything back, for good; may be called again. */
  release(): void
}

/** An answer in a process without sockets, which nobody counts. */
const uncounted: AnswerShare = {
  isTight: false,
  take: () => Promise.resolve(true),
  keep() {},
  moved() {},
  release() {},
}

export const answerShareKey: ContextKey<AnswerShare> = createContextKey(uncounted, {
  description: 'memory for the answer',
})

export interface AnswerMemoryOptions {
  /** In all; one caller has a quarter. */
  readonly limitBytes: number
  /** Callers who may use all of it. */
  readonly exempt: (caller: string) => boolean
  /** How long an answer may stand still while others wait. */
  readonly patienceMs?: number
}

interface Answer {
  readonly caller: string
  readonly cut: () => void
  bytes: number
  movedAtMs: number
}

interface Waiting {
  readonly answer: Answer
  readonly bytes: number
  readonly settle: (isThere: boolean) => void
}

/** Of each envelope there are an object, the bytes on their way, and what encoding them left behind. */
const copies = 4
const checkMs = 500

export class AnswerMemory {
  readonly #limit: number
  readonly #limitOfCaller: number
  readonly #exempt: (caller: string) => boolean
  readonly #patienceMs: number
  readonly #holding = new Set<Answer>()
  readonly #waiting = new Map<string, Set<Waiting>>()
  readonly #byCaller: CallerCounts
  #used = 0
  #timer: NodeJS.Timeout | undefined

  constructor({ limitBytes, exempt, patienceMs = 10_000 }: AnswerMemoryOptions) {
    this.#limit = limitBytes
    this.#limitOfCaller = limitBytes / 4
    this.#byCaller = new CallerCounts(this.#limitOfCaller, 2)
    this.#exempt = exempt
    this.#patienceMs = patienceMs
  }

  /** Bytes in use. */
  get used(): number {
    return this.#used
  }

  /** @param cut ends the answer, whose share is then released. */
  open(caller: string, cut: () => void): AnswerShare {
    const answer: Answer = { caller, cut, bytes: 0, movedAtMs: 0 }
    const memory = this
    let isOver = false
    return {
      get isTight() {
        return memory.#isTight(caller)
      },
      take: (bytes, waitMs) =>
        isOver ? Promise.resolve(false) : memory.#take(answer, bytes * copies, waitMs),
      keep: (bytes) => memory.#resize(answer, Math.min(answer.bytes, bytes * copies)),
      moved() {
        answer.movedAtMs = performance.now()
      },
      release() {
        isOver = true
        for (const one of memory.#waiting.get(caller) ?? []) {
          if (one.answer === answer) one.settle(false)
        }
        memory.#resize(answer, 0)
      },
    }
  }

  #isTight(caller: string): boolean {
    if (this.#used > this.#limit / 2) return true
    return !this.#exempt(caller) && this.#ofCaller(caller) > this.#limitOfCaller / 2
  }

  #ofCaller(caller: string): number {
    return this.#byCaller.of(caller)
  }

  #isCallerFull({ caller }: Answer, bytes: number): boolean {
    return !this.#exempt(caller) && this.#byCaller.isOver(caller, bytes)
  }

  #hasRoom(answer: Answer, bytes: number): boolean {
    return this.#used + bytes <= this.#limit && !this.#isCallerFull(answer, bytes)
  }

  #take(answer: Answer, bytes: number, waitMs: number): Promise<boolean> {
    if (this.#hasRoom(answer, bytes)) {
      this.#resize(answer, answer.bytes + bytes)
      return Promise.resolve(true)
    }
    return new Promise((resolve) => {
      const timer = setTimeout(() => settle(false), waitMs)
      const settle = (isThere: boolean): void => {
        clearTimeout(timer)
        const others = this.#waiting.get(answer.caller)
        others?.delete(waiting)
        if (others?.size === 0) this.#waiting.delete(answer.caller)
        if (this.#waiting.size === 0) this.#timer = clear(this.#timer)
        resolve(isThere)
      }
      const waiting: Waiting = { answer, bytes, settle }
      const others = this.#waiting.get(answer.caller)
      if (others === undefined) this.#waiting.set(answer.caller, new Set([waiting]))
      else others.add(waiting)
      this.#timer ??= setInterval(() => this.#relieve(), Math.min(checkMs, this.#patienceMs))
    })
  }

  #resize(answer: Answer, bytes: number): void {
    const change = bytes - answer.bytes
    if (change === 0) return
    if (answer.bytes === 0) answer.movedAtMs = performance.now()
    answer.bytes = bytes
    if (bytes === 0) this.#holding.delete(answer)
    else this.#holding.add(answer)
    this.#used += change
    this.#byCaller.add(answer.caller, change)
    if (change < 0) this.#serve()
  }

  /** Who holds least is served first, so that a crowd of one caller holds up nobody else. */
  #serve(): void {
    for (let next = this.#next(true); next !== undefined; next = this.#next(true)) {
      if (this.#used + next.bytes > this.#limit) return
      this.#resize(next.answer, next.answer.bytes + next.bytes)
      next.settle(true)
    }
  }

  /** The one to be served next: of the caller that holds least, the one that waits longest. */
  #next(onlyAllowed = false): Waiting | undefined {
    let next: Waiting | undefined
    let least = Number.POSITIVE_INFINITY
    for (const [caller, [first]] of this.#waiting) {
      const ofCaller = this.#ofCaller(caller)
      if (first === undefined || ofCaller >= least) continue
      if (onlyAllowed && this.#isCallerFull(first.answer, first.bytes)) continue
      least = ofCaller
      next = first
    }
    return next
  }

  /** Makes room for the next. */
  #relieve(): void {
    const first = this.#next()
    if (first === undefined) return
    const { caller } = first.answer
    const isOwnFault = this.#isCallerFull(first.answer, first.bytes)
    const still = performance.now() - this.#patienceMs
    const stalled = [...this.#holding]
      .filter(({ movedAtMs }) => movedAtMs <= still)
      .filter((answer) => !isOwnFault || isNear(answer.caller, caller))
      .sort(
        (a, b) => this.#ofCaller(b.caller) - this.#ofCaller(a.caller) || a.movedAtMs - b.movedAtMs,
      )
    let missing = first.bytes
    for (const answer of stalled) {
      if (missing <= 0) return
      missing -= answer.bytes
      answer.cut()
      this.#resize(answer, 0)
    }
  }
}

/** Whether they share what a caller may. */
const isNear = (one: string, other: string): boolean => {
  const network = networkOf(one)
  return one === other || (network !== undefined && network === networkOf(other))
}

function clear(timer: NodeJS.Timeout | undefined): undefined {
  clearInterval(timer)
  return undefined
}
