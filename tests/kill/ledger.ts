/**
 * What the clients of a kill test know: what they sent, what the nodes answered, and what they
 * read. Two that disagree are a problem at once; `verdict.ts` compares the rest at the end.
 */
import { hash } from 'node:crypto'
import type { SeenRefusal } from '../node/support.ts'

export interface NewEnvelope {
  readonly topic: string
  readonly message: Uint8Array
}

/** One envelope that somebody sent. */
export interface Sent {
  readonly topic: string
  readonly digest: string
  /** The request that stores it, if any does: later ones that carry the same bytes do not. */
  readonly request: number
  /** `open` is forever if a client gave up: it may be stored or not. */
  state: 'open' | 'acknowledged' | 'refused'
  sequence: bigint
  nodeNs: bigint
  /** When it was first sent, and when its receipt came. */
  readonly sentMs: number
  answeredMs: number
}

/** One request, sent as often as it takes. */
export interface PublishLog {
  readonly id: number
  readonly envelopes: readonly NewEnvelope[]
  readonly sent: readonly Sent[]
}

export interface ReceivedEnvelope extends NewEnvelope {
  readonly sequence: bigint
  readonly nodeNs: bigint
}

interface Waiter {
  readonly count: number
  readonly wake: () => void
}

const shownProblems = 20

export const digestOf = (message: Uint8Array): string =>
  hash('sha256', message, 'base64url').slice(0, 22)

export class Ledger {
  /** What must not be, in sentences; the first of them are kept. */
  readonly problems: string[] = []
  readonly sent = new Map<string, Sent>()
  /** By topic and sequence - 1: digest and node time, as first seen by anybody. */
  readonly seen = new Map<string, string[]>()
  /** How many of each thing were done. */
  readonly counts = new Map<string, number>()
  #requests = 0
  #acknowledged = 0
  readonly #waiters = new Set<Waiter>()

  report(problem: string): void {
    this.count('problems')
    if (this.problems.length < shownProblems) this.problems.push(problem)
  }

  count(what: string, by = 1): void {
    this.counts.set(what, (this.counts.get(what) ?? 0) + by)
  }

  /** Notes a request before it leaves for the first time. */
  open(envelopes: readonly NewEnvelope[]): PublishLog {
    this.#requests += 1
    const id = this.#requests
    const sent = envelopes.map(({ topic, message }) => {
      const digest = digestOf(message)
      const key = `${topic} ${digest}`
      const known = this.sent.get(key)
      if (known !== undefined) return known
      const fresh: Sent = {
        ...{ topic, digest, request: id, state: 'open', sequence: 0n, nodeNs: 0n },
        sentMs: performance.now(),
        answeredMs: Number.POSITIVE_INFINITY,
      }
      this.sent.set(key, fresh)
      return fresh
    })
    this.count('publish requests')
    return { id, envelopes, sent }
  }

  acknowledged(
    log: PublishLog,
    receipts: readonly { readonly sequence: bigint; readonly nodeNs: bigint }[],
  ): void {
    if (receipts.length !== log.sent.length) {
      this.report(`request ${log.id} has ${receipts.length} receipts for ${log.sent.length}`)
    }
    for (const [index, sent] of log.sent.entries()) {
      const { sequence, nodeNs } = receipts[index] ?? { sequence: 0n, nodeNs: 0n }
      if (sent.state === 'refused') this.report(`stored after it was refused: ${describe(sent)}`)
      if (sent.state === 'acknowledged') {
        if (sent.sequence !== sequence || sent.nodeNs !== nodeNs) {
          this.report(`second receipt ${sequence} at ${nodeNs}: ${describe(sent)}`)
        }
        continue
      }
      sent.state = 'acknowledged'
      sent.sequence = sequence
      sent.nodeNs = nodeNs
      sent.answeredMs = performance.now()
      this.count('acknowledged envelopes')
      this.observe(sent.topic, sequence, nodeNs, sent.digest, 'a receipt')
    }
    this.#acknowledged += 1
    this.count('acknowledged requests')
    for (const waiter of this.#waiters) {
      if (this.#acknowledged >= waiter.count) waiter.wake()
    }
  }

  /** Notes a refusal, which must be this one. */
  refused(log: PublishLog, refusal: SeenRefusal, code: string, index: number): void {
    if (refusal.code !== code || refusal.envelopeIndex !== index) {
      const { code: given, envelopeIndex } = refusal
      this.report(`refused with ${given} at ${envelopeIndex}, not ${code} at ${index}`)
    }
    for (const sent of log.sent) {
      if (sent.request !== log.id) continue
      if (sent.state === 'acknowledged') this.report(`refused after its receipt: ${describe(sent)}`)
      sent.state = 'refused'
    }
    this.count('refused requests')
  }

  /** What anybody saw at a place must be what everybody sees there. */
  observe(topic: string, sequence: bigint, nodeNs: bigint, digest: string, by: string): void {
    const column = this.seen.get(topic) ?? []
    if (column.length === 0) this.seen.set(topic, column)
    const index = Number(sequence) - 1
    const value = `${digest} at ${nodeNs}`
    const before = column[index]
    if (before === undefined) column[index] = value
    else if (before !== value) {
      this.report(`${topic} ${sequence} was ${before}, and is ${value} for ${by}`)
    }
  }

  /**
   * Waits for so many more acknowledged requests; false if they do not come in time. What is to be
   * done `then` is done before the process that acknowledged the last one can do anything else.
   */
  async progress(count: number, timeoutMs: number, then = () => {}): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<boolean>()
    const wake = () => {
      this.#waiters.delete(waiter)
      then()
      resolve(true)
    }
    const waiter: Waiter = { count: this.#acknowledged + count, wake }
    this.#waiters.add(waiter)
    const timer = setTimeout(() => resolve(false), timeoutMs)
    const came = await promise
    clearTimeout(timer)
    this.#waiters.delete(waiter)
    return came
  }
}

export const describe = ({ topic, digest, request, state, sequence, nodeNs }: Sent): string =>
  `${topic} ${digest} of request ${request}, ${state} ${sequence} at ${nodeNs}`
