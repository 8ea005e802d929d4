/**
 * Says the same thing at once, and then once in a while how often it happened since: what strangers
 * cause, or an outage under load, does not fill the log.
 */
export interface RepeatsOptions {
  readonly everyMs: number
  /** How many things are told apart; further ones are counted together until there is room. */
  readonly keysLimit: number
  readonly say: (key: string, count: number) => void
  readonly sayOthers: (count: number) => void
}

export class Repeats {
  readonly #options: RepeatsOptions
  /** How often each happened since it was said. */
  readonly #counts = new Map<string, number>()
  #others = 0
  #timer: NodeJS.Timeout | undefined

  constructor(options: RepeatsOptions) {
    this.#options = options
  }

  add(key: string, count = 1): void {
    const since = this.#counts.get(key)
    this.#timer ??= setInterval(() => this.#turn(), this.#options.everyMs).unref()
    if (since !== undefined) this.#counts.set(key, since + count)
    else if (this.#counts.size >= this.#options.keysLimit) this.#others += count
    else {
      this.#counts.set(key, 0)
      this.#options.say(key, count)
    }
  }

  /** What went on happening is said again; what stopped is forgotten. */
  #turn(): void {
    const { say, sayOthers } = this.#options
    for (const [key, count] of [...this.#counts]) {
      if (count === 0) this.#counts.delete(key)
      else {
        this.#counts.set(key, 0)
        say(key, count)
      }
    }
    if (this.#others > 0) sayOthers(this.#others)
    this.#others = 0
    if (this.#counts.size > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
  }
}
