/** The line between one engine and the node, in a test's hands: what went over it, and when it breaks. */
import { PadlockError } from '../../src/errors.ts'
import type { Network, NodeFrame, OutgoingEnvelope } from '../../src/network/network.ts'

export class Line {
  /** Requests of envelopes, in the order in which they were made, whether or not they came through. */
  readonly published: (readonly OutgoingEnvelope[])[] = []
  /** Topics of every query. */
  readonly queried: (readonly string[])[] = []
  /** Topics of every subscription. */
  readonly subscribed: (readonly string[])[] = []
  /** What every call but a claim fails with; nothing does while it is undefined. */
  failure: PadlockError | undefined
  /** What publishing alone fails with. */
  refusal: PadlockError | undefined
  /** Decides which frames come through: held back ones come when it resolves. */
  gate: (frame: NodeFrame) => Promise<unknown> = () => Promise.resolve()
  #cut = new AbortController()

  /** Ends the running subscription: with the failure if there is one, else as a node ends it. */
  cut(): void {
    this.#cut.abort()
  }

  /** To be given to an engine. */
  readonly network = (real: Network): Network => {
    const line = this
    const check = () => {
      if (line.failure) throw line.failure
    }
    return {
      ...real,
      getInfo: async (signal) => {
        check()
        return real.getInfo(signal)
      },
      publish: async (envelopes, signal) => {
        line.published.push(envelopes)
        check()
        if (line.refusal) throw line.refusal
        return real.publish(envelopes, signal)
      },
      query: async (topics, signal) => {
        line.queried.push(topics.map(({ topic }) => topic))
        check()
        return real.query(topics, signal)
      },
      async *subscribe(topics, proof, signal) {
        check()
        line.subscribed.push(topics.map(({ topic }) => topic))
        line.#cut = new AbortController()
        const end = AbortSignal.any([signal, line.#cut.signal])
        for await (const frame of real.subscribe(topics, proof, end)) {
          await line.gate(frame)
          yield frame
        }
        check()
      },
    }
  }

  /** Requests that carried messages, by the topics they were for. */
  get messageTopics(): readonly (readonly string[])[] {
    return this.published
      .map((envelopes) => envelopes.map(({ topic }) => topic))
      .filter(([topic]) => topic?.startsWith('message-'))
  }
}

export const unreachable = (retryAfterMs?: number): PadlockError =>
  new PadlockError(
    'network_unavailable',
    retryAfterMs === undefined ? {} : { details: { retryAfterMs } },
  )
