/**
 * The streams of one visit to a node (docs/protocol.md section 5). One stream is read at a time,
 * without end; to add topics, a new stream is opened with all of them and replaces the old one at
 * its `caught_up`, so that nothing is missed and coverage never pauses. Their envelopes go to the
 * directory and the inbox, in order; the cursors drop duplicates.
 */

import { deferred, joinSignals } from '../../async.ts'
import { PadlockError } from '../../errors.ts'
import type { NodeFrame, TopicPosition } from '../../network/network.ts'
import { encodeHex } from '../../protocol/bytes.ts'
import type { Address } from '../../protocol/ids.ts'
import { buildInboxProof } from '../../protocol/inbox-proof.ts'
import { proofLifetimeNs } from '../../protocol/limits.ts'
import { inboxSigningBytes } from '../../protocol/signing-bytes.ts'
import { contactTopic, messageTopic, prekeyTopic, revokedTopic } from '../../protocol/topics.ts'
import type { Directory } from '../membership/directory.ts'
import type { Pump } from '../receiving/pump.ts'
import { Backoff } from '../runtime/backoff.ts'
import type { Context } from '../runtime/context.ts'
import type { Cursors } from '../runtime/cursors.ts'

/** The least time between replacements of the stream (section 5). */
const replaceEveryMs = 5_000

interface Stream {
  readonly addresses: ReadonlySet<Address>
  readonly positions: readonly TopicPosition[]
  readonly topics: ReadonlySet<string>
  readonly own: AbortController
}

/** Receives the events of the streams. */
export interface StreamsListener {
  /** The accounts whose topics to carry, besides our own. */
  peers(): Promise<ReadonlySet<Address>>
  /** The first stream has begun. */
  started(): void
  /** The backlog is received; nothing more is read until this resolves. */
  caughtUp(): Promise<void>
  stock(oneTimeLeft: number, newestCreatedNs: bigint): void
}

export class Streams {
  readonly #context: Context
  readonly #cursors: Cursors
  readonly #directory: Directory
  readonly #listener: StreamsListener
  readonly #backoff: Backoff
  /** The stream whose frames count as a sign of life. */
  #current: Stream | undefined
  /** The accounts of the newest stream, caught up or not. */
  #addresses: ReadonlySet<Address> = new Set()
  #more = deferred()

  constructor(context: Context, cursors: Cursors, directory: Directory, listener: StreamsListener) {
    this.#context = context
    this.#cursors = cursors
    this.#directory = directory
    this.#listener = listener
    this.#backoff = new Backoff(context.platform)
  }

  carries(address: Address): boolean {
    return this.#addresses.has(address)
  }

  /** Call this when there are more topics to carry than the newest stream has. */
  extend(): void {
    this.#more.resolve()
  }

