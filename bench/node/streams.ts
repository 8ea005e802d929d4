/** Subscriptions of the load: catching up, receiving what is published, and doing nothing for long. */
import { event, FrameReader, messagesOf, walkFields } from './frames.ts'
import { Http2Connection } from './http2-connection.ts'
import { headersOf } from './requests.ts'

const headers = headersOf('Subscribe')

/** Opens a stream; `take` gets each event. @returns a promise that rejects when the stream ends. */
export const follow = (
  connection: Http2Connection,
  body: Buffer,
  take: (kind: number, bytes: Buffer) => void,
): Promise<never> =>
  new Promise((_, reject) => {
    const reader = new FrameReader((message) => walkFields(message, take))
    connection.request(headers, body, {
      data: (bytes) => reader.push(bytes),
      end: () => reject(new Error('a stream ended')),
      failed: (reason) => reject(new Error(`a stream failed: ${reason}`)),
    })
  })

/** Reads everything that lies there. @returns how many envelopes that was. */
export async function catchUp(port: number, bodies: readonly Buffer[]): Promise<number> {
  let count = 0
  const connections: Http2Connection[] = []
  await Promise.all(
    bodies.map(async (body) => {
      const connection = await Http2Connection.open(port)
      connections.push(connection)
      await new Promise<void>((resolve, reject) => {
        follow(connection, body, (kind, bytes) => {
          if (kind === event.envelopes) count += messagesOf(bytes).length
          else if (kind === event.caughtUp) resolve()
        }).catch(reject)
      })
    }),
  )
  for (const connection of connections) connection.close()
  return count
}

/** Streams on connections of their own that nothing is published to. */
export class IdleStreams {
  readonly #connections: Http2Connection[] = []
  readonly #latestMs: number[] = []
  #ended = 0
  #beats = 0
  #longestMs = 0

  /** Resolves once all of them are live. */
  async open(port: number, bodies: readonly Buffer[]): Promise<void> {
    // A few at a time: a node that gets thousands of connections at once turns some away.
    for (let from = 0; from < bodies.length; from += 100) {
      await Promise.all(
        bodies.slice(from, from + 100).map((body, index) => this.#open(port, body, from + index)),
      )
    }
  }

  async #open(port: number, body: Buffer, index: number): Promise<void> {
    const connection = await Http2Connection.open(port, 1_024)
    this.#connections.push(connection)
    await new Promise<void>((resolve) => {
      follow(connection, body, (kind) => {
        const nowMs = performance.now()
        if (kind === event.caughtUp) resolve()
        else if (kind === event.heartbeat) {
          this.#beats += 1
          this.#longestMs = Math.max(this.#longestMs, nowMs - (this.#latestMs[index] ?? nowMs))
        }
        this.#latestMs[index] = nowMs
      }).catch(() => {
        this.#ended += 1
        resolve()
      })
    })
  }

  /** How many are alive, how many heartbeats came, and the longest silence that one had. */
  state() {
    const nowMs = performance.now()
    const silence = this.#latestMs.reduce((most, at) => Math.max(most, nowMs - at), 0)
    return {
      alive: this.#connections.length - this.#ended,
      beats: this.#beats,
      longestSilenceMs: Math.max(silence, this.#longestMs),
    }
  }

  /** Begins to count anew. */
  reset(): void {
    this.#beats = 0
    this.#longestMs = 0
  }

  close(): void {
    for (const connection of this.#connections) connection.close()
  }
}
