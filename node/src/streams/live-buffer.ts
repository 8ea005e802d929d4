/**
 * What was stored for one reader and has not been sent to it yet. Bounded: what does not fit is lost
 * here, `overflowed` says so, and the reader's stream decides what that means.
 */
import type { PageLimit, Stock, StoredEnvelope } from '../store/store.ts'
import type { LiveMemory, WaitingEnvelope } from './live-memory.ts'

/** How much may wait for one reader: at least one publish request at its largest, 25 MiB. */
export const defaultLiveLimit: PageLimit = { envelopes: 8_192, bytes: 32 * 1024 * 1024 }

export class LiveBuffer {
  readonly #limit: PageLimit
  readonly #memory: LiveMemory
  #envelopes: WaitingEnvelope[] = []
  #bytes = 0
  // By installation: of several notices about one stock only the newest matters.
  #stocks = new Map<string, Stock>()
  #overflowed = false
  #missed = false
  #ended = false
  #wake: (() => void) | undefined

  constructor(limit: PageLimit, memory: LiveMemory) {
    this.#limit = limit
    this.#memory = memory
  }

  /** How many bytes of messages wait. */
  get bytes(): number {
    return this.#bytes
  }

  /** Whether something was lost since the last `restart`. */
  get overflowed(): boolean {
    return this.#overflowed
  }

  /** Whether something came by that was not pushed, since the last `restart`. */
  get missed(): boolean {
    return this.#missed
  }

  /** Whether nothing comes any more, because the reader left or the node stops. */
  get ended(): boolean {
    return this.#ended
  }

  push(waiting: WaitingEnvelope): void {
    if (this.#overflowed || this.#ended) return
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

  /** Loses everything that waits. */
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

  /** Forgets envelopes: what comes from here on is collected, what came before is read elsewhere. */
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

  /** Takes as many envelopes as a frame may have, at least one; empty if none wait. */
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

  /** Resolves when something is pushed or the buffer ends, at the latest after this many ms. */
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