  /** Reads until the signal aborts; throws when a stream breaks. */
  async run(nodeId: Uint8Array, pump: Pump, signal: AbortSignal): Promise<void> {
    const { platform } = this.#context
    const open = new Map<Stream, Promise<void>>()
    const read = (stream: Stream, caughtUp: () => Promise<void>) => {
      const reading = this.#read(stream, nodeId, pump, signal, caughtUp)
      const forget = () => open.delete(stream)
      // The stream's result is checked at the next event, or at the end.
      open.set(
        stream,
        reading.then(forget, forget).then(() => undefined),
      )
      return reading
    }
    this.#more = deferred()
    const live = deferred()
    const first = await this.#open()
    this.#current = first
    let reading = read(first, async () => {
      await this.#listener.caughtUp()
      live.resolve()
    })
    try {
      for (let openedMs = platform.monotonicMs(), leastMs = 0; ; ) {
        const wanted = live.promise
          .then(() => this.#more.promise)
          .then(() =>
            platform.wait(Math.max(0, openedMs + leastMs - platform.monotonicMs()), signal),
          )
          .then(() => true)
        if (!(await Promise.race([reading.then(() => false), wanted]))) return
        this.#more = deferred()
        openedMs = platform.monotonicMs()
        const next = await this.#open()
        const caughtUp = deferred<boolean>()
        const nextReading = read(next, async () => {
          await this.#replaceBy(next)
          caughtUp.resolve(true)
        })
        const failed = nextReading.then(
          () => false,
          () => false,
        )
        const outcome = await Promise.race([
          reading.then(() => undefined),
          caughtUp.promise,
          failed,
        ])
        if (outcome === undefined && this.#current !== next) return
        if (this.#current === next) {
          reading = nextReading
          leastMs = replaceEveryMs
          this.#backoff.reset()
        } else {
          // The current stream goes on; the topics are still wanted.
          next.own.abort()
          this.#addresses = this.#current?.addresses ?? new Set()
          leastMs = Math.max(replaceEveryMs, this.#backoff.next())
          this.#more.resolve()
        }
      }
    } finally {
      // Including one that was about to take over, which nobody would read.
      for (const stream of open.keys()) stream.own.abort()
      this.#addresses = new Set()
      this.#current = undefined
      await Promise.all(open.values())
    }
  }

  /** Call this when the new stream has caught up with the old one. */
  async #replaceBy(next: Stream): Promise<void> {
    const old = this.#current
    this.#current = next
    this.#directory.coverage.extend(next.addresses)
    old?.own.abort()
    await this.#directory.rememberRevoked()
  }

  async #open(): Promise<Stream> {
    const { account } = this.#context
    const addresses = new Set([account.address, ...(await this.#listener.peers())])
    this.#addresses = addresses
    const topics = [
      messageTopic(account.installationId),
      prekeyTopic(account.installationId),
      ...[...addresses].flatMap((address) => [contactTopic(address), revokedTopic(address)]),
    ]
    // At once: one read after the other takes a second for 400 accounts.
    const positions = await Promise.all(
      topics.map(
        async (topic): Promise<TopicPosition> => ({
          topic,
          afterSequence: await this.#cursors.load(topic),
        }),
      ),
    )
    return { addresses, positions, topics: new Set(topics), own: new AbortController() }
  }

  async #read(
    stream: Stream,
    nodeId: Uint8Array,
    pump: Pump,
    signal: AbortSignal,
    caughtUp: () => Promise<void>,
  ): Promise<void> {
    const ending = joinSignals(signal, stream.own.signal)
    try {
      const proof = this.#proof(nodeId)
      const frames = this.#context.network.subscribe(stream.positions, proof, ending.signal)
      for await (const frame of frames) {
        await this.#follow(frame, stream, nodeId, pump, caughtUp)
      }
    } finally {
      ending.release()
    }
  }

  async #follow(
    frame: NodeFrame,
    stream: Stream,
    nodeId: Uint8Array,
    pump: Pump,
    caughtUp: () => Promise<void>,
  ): Promise<void> {
    if (stream === this.#current) this.#directory.coverage.onFrame()
    if (frame.kind === 'started') {
      // A stream of another node would be read with the wrong cursors.
      if (encodeHex(frame.nodeId) !== encodeHex(nodeId)) {
        throw new PadlockError('unauthenticated_node')
      }
      if (stream === this.#current) {
        this.#directory.coverage.follow(stream.addresses)
        this.#listener.started()
      }
    } else if (frame.kind === 'caught_up') await caughtUp()
    else await this.#take(frame, stream, pump)
  }

  async #take(frame: NodeFrame, { topics }: Stream, pump: Pump): Promise<void> {
    const { account, status, time } = this.#context
    switch (frame.kind) {
      case 'heartbeat':
        return time.onNodeTime(frame.nodeNs)
      case 'prekey_stock':
        if (frame.installationId === account.installationId) {
          this.#listener.stock(frame.oneTimeLeft, frame.newestCreatedNs)
        }
        return
      case 'envelopes': {
        const inboxTopic = messageTopic(account.installationId)
        // Topics that were not asked for could fill the store with unknown accounts.
        const others = frame.envelopes.filter(
          ({ topic }) => topic !== inboxTopic && topics.has(topic),
        )
        if (others.length > 0) await this.#directory.apply(others)
        if (others.length > 0 && status.current.state === 'live') {
          await this.#directory.rememberRevoked()
        }
        return pump.push(frame.envelopes.filter(({ topic }) => topic === inboxTopic))
      }
      case 'started':
      case 'caught_up':
        return
    }
  }

  #proof(nodeId: Uint8Array): Uint8Array {
    const { crypto, account, time } = this.#context
    const expiresNs = (time.nodeNs() ?? time.clockNs()) + proofLifetimeNs
    const message = inboxSigningBytes({ nodeId, installationId: account.installationId, expiresNs })
    const [signature] = crypto.sign(account.identity, [message])
    if (!signature) throw new PadlockError('internal')
    return buildInboxProof({ keys: account.keys, expiresNs, signature })
  }
}
