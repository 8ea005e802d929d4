/**
 * Thousands of requests, good and bad, against one node, and what must hold while they come and
 * afterwards. Every request is made from the seed and its number, so one of them can be made again.
 */
import { createHash } from 'node:crypto'
import { createGrpcTransport } from '@connectrpc/connect-node'
import type { Envelope } from '../../src/gen/padlock/v1/node_pb.ts'
import { nodeClient, type TestInstallation } from '../node/support.ts'
import { seededRandom } from '../support/random.ts'
import { envelopesIn, faultOf, type Outcome, rawFault, readOutcome } from './answers.ts'
import { type Call, damagedCarrier, damagedMessage, honestCall } from './calls.ts'
import type { FuzzNode } from './fuzz-node.ts'
import { limitCall } from './limits.ts'
import { type RawRequest, rawRequest } from './raw-bytes.ts'
import { FuzzWorld, honestSample, registrations } from './samples.ts'
import { openWire, type Wire } from './transports.ts'

type Attempt = { readonly call: Call } | { readonly raw: RawRequest }

/** What is published may lie in the node: surely, or because its answer never came. */
type Fate = 'acknowledged' | 'unknown'

const digestOf = (message: Uint8Array): string => createHash('sha256').update(message).digest('hex')
const keyOf = ({ topic, message }: Pick<Envelope, 'topic' | 'message'>): string =>
  `${topic} ${digestOf(message)}`

/** Everything that a campaign sends to one node, and what it learned. */
export class Campaign {
  readonly #node: FuzzNode
  readonly #seed: number
  readonly #wire: Wire
  readonly #world: FuzzWorld
  readonly #fates = new Map<string, Fate>()
  readonly #endings = new Map<string, number>()
  readonly #faults: string[] = []
  #slowest: { readonly ms: number; readonly what: string } = { ms: 0, what: 'none' }

  private constructor(node: FuzzNode, seed: number, world: FuzzWorld) {
    this.#node = node
    this.#seed = seed
    this.#world = world
    this.#wire = openWire(node.url)
  }

