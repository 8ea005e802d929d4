/**
 * The connection to the node: identifies the node, reads its streams while the client is open, and
 * reconnects with back-off when they break.
 */

import { joinSignals } from '../../async.ts'
import { PadlockError } from '../../errors.ts'
import type { NodeInfo } from '../../network/network.ts'
import type { Address } from '../../protocol/ids.ts'
import type { Directory } from '../membership/directory.ts'
import type { Inbox } from '../receiving/inbox.ts'
import type { ParkedSenders } from '../receiving/parked-senders.ts'
import { Pump } from '../receiving/pump.ts'
import { Backoff } from '../runtime/backoff.ts'
import type { Context } from '../runtime/context.ts'
import type { Cursors } from '../runtime/cursors.ts'
import { TaskLoop } from '../runtime/task-loop.ts'
import { Streams } from './streams.ts'

/** Receives the events of the connection. */
export interface ConnectionListener {
  /** The accounts whose topics to subscribe to, besides our own. */
  peers(): Promise<ReadonlySet<Address>>
  /** The node identified itself; nothing else was requested from it yet. */
  onNode(info: NodeInfo): Promise<void>
  /** The backlog is processed; nothing is sent yet. */
  onCaughtUp(): Promise<void>
  onLive(): void
  onDown(): void
  onStock(oneTimeLeft: number, newestCreatedNs: bigint): void
}

export interface ConnectionParts {
  readonly cursors: Cursors
  readonly directory: Directory
  readonly inbox: Inbox
  readonly parkedSenders: ParkedSenders
}

export class Connection {
  readonly #context: Context
  readonly #parts: ConnectionParts
  readonly #listener: ConnectionListener
  readonly #backoff: Backoff
  readonly #loop: TaskLoop
  readonly #streams: Streams
  readonly #wanted = new Set<Address>()
  #isLooking = false
  #pump: Pump | undefined

  constructor(context: Context, parts: ConnectionParts, listener: ConnectionListener) {
    this.#context = context
    this.#parts = parts
    this.#listener = listener
    this.#backoff = new Backoff(context.platform)
    this.#loop = new TaskLoop(context, () => this.#visit(), {
      backoff: this.#backoff,
      onError: (error) => this.#onBroken(error),
    })
    this.#streams = new Streams(context, parts.cursors, parts.directory, {
      peers: () => listener.peers(),
      started: () => context.status.setState('catching-up'),
      caughtUp: () => this.#caughtUp(),
      stock: (oneTimeLeft, newestCreatedNs) => listener.onStock(oneTimeLeft, newestCreatedNs),
    })
  }

  /** Runs until the client closes. */
  async run(): Promise<void> {
    const stopListening = this.#context.platform.onReturn(() => this.#onReturn())
    try {
      await this.#loop.run()
    } finally {
      this.#down()
      stopListening()
    }
  }

  /** There may be a new conversation: adds its account to the subscription if it is missing. */
  async want(address: Address): Promise<void> {
    if (this.#streams.carries(address)) return
    this.#wanted.add(address)
    // One list of peers answers for all that were wanted before it was read.
    if (this.#isLooking) return
    this.#isLooking = true
    try {
      while (this.#wanted.size > 0) {
        const wanted = [...this.#wanted]
        this.#wanted.clear()
        // An account whose envelopes were all rejected is not a peer, however many it sends.
        const peers = await this.#listener.peers()
        if (wanted.some((one) => peers.has(one) && !this.#streams.carries(one))) {
          this.#streams.extend()
        }
      }
    } finally {
      this.#isLooking = false
    }
  }

  /** An account is no longer wanted: the next stream does without it. */
  leave(address: Address): void {
    if (this.#streams.carries(address)) this.#streams.extend()
  }

  /** Everything is tried at once; and a stream that nothing comes on any more is replaced by one that lives. */
  #onReturn(): void {
    this.#backoff.reset()
    this.#loop.retryNow()
    if (this.#context.status.current.state !== 'live') return
    this.#streams.extend()
    this.#listener.onLive()
  }

  #down(): void {
    this.#parts.directory.coverage.follow(new Set())
    this.#listener.onDown()
  }

  #onBroken(error: unknown): void {
    this.#down()
    this.#context.status.warnOf(error)
    this.#context.status.setState('offline')
  }

  /** One visit to the node, until its streams end. @returns 0: the next visit follows at once */
  async #visit(): Promise<number> {
    const { network, time, closing } = this.#context
    const { cursors, directory, inbox } = this.#parts
    const end = new AbortController()
    const ending = joinSignals(closing, end.signal)
    const pump = new Pump(inbox, () => end.abort())
    this.#pump = pump
    try {
      const info = await network.getInfo(ending.signal)
      time.onNodeTime(info.nodeNs)
      cursors.setNode(info.nodeId)
      await this.#listener.onNode(info)
      await inbox.begin()
      await this.#streams.run(info.nodeId, pump, ending.signal)
    } finally {
      end.abort()
      ending.release()
      directory.coverage.follow(new Set())
      // Received envelopes are processed before the next subscription reads its cursor.
      await pump.drained().catch(() => undefined)
    }
    if (pump.error !== undefined) throw pump.error
    return 0
  }

  async #caughtUp(): Promise<void> {
    const { directory } = this.#parts
    directory.coverage.onCaughtUp()
    await this.#pump?.drained()
    await this.#workOffParked()
    await directory.rememberRevoked()
    await this.#listener.onCaughtUp()
    this.#backoff.reset()
    this.#context.status.setState('live')
    this.#listener.onLive()
  }

  async #workOffParked(): Promise<void> {
    try {
      // Strangers' topics may be long: nobody waits for them to be live.
      await this.#parts.parkedSenders.workOff('accepted')
    } catch (error) {
      // The network failed: the next heartbeat tries again.
      if (!(error instanceof PadlockError) || !error.retryable) throw error
    }
  }
}
