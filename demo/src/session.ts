/**
 * One client's lifecycle: opening, retrying where that can help, listening, closing. Views read its
 * current phase and are notified of every change; they all share one stream of messages.
 */

import {
  type Client,
  type ClientEvent,
  createClient,
  deleteLocalData,
  type Message,
  PadlockError,
  type WalletLike,
} from 'padlock-sdk'

export interface SessionOptions {
  readonly wallet: WalletLike
  readonly address?: string
  readonly node: string
  readonly database?: string
  /** Whether opening is retried automatically; not if that would prompt the person again. */
  readonly retries: boolean
}

export type Phase =
  | { readonly kind: 'opening' }
  | { readonly kind: 'open'; readonly client: Client }
  | { readonly kind: 'failed'; readonly error: unknown; readonly willRetry: boolean }
  | { readonly kind: 'closed' }

export interface SessionListener {
  onPhase?(phase: Phase): void
  onMessage?(message: Message): void
  onEvent?(event: ClientEvent): void
}

const longestPauseMs = 10_000

export class Session {
  readonly #options: SessionOptions
  readonly #listeners = new Set<SessionListener>()
  #phase: Phase = { kind: 'closed' }
  #end = new AbortController()
  #opening: Promise<void> = Promise.resolve()

  constructor(options: SessionOptions) {
    this.#options = options
  }

  get phase(): Phase {
    return this.#phase
  }

  /** Reports events from now on, until the returned function is called. */
  listen(listener: SessionListener): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Opens the client; the phase shows the result. */
  open(): void {
    this.#begin(false)
  }

  /** Opens it again with new keys if this device was removed; the history stays. */
  async renew(): Promise<void> {
    await this.close()
    this.#begin(true)
  }

  #begin(renew: boolean): void {
    if (this.#phase.kind === 'opening' || this.#phase.kind === 'open') return
    this.#end.abort()
    this.#end = new AbortController()
    this.#set({ kind: 'opening' })
    this.#opening = this.#open(renew, this.#end.signal)
  }

  /** Ends the client or its opening, and keeps what is stored. */
  async close(): Promise<void> {
    const client = await this.#stop()
    // It may already have ended by itself; then there is nothing to close.
    await client?.close().catch(() => undefined)
  }

  /**
   * Ends the client and deletes its database, which may be one that no longer opens.
   *
   * @throws PadlockError storage_*
   */
  async deleteLocalData(): Promise<void> {
    const client = await this.#stop()
    const { database } = this.#options
    if (client) await client.deleteLocalData()
    else if (database !== undefined) await deleteLocalData({ database })
  }

  async #stop(): Promise<Client | undefined> {
    const client = this.#phase.kind === 'open' ? this.#phase.client : undefined
    this.#end.abort()
    await this.#opening
    this.#set({ kind: 'closed' })
    return client
  }

  async #open(renew: boolean, signal: AbortSignal): Promise<void> {
    const { retries, ...options } = this.#options
    for (let attempt = 0; !signal.aborted; attempt++) {
      try {
        const client = await createClient({ ...options, renew, signal })
        if (signal.aborted) return await client.close()
        void this.#readEvents(client, signal)
        void this.#readMessages(client, signal)
        return this.#set({ kind: 'open', client })
      } catch (error) {
        if (signal.aborted) return
        const willRetry = retries && error instanceof PadlockError && error.retryable
        this.#set({ kind: 'failed', error, willRetry })
        if (!willRetry) return
        await pause(Math.min(1_000 * 2 ** attempt, longestPauseMs), signal)
      }
    }
  }

  async #readMessages(client: Client, signal: AbortSignal): Promise<void> {
    try {
      for await (const message of client.messages({ signal })) {
        for (const listener of this.#listeners) listener.onMessage?.(message)
      }
    } catch (error) {
      this.#ended(error, signal)
    }
  }

  async #readEvents(client: Client, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        for await (const event of client.events({ signal })) {
          for (const listener of this.#listeners) listener.onEvent?.(event)
        }
        return
      } catch (error) {
        // Too many at once, in a suspended tab: the store has what they reported, so go on with the
        // next ones.
        if (error instanceof PadlockError && error.code === 'slow_reader') continue
        return this.#ended(error, signal)
      }
    }
  }

  /** The client ended by itself: its worker failed, or another tab took over. */
  #ended(error: unknown, signal: AbortSignal): void {
    if (signal.aborted || this.#phase.kind !== 'open') return
    this.#set({ kind: 'failed', error, willRetry: false })
  }

  #set(phase: Phase): void {
    this.#phase = phase
    for (const listener of this.#listeners) listener.onPhase?.(phase)
  }
}

const pause = (ms: number, signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    const timer = setTimeout(resolve, ms)
    signal.addEventListener('abort', () => {
      clearTimeout(timer)
      resolve()
    })
  })
