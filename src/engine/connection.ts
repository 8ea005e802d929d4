/**
 * The one subscription: opened with the cursors, read for ever, opened again when it breaks or when
 * other topics are wanted. What it carries goes to the directory and the inbox, in order.
 */

import { PadlockError } from '../errors.ts'
import type { NodeFrame, TopicPosition } from '../network/network.ts'
import { encodeHex } from '../protocol/bytes.ts'
import type { Address } from '../protocol/ids.ts'
import { buildInboxProof } from '../protocol/inbox-proof.ts'
import { proofLifetimeNs } from '../protocol/limits.ts'
import { inboxSigningBytes } from '../protocol/signing-bytes.ts'
import { contactTopic, messageTopic, prekeyTopic, revokedTopic } from '../protocol/topics.ts'
import { Backoff } from './backoff.ts'
import type { Context } from './context.ts'
import type { Cursors } from './cursors.ts'
import type { Directory } from './directory.ts'
import type { Inbox } from './inbox.ts'
import { Pump } from './pump.ts'

export class Connection {
  readonly #context: Context
  readonly #cursors: Cursors
  readonly #directory: Directory
  readonly #inbox: Inbox
  readonly #backoff: Backoff
  readonly #stop = new AbortController()
  #resubscribe = new AbortController()
  #retryNow = new AbortController()
  /** Whose topics to subscribe to, besides one's own. */
  peers: () => Promise<readonly Address[]> = async () => []
  /** The node answered, before anything else is asked of it. */
  onNode: (nodeId: Uint8Array) => Promise<void> = async () => undefined
  /** All that there was is processed; nothing is sent yet. */
  onCaughtUp: () => Promise<void> = async () => undefined
  onLive: () => void = () => undefined
  onDown: () => void = () => undefined
  onStock: (oneTimeLeft: number, newestCreatedNs: bigint) => void = () => undefined
  #subscribed: ReadonlySet<Address> = new Set()
  /** The topics of the running subscription. */
  #asked: ReadonlySet<string> = new Set()

  constructor(context: Context, cursors: Cursors, directory: Directory, inbox: Inbox) {
    this.#context = context
    this.#cursors = cursors
    this.#directory = directory
    this.#inbox = inbox
    this.#backoff = new Backoff(context.platform)
  }

  /** Works until closed. */
  async run(): Promise<void> {
    const { status, platform } = this.#context
    const stopOnline = platform.onOnline(() => this.#retryNow.abort())
    while (!this.#stop.signal.aborted) {
      this.#resubscribe = new AbortController()
      try {
        await this.#session()
      } catch (error) {
        if (this.#stop.signal.aborted) break
        const known =
          error instanceof PadlockError ? error : new PadlockError('internal', { cause: error })
        this.#down()
        this.#subscribed = new Set()
        if (this.#resubscribe.signal.aborted) continue
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

  /** There may be a new conversation: subscribes anew if its peer is not among the topics yet. */
  async want(address: Address): Promise<void> {
    if (this.#subscribed.has(address)) return
    // Whoever only wrote what was rejected is no peer, however often that happens.
    const peers = await this.peers()
    if (peers.includes(address) && !this.#subscribed.has(address)) this.#resubscribe.abort()
  }

  close(): void {
    this.#stop.abort()
    this.#resubscribe.abort()
    this.#retryNow.abort()
  }

  #down(): void {
    this.#directory.follow(new Set())
    this.onDown()
  }

  /** One subscription, from its opening until it ends. */
  async #session(): Promise<void> {
    const { network, time, status } = this.#context
    const end = new AbortController()
    const stop = () => end.abort()
    this.#stop.signal.addEventListener('abort', stop, { once: true })
    this.#resubscribe.signal.addEventListener('abort', stop, { once: true })
    const pump = new Pump(this.#inbox, stop)
    try {
      const info = await network.getInfo(end.signal)
      time.hear(info.nodeNs)
      this.#cursors.setNode(info.nodeId)
      await this.onNode(info.nodeId)
      const { topics, addresses } = await this.#topics()
      this.#subscribed = addresses
      this.#asked = new Set(topics.map(({ topic }) => topic))
      await this.#inbox.begin()
      const proof = this.#proof(info.nodeId)
      for await (const frame of network.subscribe(topics, proof, end.signal)) {
        this.#directory.heardFrame()
        if (frame.kind === 'started') {
          // A stream of another store would be read with the wrong cursors.
          if (encodeHex(frame.nodeId) !== encodeHex(info.nodeId)) {
            throw new PadlockError('unauthenticated_node')
          }
          this.#directory.follow(addresses)
          status.setState('catching-up')
        } else await this.#take(frame, pump)
        if (frame.kind === 'caught_up') {
          this.#directory.caughtUp()
          await pump.drained()
          await this.#workOffParked()
          await this.#directory.rememberRevoked()
          await this.onCaughtUp()
          this.#backoff.reset()
          status.setState('live')
          this.onLive()
        }
      }
      if (pump.error !== undefined) throw pump.error
    } finally {
      this.#stop.signal.removeEventListener('abort', stop)
      this.#resubscribe.signal.removeEventListener('abort', stop)
      stop()
      this.#directory.follow(new Set())
      // What was received is processed before the next subscription reads its cursor.
      await pump.drained().catch(() => undefined)
    }
    if (pump.error !== undefined) throw pump.error
  }

  async #take(frame: NodeFrame, pump: Pump): Promise<void> {
    const { time, account } = this.#context
    switch (frame.kind) {
      case 'heartbeat':
        time.hear(frame.nodeNs)
        await this.#workOffParked()
        return
      case 'prekey_stock':
        if (frame.installationId === account.installationId) {
          this.onStock(frame.oneTimeLeft, frame.newestCreatedNs)
        }
        return
      case 'envelopes': {
        const inboxTopic = messageTopic(account.installationId)
        // What nobody asked for could fill the store with accounts that nobody knows.
        const others = frame.envelopes.filter(
          ({ topic }) => topic !== inboxTopic && this.#asked.has(topic),
        )
        if (others.length > 0) await this.#directory.apply(others)
        if (others.length > 0 && this.#context.status.current.state === 'live') {
          await this.#directory.rememberRevoked()
        }
        await pump.push(frame.envelopes.filter(({ topic }) => topic === inboxTopic))
        return
      }
      case 'started':
      case 'caught_up':
        return
    }
  }

  async #workOffParked(): Promise<void> {
    try {
      await this.#inbox.workOffParked()
    } catch (error) {
      // The network failed: the next heartbeat tries again.
      if (!(error instanceof PadlockError) || !error.retryable) throw error
    }
  }

  async #topics() {
    const { account } = this.#context
    const peers = await this.peers()
    const addresses = new Set([account.address, ...peers])
    const names = [
      messageTopic(account.installationId),
      prekeyTopic(account.installationId),
      ...[...addresses].flatMap((address) => [contactTopic(address), revokedTopic(address)]),
    ]
    const topics: TopicPosition[] = []
    for (const topic of names)
      topics.push({ topic, afterSequence: await this.#cursors.load(topic) })
    return { topics, addresses }
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
