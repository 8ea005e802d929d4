/**
 * The connection to the node: asks who it is, reads its streams for ever, and begins anew with back-off
 * when they break.
 */

import { PadlockError } from '../../errors.ts'
import type { NodeInfo } from '../../network/network.ts'
import type { Address } from '../../protocol/ids.ts'
import type { Directory } from '../membership/directory.ts'
import type { Inbox } from '../receiving/inbox.ts'
import { Pump } from '../receiving/pump.ts'
import { Backoff } from '../runtime/backoff.ts'
import type { Context } from '../runtime/context.ts'
import type { Cursors } from '../runtime/cursors.ts'
import { Streams } from './streams.ts'

export class Connection {
  readonly #context: Context
  readonly #cursors: Cursors
  readonly #directory: Directory
  readonly #inbox: Inbox
  readonly #backoff: Backoff
  readonly #streams: Streams
  readonly #stop = new AbortController()
  #retryNow = new AbortController()
  /** Whose topics to subscribe to, besides one's own. */
  peers: () => Promise<readonly Address[]> = async () => []
  /** The node answered, before anything else is asked of it. */
  onNode: (info: NodeInfo) => Promise<void> = async () => undefined
  /** All that there was is processed; nothing is sent yet. */
  onCaughtUp: () => Promise<void> = async () => undefined
  onLive: () => void = () => undefined
  onDown: () => void = () => undefined
  onStock: (oneTimeLeft: number, newestCreatedNs: bigint) => void = () => undefined
  #pump: Pump | undefined

  constructor(context: Context, cursors: Cursors, directory: Directory, inbox: Inbox) {
    this.#context = context
    this.#cursors = cursors
    this.#directory = directory
    this.#inbox = inbox
    this.#backoff = new Backoff(context.platform)
    this.#streams = new Streams(context, cursors, directory, {
      peers: () => this.peers(),
      started: () => context.status.setState('catching-up'),
      caughtUp: () => this.#caughtUp(),
      beat: () => this.#workOffParked(),
      stock: (oneTimeLeft, newestCreatedNs) => this.onStock(oneTimeLeft, newestCreatedNs),
    })
  }

  /** Works until closed. */
  async run(): Promise<void> {
    const { status, platform } = this.#context
    const stopOnline = platform.onOnline(() => this.#retryNow.abort())
    while (!this.#stop.signal.aborted) {
      try {
        await this.#session()
      } catch (error) {
        if (this.#stop.signal.aborted) break
        const known =
          error instanceof PadlockError ? error : new PadlockError('internal', { cause: error })
        this.#down()
        status.warn(known.code)
        status.setState('offline')
        this.#retryNow = new AbortController()
        const stop = () => this.#retryNow.abort()
        this.#stop.signal.addEventListener('abort', stop, { once: true })
        await platform.wait(
          this.#backoff.next(Number(known.details?.retryAfterMs ?? 0)),
          this.#retryNow.signal,
        )
        this.#stop.signal.removeEventListener('abort', stop)
      }
    }
    this.#down()
    stopOnline()
  }

  /** There may be a new conversation: its peer is carried too, if it is not yet. */
  async want(address: Address): Promise<void> {
    if (this.#streams.carries(address)) return
    // Whoever only wrote what was rejected is no peer, however often that happens.
    const peers = await this.peers()
    if (peers.includes(address) && !this.#streams.carries(address)) this.#streams.extend()
  }

  close(): void {
    this.#stop.abort()
    this.#retryNow.abort()
  }

  #down(): void {
    this.#directory.follow(new Set())
    this.onDown()
  }

  /** One visit to the node, until its streams end. */
  async #session(): Promise<void> {
    const { network, time } = this.#context
    const end = new AbortController()
    const stop = () => end.abort()
    this.#stop.signal.addEventListener('abort', stop, { once: true })
    const pump = new Pump(this.#inbox, stop)
    this.#pump = pump
    try {
      const info = await network.getInfo(end.signal)
      time.onNodeTime(info.nodeNs)
      this.#cursors.setNode(info.nodeId)
      await this.onNode(info)
      await this.#inbox.begin()
      await this.#streams.run(info.nodeId, pump, end.signal)
    } finally {
      this.#stop.signal.removeEventListener('abort', stop)
      stop()
      this.#directory.follow(new Set())
      // What was received is processed before the next subscription reads its cursor.
      await pump.drained().catch(() => undefined)
    }
    if (pump.error !== undefined) throw pump.error
  }

  async #caughtUp(): Promise<void> {
    this.#directory.caughtUp()
    await this.#pump?.drained()
    await this.#workOffParked()
    await this.#directory.rememberRevoked()
    await this.onCaughtUp()
    this.#backoff.reset()
    this.#context.status.setState('live')
    this.onLive()
  }

  async #workOffParked(): Promise<void> {
    try {
      await this.#inbox.workOffParked()
    } catch (error) {
      // The network failed: the next heartbeat tries again.
      if (!(error instanceof PadlockError) || !error.retryable) throw error
    }
  }
}
