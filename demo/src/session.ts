/**
 * One client and its life: opened, tried again where that can help, listened to, closed. Views read
 * what it is now and get every change; there is one stream of messages for all of them.
 */

import {
  type Client,
  type ClientEvent,
  createClient,
  type Message,
  PadlockError,
  type WalletLike,
} from 'padlock-sdk'

export interface SessionOptions {
  readonly wallet: WalletLike
  readonly address?: string
  readonly node: string
  readonly database?: string
  /** Whether opening is tried again by itself; not where a person would be asked again. */
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

  /** Tells what happens from now on, until what it returns is called. */
  listen(listener: SessionListener): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Opens the client; the phase says how that went. */
  open(): void {
    this.#begin(false)
  }

  /** Opens it anew with new keys, if this device was removed; the history stays. */
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

  /** Ends the client or its opening; what is stored stays. */
  async close(): Promise<void> {
    const client = await this.#stop()
    // It may have ended by itself before; then there is nothing left to close.
    await client?.close().catch(() => undefined)
  }

  /**
   * Ends the client and deletes its database. Without an open client the browser deletes it.
   *
   * @throws PadlockError storage_*
   */
  async deleteLocalData(): Promise<void> {
    const client = await this.#stop()
    if (client) await client.deleteLocalData()
    else if (this.#options.database !== undefined) await deleteDatabase(this.#options.database)
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
        // Too many at once, in a tab that slept: the store has what they brought, and only the next ones matter.
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

const deleteDatabase = (name: string): Promise<void> =>
  new Promise((resolve, reject) => {
    const request = indexedDB.deleteDatabase(name)
    request.onsuccess = () => resolve()
    request.onerror = () => reject(new PadlockError('storage_failed', { cause: request.error }))
    // A connection that is still closing ends soon; another tab's does not.
    request.onblocked = () => {
      setTimeout(() => reject(new PadlockError('storage_blocked')), 5_000)
    }
  })
