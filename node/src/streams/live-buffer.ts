/**
 * The backlog of one subscriber: envelopes that were stored and not sent yet. It is bounded:
 * envelopes that do not fit are dropped, `overflowed` says so, and the subscription decides what
 * that means.
 */
import type { PageLimit, Stock, StoredEnvelope } from '../store/store.ts'
import type { LiveMemory, WaitingEnvelope } from './live-memory.ts'

/** The largest backlog of one subscriber: room for the largest publish request, 25 MiB. */
export const defaultLiveLimit: PageLimit = { envelopes: 8_192, bytes: 32 * 1024 * 1024 }

export class LiveBuffer {
  readonly #limit: PageLimit
  readonly #memory: LiveMemory
  readonly #hasRead: (envelope: StoredEnvelope) => boolean
  #envelopes: WaitingEnvelope[] = []
  #bytes = 0
  // By installation: only the newest notice about a stock matters.
  #stocks = new Map<string, Stock>()
  #overflowed = false
  #missed = false
  #ended = false
  #wake: (() => void) | undefined

  constructor(
    limit: PageLimit,
    memory: LiveMemory,
    hasRead: (envelope: StoredEnvelope) => boolean = () => false,
  ) {
    this.#limit = limit
    this.#memory = memory
    this.#hasRead = hasRead
  }

  /** How many bytes of messages wait. */
  get bytes(): number {
    return this.#bytes
  }

  /** Whether no envelope waits. */
  get isEmpty(): boolean {
    return this.#envelopes.length === 0
  }

  /** Whether envelopes were dropped since the last `restart`. */
  get overflowed(): boolean {
    return this.#overflowed
  }

  /** Whether a commit was missed since the last `restart`. */
  get missed(): boolean {
    return this.#missed
  }

  /** Whether the subscription is over: the reader left or the node stops. */
  get ended(): boolean {
    return this.#ended
  }

  push(waiting: WaitingEnvelope): void {
    if (this.#overflowed || this.#ended || this.#hasRead(waiting.envelope)) return
    const bytes = this.#bytes + waiting.envelope.message.length
    if (this.#envelopes.length >= this.#limit.envelopes || bytes > this.#limit.bytes) {
      this.overflow()
      return
    }
    this.#memory.hold(waiting)
    this.#envelopes.push(waiting)
    this.#bytes = bytes
    this.#wake?.()
  }

  /** Drops the whole backlog. */
  overflow(): void {
    this.#overflowed = true
    this.#clear()
    this.#wake?.()
  }

  pushStock(stock: Stock): void {
    if (this.#ended) return
    this.#stocks.set(stock.installationId, stock)
    this.#wake?.()
  }

  miss(): void {
    this.#missed = true
    this.#wake?.()
  }

  /** Drops the backlog and collects anew: the store has what came before. */
  restart(): void {
    this.#overflowed = false
    this.#missed = false
    this.#clear()
  }

  end(): void {
    this.#ended = true
    this.#clear()
    this.#stocks.clear()
    this.#wake?.()
  }

  /** Takes as many envelopes as fit a frame, at least one; empty if none wait. */
  take(limit: PageLimit): readonly StoredEnvelope[] {
    let count = 0
    let bytes = 0
    for (const { envelope } of this.#envelopes) {
      if (count === limit.envelopes) break
      if (count > 0 && bytes + envelope.message.length > limit.bytes) break
      bytes += envelope.message.length
      count += 1
    }
    const taken = this.#envelopes.slice(0, count)
    this.#envelopes = this.#envelopes.slice(count)
    this.#bytes -= bytes
    for (const waiting of taken) this.#memory.release(waiting)
    return taken.map(({ envelope }) => envelope)
  }

  /** Takes the stock notices that wait. */
  takeStocks(): readonly Stock[] {
    if (this.#stocks.size === 0) return []
    const stocks = [...this.#stocks.values()]
    this.#stocks = new Map()
    return stocks
  }

  /** Resolves when something is pushed, the buffer ends, or the time is over. */
  changed(timeoutMs: number): Promise<void> {
    const isQuiet = !(this.#ended || this.#overflowed || this.#missed)
    if (!isQuiet || this.#envelopes.length > 0 || this.#stocks.size > 0) return Promise.resolve()
    return new Promise((resolve) => {
      const wake = (): void => {
        clearTimeout(timer)
        this.#wake = undefined
        resolve()
      }
      const timer = setTimeout(wake, timeoutMs)
      // A waiting stream does not keep a process alive; its connection does.
      timer.unref()
      this.#wake = wake
    })
  }

  #clear(): void {
    for (const waiting of this.#envelopes) this.#memory.release(waiting)
    this.#envelopes = []
    this.#bytes = 0
  }
}