  /** Registers the recipients. */
  static async begin(node: FuzzNode, seed: number): Promise<Campaign> {
    const client = nodeClient(createGrpcTransport({ baseUrl: node.url }))
    const { nodeId, nodeNs } = await client.getInfo({})
    const campaign = new Campaign(node, seed, new FuzzWorld(seed, nodeId, nodeNs))
    for (const sample of await Promise.all(registrations(campaign.#world))) {
      const call = honestCall(sample, seededRandom(seed))
      await campaign.#judge('registration', call)
    }
    return campaign
  }

  get faults(): readonly string[] {
    return this.#faults
  }

  /** How many requests ended in which way. */
  get endings(): ReadonlyMap<string, number> {
    return this.#endings
  }

  /** The request that was answered last of all, for those who look for what is expensive. */
  get slowest(): { readonly ms: number; readonly what: string } {
    return this.#slowest
  }

  /** Sends this many, from a number on; how many a second. */
  async run(options: {
    readonly first: number
    readonly requests: number
    readonly concurrency: number
  }): Promise<number> {
    const { first, requests, concurrency } = options
    let next = first
    const before = performance.now()
    const worker = async (): Promise<void> => {
      while (next < first + requests && this.#node.alive) await this.#attempt(next++)
    }
    await Promise.all(Array.from({ length: concurrency }, worker))
    if (!this.#node.alive) this.#faults.push(`the node is gone: ${this.#node.output.slice(-2_000)}`)
    return requests / ((performance.now() - before) / 1_000)
  }

  async #attempt(index: number): Promise<void> {
    const made = await this.make(index)
    if ('call' in made) {
      await this.#judge(`request ${index}`, made.call)
      return
    }
    const answer = await this.#wire.sendRaw(made.raw)
    this.#count(`bare connection: ${answer.status ?? 'closed'}`)
    this.#note(made.raw.call, 'unknown')
    const fault = rawFault(answer)
    if (fault !== undefined) this.#blame(`request ${index}`, `bare: ${made.raw.what}`, fault)
  }

  /** The request of a number. */
  async make(index: number): Promise<Attempt> {
    // Far apart for neighbours: the generator's first values follow its seed closely otherwise.
    const random = seededRandom(Math.imul(this.#seed ^ (index + 1), 0x9e37_79b1))
    const kind = random.below(1_000)
    if (kind < 15) return { call: limitCall(this.#world, random) }
    const sample = await honestSample(this.#world, random, index)
    if (kind < 265) return { call: honestCall(sample, random) }
    if (kind < 665) return { call: damagedMessage(sample, random) }
    if (kind < 915) return { call: damagedCarrier(sample, random) }
    return { raw: rawRequest(sample, random) }
  }

  async #judge(name: string, call: Call): Promise<void> {
    const before = performance.now()
    const answer = await this.#wire.send(call)
    const ms = Math.round(performance.now() - before)
    const outcome = readOutcome(call.rpc, answer)
    this.#count(endingOf(outcome))
    const fault = faultOf(call, outcome)
    const what = `${call.rpc}, ${call.carrier.name}, ${call.what}`
    if (ms > this.#slowest.ms) this.#slowest = { ms, what: `${name}: ${what}` }
    if (fault !== undefined)
      this.#blame(name, what, `${fault}${answer.why ? ` (${answer.why})` : ''}`)
    if (outcome.kind === 'refused' || outcome.kind === 'http') return
    this.#note(call, outcome.kind === 'success' && call.exact ? 'acknowledged' : 'unknown')
  }

  #note(call: Call, fate: Fate): void {
    for (const envelope of envelopesIn(call) ?? []) {
      const key = keyOf(envelope)
      if (this.#fates.get(key) !== 'acknowledged') this.#fates.set(key, fate)
    }
  }

  #count(ending: string): void {
    this.#endings.set(ending, (this.#endings.get(ending) ?? 0) + 1)
  }

  #blame(name: string, what: string, fault: string): void {
    this.#faults.push(`${name} of seed ${this.#seed}: ${what}: ${fault}`)
  }

  /** Compares what lies in the node with what it acknowledged; both ways. */
  async compare(): Promise<{ readonly stored: number }> {
    const client = nodeClient(createGrpcTransport({ baseUrl: this.#node.url }))
    const everyone = [...this.#world.residents, ...this.#world.newcomers.values()]
    const missing = new Set<string>()
    for (const [key, fate] of this.#fates) {
      // A prekey upload is served by claims only.
      if (fate === 'acknowledged' && !key.startsWith('prekey-')) missing.add(key)
    }
    let stored = 0
    const read = async (topics: readonly string[], owners: readonly TestInstallation[]) => {
      const after = new Map(topics.map((topic) => [topic, 0n]))
      for (let more = true; more; ) {
        const cursors = Array.from(after, ([topic, afterSequence]) => ({ topic, afterSequence }))
        const page = await client.query({ topics: cursors, proofs: this.#world.proofs(owners) })
        for (const envelope of page.envelopes) {
          const expected = (after.get(envelope.topic) ?? 0n) + 1n
          if (envelope.sequence !== expected) this.#faults.push(`a gap in ${envelope.topic}`)
          after.set(envelope.topic, envelope.sequence)
          const key = keyOf(envelope)
          stored += 1
          missing.delete(key)
          if (!this.#fates.has(key)) this.#faults.push(`stored and never acknowledged: ${key}`)
        }
        more = page.hasMore
      }
    }
    for (let at = 0; at < everyone.length; at += 100) {
      const some = everyone.slice(at, at + 100)
      const accounts = [...new Set(some.map(({ account }) => account.address))]
      await read(
        accounts.flatMap((address) => [`contact-${address}`, `revoked-${address}`]),
        [],
      )
      await read(
        some.map(({ inbox }) => inbox),
        some,
      )
    }
    for (const key of missing) this.#faults.push(`acknowledged and not stored: ${key}`)
    return { stored }
  }

  close(): void {
    this.#wire.close()
  }
}

const endingOf = (outcome: Outcome): string =>
  outcome.kind === 'refused'
    ? `refused: ${outcome.code ?? `status ${outcome.status}`}`
    : outcome.kind === 'http'
      ? `HTTP ${outcome.status}`
      : outcome.kind
