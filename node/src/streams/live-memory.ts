/**
 * How much memory streams hold: what waits for readers, counted once however many readers it waits
 * for, and the frames that were handed to readers who have not taken them yet.
 */

import { pageLimitEnvelopes } from '../../../src/protocol/limits.ts'
import type { PageLimit, StoredEnvelope } from '../store/store.ts'

/** An envelope that waits for one reader or several. */
export interface WaitingEnvelope {
  readonly envelope: StoredEnvelope
  readonly bytes: number
  readers: number
}

/** What waits for all readers of a process together at most. */
export const defaultTotalLimitBytes = 512 * 1024 * 1024

// An object, its numbers and its topic, besides the message.
const overheadBytes = 256

/**
 * A frame may have 4 MiB (docs/protocol.md section 11). A reader that takes nothing holds two of them
 * in memory here, so they are smaller; of ordinary messages a frame has 500 all the same.
 */
const largeFrame: PageLimit = { envelopes: pageLimitEnvelopes, bytes: 1024 * 1024 }
/** While many readers take nothing. */
const smallFrame: PageLimit = { envelopes: pageLimitEnvelopes, bytes: 64 * 1024 }

export class LiveMemory {
  readonly #limitBytes: number
  #waitingBytes = 0
  #frameBytes = 0

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes
  }

  get waitingBytes(): number {
    return this.#waitingBytes
  }

  /** Whether readers have to be ended. */
  get isFull(): boolean {
    return this.#waitingBytes > this.#limitBytes
  }

  /** Whether enough of them were, so that the next envelope does not end another. */
  get hasRoom(): boolean {
    return this.#waitingBytes <= this.#limitBytes * 0.75
  }

  /** How large the next frame may be. */
  get frameLimit(): PageLimit {
    return this.#frameBytes > this.#limitBytes / 2 ? smallFrame : largeFrame
  }

  /** Waits for one more reader. */
  hold(waiting: WaitingEnvelope): void {
    if (waiting.readers === 0) this.#waitingBytes += waiting.bytes
    waiting.readers += 1
  }

  /** Waits for one reader less. */
  release(waiting: WaitingEnvelope): void {
    waiting.readers -= 1
    if (waiting.readers === 0) this.#waitingBytes -= waiting.bytes
  }

  /** A frame is handed out; the returned function says, once or more, that its reader took it. */
  lend(envelopes: readonly StoredEnvelope[]): () => void {
    let bytes = 0
    for (const { message } of envelopes) bytes += message.length + overheadBytes
    this.#frameBytes += bytes
    return () => {
      this.#frameBytes -= bytes
      bytes = 0
    }
  }
}

/** To be pushed to each of its readers. A message that is a view into more bytes is copied. */
export function waitingOf(envelope: StoredEnvelope): WaitingEnvelope {
  const { message } = envelope
  // As a view it would keep all 25 MiB of its request as long as one slow reader.
  const isWhole = message.byteLength === message.buffer.byteLength
  return {
    envelope: isWhole ? envelope : { ...envelope, message: Uint8Array.from(message) },
    bytes: message.length + overheadBytes,
    readers: 0,
  }
}
