/** How well one device reaches the node: what becomes of each request, and when streams break. */
import type { Journal } from './journal.ts'
import type { Random } from './random.ts'

export type Sky = 'still' | 'calm' | 'rain' | 'storm' | 'outage'

export type Fate =
  | 'passes'
  /** Never reaches the node, and nobody says so. */
  | 'request lost'
  | 'connection refused'
  | 'rate limited'
  | 'unavailable'
  /** A gateway's answer, without the node's detail. */
  | 'bad gateway'
  /** The node does it; the answer never comes. */
  | 'answer lost'
  /** The node does it; the connection breaks before the answer. */
  | 'answer cut'
  /** The node gets it twice. */
  | 'repeated'
  | 'very late'

const troubles: readonly Fate[] = [
  'request lost',
  'connection refused',
  'rate limited',
  'unavailable',
  'bad gateway',
  'answer lost',
  'answer cut',
  'repeated',
  'very late',
]

/** How a stream ends before its time. */
export type Break = 'stream reset' | 'stream silent' | 'stream ended'
const breaks: readonly Break[] = ['stream reset', 'stream silent', 'stream ended']

const troubleOf: Readonly<Record<Sky, number>> = {
  still: 0,
  calm: 0,
  rain: 0.15,
  storm: 0.55,
  outage: 1,
}
const slowestMs: Readonly<Record<Sky, number>> = {
  still: 0,
  calm: 40,
  rain: 1_500,
  storm: 8_000,
  outage: 40,
}
/** In still weather nothing overtakes anything, and two days can be compared. */
const stillMs = 20
/** How long a stream lives on average. */
const streamMs: Readonly<Record<Sky, number>> = {
  still: Number.POSITIVE_INFINITY,
  calm: Number.POSITIVE_INFINITY,
  rain: 600_000,
  storm: 60_000,
  outage: 1,
}

export class Weather {
  readonly #name: string
  readonly #random: Random
  readonly #journal: Journal
  readonly #streams = new Set<(how: Break) => void>()
  /** Breaks to come. */
  readonly #planned = new Set<() => void>()
  #sky: Sky = 'calm'

  constructor(name: string, random: Random, journal: Journal) {
    this.#name = name
    this.#random = random
    this.#journal = journal
  }

  get sky(): Sky {
    return this.#sky
  }

  turn(sky: Sky): void {
    if (sky === this.#sky) return
    this.#sky = sky
    this.#journal.note(`${this.#name}: ${sky}`)
    if (sky === 'outage') {
      this.#journal.fault('outage', this.#name)
      for (const cut of [...this.#streams]) cut(this.#random.pick(breaks))
    }
  }

  /** Calm for good: what would have broken later does not. */
  settle(): void {
    this.turn('calm')
    for (const cancel of this.#planned) cancel()
    this.#planned.clear()
  }

  /** The sky of the next while. */
  change(): void {
    const fraction = this.#random.fraction()
    this.turn(
      fraction < 0.3 ? 'calm' : fraction < 0.65 ? 'rain' : fraction < 0.88 ? 'storm' : 'outage',
    )
  }

  fate(what: string): Fate {
    if (!this.#random.chance(troubleOf[this.#sky])) return 'passes'
    const fate =
      this.#sky === 'outage'
        ? this.#random.pick(['request lost', 'connection refused'] as const)
        : this.#random.pick(troubles)
    this.#journal.fault(fate, `${this.#name} ${what}`)
    return fate
  }

  /** One way. Long ones overtake each other. */
  latencyMs(): number {
    if (this.#sky === 'still') return stillMs
    const fraction = this.#random.fraction()
    return 2 + fraction * fraction * slowestMs[this.#sky]
  }

  retryAfterMs(): number {
    return this.#random.pick([0, 500, 5_000, 60_000])
  }

  /** Past what a client waits for an answer. */
  veryLateMs(): number {
    return this.#random.between(5_000, 40_000)
  }

  /** Calls `cut` when the stream breaks, now or in an outage to come. @returns how to stop that */
  streamOpened(
    cut: (how: Break) => void,
    after: (ms: number, run: () => void) => () => void,
  ): () => void {
    const breakNow = (how: Break) => {
      close()
      this.#journal.fault(how, this.#name)
      cut(how)
    }
    const lifeMs = streamMs[this.#sky]
    const cancel =
      lifeMs === Number.POSITIVE_INFINITY
        ? () => undefined
        : after(this.#random.wait(lifeMs), () => breakNow(this.#random.pick(breaks)))
    this.#planned.add(cancel)
    const close = () => {
      cancel()
      this.#planned.delete(cancel)
      this.#streams.delete(breakNow)
    }
    this.#streams.add(breakNow)
    return close
  }
}
