/** Clients that read: subscribers that resume from what they have, and some that ask page by page. */
import { setTimeout as sleep } from 'node:timers/promises'
import { digestOf, type ReceivedEnvelope } from './ledger.ts'
import { type Client, type Member, nowNs, type World } from './world.ts'

export interface Place {
  readonly topic: string
  readonly afterSequence: bigint
}

/** Reads topics in order, each envelope once, and compares what it sees with what others saw. */
export class Reader {
  readonly positions = new Map<string, bigint>()
  readonly #world: World
  readonly #kind: string

  constructor(world: World, kind: string) {
    this.#world = world
    this.#kind = kind
  }

  /** Where it goes on: on these topics, beginning with those that are new to it. */
  places(topics: readonly string[]): Place[] {
    return topics.map((topic) => {
      const afterSequence = this.positions.get(topic) ?? 0n
      this.positions.set(topic, afterSequence)
      return { topic, afterSequence }
    })
  }

  /** Takes a page or a frame. */
  take(envelopes: readonly ReceivedEnvelope[]): void {
    const { ledger } = this.#world
    for (const { topic, sequence, nodeNs, message } of envelopes) {
      const position = this.positions.get(topic)
      if (position === undefined || sequence !== position + 1n) {
        ledger.report(`a ${this.#kind} got ${topic} ${sequence} after ${position}`)
      }
      this.positions.set(topic, sequence)
      ledger.observe(topic, sequence, nodeNs, digestOf(message), `a ${this.#kind}`)
    }
    ledger.count(`${this.#kind} envelopes`, envelopes.length)
  }

  /** Topics among these on which it is not there yet. */
  behind(finals: ReadonlyMap<string, bigint>): string[] {
    return [...this.positions]
      .filter(([topic, position]) => position !== (finals.get(topic) ?? 0n))
      .map(([topic, position]) => `${topic} at ${position} of ${finals.get(topic) ?? 0n}`)
  }
}

/** All topics of a member that a subscriber reads. */
const topicsOf = ({ installation }: Member): string[] => [
  installation.inbox,
  `contact-${installation.account.address}`,
  `revoked-${installation.account.address}`,
]

/** Everything before its caught-up is in this order, frame by frame (docs/protocol.md section 5). */
const isInOrder = (envelopes: readonly ReceivedEnvelope[]): boolean =>
  envelopes.every((envelope, index) => {
    const before = envelopes[index - 1]
    if (before === undefined || before.nodeNs < envelope.nodeNs) return true
    if (before.nodeNs > envelope.nodeNs) return false
    if (before.topic !== envelope.topic) return before.topic < envelope.topic
    return before.sequence < envelope.sequence
  })

export class Subscriber {
  readonly reader: Reader
  readonly #world: World
  readonly #client: Client
  readonly #restlessness: number
  readonly #wanted = new Map<Member, boolean>()
  #abort = new AbortController()
  #moved = Promise.withResolvers<void>()
  #caughtUp = Promise.withResolvers<void>()
  #closed = false

  /** After each frame it leaves with this probability, and comes back. */
  constructor(world: World, restlessness: number) {
    this.#world = world
    this.#restlessness = restlessness
    this.#client = world.newClient()
    this.reader = new Reader(world, 'subscriber')
  }

  /** Subscribes again and again until it is closed. */
  async run(): Promise<void> {
    const { caller } = this.#client
    for (let failures = 0; !this.#closed; ) {
      try {
        await this.#follow(() => {
          failures = 0
        })
      } catch (error) {
        if (this.#abort.signal.aborted) continue
        caller.failed(error)
        failures += 1
        if (failures > 2) await sleep(20 * Math.min(failures, 10))
      }
    }
  }

  /** Waits until the open stream has brought it to these ends; says what is missing. */
  async reached(finals: ReadonlyMap<string, bigint>, timeoutMs: number): Promise<string[]> {
    const endMs = performance.now() + timeoutMs
    for (;;) {
      const behind = this.reader.behind(finals)
      const leftMs = endMs - performance.now()
      if (behind.length === 0 || leftMs <= 0) return behind
      this.#moved = Promise.withResolvers()
      await Promise.race([this.#moved.promise, sleep(leftMs, undefined, { ref: false })])
    }
  }

  /** Opens a new stream, and waits until that one has caught up. */
  async reopened(): Promise<void> {
    this.#caughtUp = Promise.withResolvers()
    this.cut()
    await this.#caughtUp.promise
  }

  /** Ends the open stream; `run` opens another, unless it is for good. */
  cut(forGood = false): void {
    this.#closed ||= forGood
    this.#abort.abort()
  }

  async #follow(started: () => void): Promise<void> {
    const { caller, random } = this.#client
    const { ledger } = this.#world
    const client = await caller.pick()
    const topics = this.#world.members.filter((one) => this.#wants(one)).flatMap(topicsOf)
    const request = { topics: this.reader.places(topics), proofs: this.#world.proofs(topics) }
    this.#abort = new AbortController()
    if (this.#closed) return
    const stream = client.subscribe(request, { signal: this.#abort.signal })
    let live = false
    for await (const { event } of stream) {
      if (event.case === 'started') {
        started()
        if (Buffer.compare(event.value.nodeId, this.#world.nodeId) !== 0) {
          ledger.report('the node has another id than before')
        }
        ledger.count('subscriptions')
      } else if (event.case === 'caughtUp') {
        live = true
        this.#caughtUp.resolve()
      } else if (event.case === 'envelopes') {
        const { envelopes } = event.value
        if (!live && !isInOrder(envelopes)) ledger.report('a catch-up frame is out of order')
        this.reader.take(envelopes)
        if (live) ledger.count('subscriber envelopes while live', envelopes.length)
      }
      this.#moved.resolve()
      if (!this.#world.stopping && random.chance(this.#restlessness)) this.cut()
    }
  }

  /** Half of all members, decided once for each. */
  #wants(member: Member): boolean {
    const decided = this.#wanted.get(member) ?? this.#client.random.chance(0.5)
    this.#wanted.set(member, decided)
    return decided
  }
}

/** Asks page by page, of all kinds of size, until the run stops. */
export async function queryTopics(world: World): Promise<void> {
  const { caller, random } = world.newClient()
  const reader = new Reader(world, 'querier')
  while (!world.stopping) {
    const topics = topicsOf(random.pick(world.members))
    const limit = random.chance(0.5) ? 0 : 1 + random.below(200)
    await readPage(world, caller, reader, topics, limit)
  }
}

/** Reads one page; true if there is more. */
export async function readPage(
  world: World,
  caller: Client['caller'],
  reader: Reader,
  topics: readonly string[],
  limit = 0,
): Promise<boolean> {
  const request = { topics: reader.places(topics), limit, proofs: world.proofs(topics) }
  const answer = await caller.call((client, options) => client.query(request, options))
  if (answer.kind !== 'answered') {
    world.ledger.report(`a query was not answered at ${nowNs()}`)
    return false
  }
  const { envelopes, hasMore } = answer.value
  if (!isInOrder(envelopes)) world.ledger.report('a page is out of order')
  if (hasMore && envelopes.length === 0) world.ledger.report('a page is empty and says has_more')
  reader.take(envelopes)
  return hasMore
}
