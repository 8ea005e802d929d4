/** How a client of a kill test calls: again, on another node, until it has an answer. */
import { setTimeout as sleep } from 'node:timers/promises'
import { Code, ConnectError, type Transport } from '@connectrpc/connect'
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from '@connectrpc/connect-node'
import { type NodeClient, nodeClient, readRefusal, type SeenRefusal } from '../node/support.ts'
import type { seededRandom } from '../support/random.ts'
import type { Ledger } from './ledger.ts'
import type { NodeGroup } from './node-group.ts'

export type Random = ReturnType<typeof seededRandom>

export type Answer<T> =
  | { readonly kind: 'answered'; readonly value: T }
  | { readonly kind: 'refused'; readonly refusal: SeenRefusal }
  /** The client did not wait for the end of it. */
  | { readonly kind: 'given-up' }

const protocols: readonly ((baseUrl: string) => Transport)[] = [
  (baseUrl) => createGrpcTransport({ baseUrl }),
  (baseUrl) => createGrpcWebTransport({ baseUrl, httpVersion: '1.1' }),
  (baseUrl) => createConnectTransport({ baseUrl, httpVersion: '1.1' }),
]

const triedAgain = ['unavailable', 'rate_limited', 'slow_reader']
const callTimeoutMs = 15_000
/** Longer than any restart: after this, no answer will ever come. */
const patienceMs = 60_000

export class Caller {
  readonly #nodes: NodeGroup
  readonly #ledger: Ledger
  readonly #clients: readonly NodeClient[]
  #current: number

  /** Each number speaks one of the three protocols and begins at one of the nodes. */
  constructor(nodes: NodeGroup, ledger: Ledger, number: number) {
    this.#nodes = nodes
    this.#ledger = ledger
    const speak = protocols.at(number % protocols.length)
    if (speak === undefined) throw new Error('no protocol')
    this.#clients = nodes.urls.map((url) => nodeClient(speak(url)))
    this.#current = number % this.#clients.length
  }

  /** Calls until the node answers or refuses; with `tries`, no more often than that. */
  async call<T>(
    act: (client: NodeClient, options: { readonly timeoutMs: number }) => Promise<T>,
    tries = Number.POSITIVE_INFINITY,
  ): Promise<Answer<T>> {
    const startMs = performance.now()
    for (let failures = 0; failures < tries; ) {
      const client = await this.pick()
      try {
        return { kind: 'answered', value: await act(client, { timeoutMs: callTimeoutMs }) }
      } catch (error) {
        const refusal = readRefusal(error)
        if (refusal.code !== undefined && !triedAgain.includes(refusal.code)) {
          return { kind: 'refused', refusal }
        }
        this.failed(error)
        failures += 1
        if (performance.now() - startMs > patienceMs) {
          this.#ledger.report(`no answer for ${patienceMs / 1000} s: ${ConnectError.from(error)}`)
          return { kind: 'given-up' }
        }
        // A closed connection is tried again at once; a node that cannot, a little later.
        if (failures > 2) await sleep(Math.min(10 * failures, 200))
      }
    }
    return { kind: 'given-up' }
  }

  /** The client of a node that listens. */
  async pick(): Promise<NodeClient> {
    await this.#nodes.untilSomeUp()
    while (!this.#nodes.isUp(this.#current)) this.#move()
    const client = this.#clients[this.#current]
    if (client === undefined) throw new Error('no client')
    return client
  }

  /** Notes a failure and goes to another node. */
  failed(error: unknown): void {
    const { code, rawMessage } = ConnectError.from(error)
    const isBroken = [Code.Aborted, Code.Canceled, Code.Unavailable].includes(code)
    const why = isBroken ? '' : ` (${rawMessage})`
    this.#ledger.count(`calls ended by ${Code[code]}${why}`)
    // What a node says of its own defects; a broken connection says something else.
    if (code === Code.Internal && rawMessage === 'internal error') {
      this.#ledger.report('a node answered with an internal error')
    }
    this.#move()
  }

  #move(): void {
    this.#current = (this.#current + 1) % this.#clients.length
  }
}
