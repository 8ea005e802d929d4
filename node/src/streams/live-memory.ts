/**
 * Counts the memory of backlogs, with an envelope counted once however many readers it waits for.
 */
import { defaultMemoryBytes, shareMemory } from '../limits/memory.ts'
import type { StoredEnvelope } from '../store/store.ts'

/** An envelope that waits for one reader or several. */
export interface WaitingEnvelope {
  readonly envelope: StoredEnvelope
  readonly bytes: number
  readers: number
}

/** The largest backlog of all readers of a process together. */
export const defaultTotalLimitBytes = shareMemory(defaultMemoryBytes).liveBytes

// An object, its numbers and its topic, besides the message.
const overheadBytes = 256

export class LiveMemory {
  readonly #limitBytes: number
  #waitingBytes = 0

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes
  }

  get waitingBytes(): number {
    return this.#waitingBytes
  }

  /** Whether subscribers have to be disconnected. */
  get isFull(): boolean {
    return this.#waitingBytes > this.#limitBytes
  }

  /** Whether enough were disconnected, so that the next envelope does not cost another one. */
  get hasRoom(): boolean {
    return this.#waitingBytes <= this.#limitBytes * 0.75
  }

  /** The envelope waits for one more reader. */
  hold(waiting: WaitingEnvelope): void {
    if (waiting.readers === 0) this.#waitingBytes += waiting.bytes
    waiting.readers += 1
  }

  /** The envelope waits for one reader less. */
  release(waiting: WaitingEnvelope): void {
    waiting.readers -= 1
    if (waiting.readers === 0) this.#waitingBytes -= waiting.bytes
  }
}

/** The entry to push to each of its readers. A message that is a view into more bytes is copied. */
export function waitingOf(envelope: StoredEnvelope): WaitingEnvelope {
  const { message } = envelope
  // A view would keep all 25 MiB of its request in memory as long as one slow reader.
  const isWhole = message.byteLength === message.buffer.byteLength
  return {
    envelope: isWhole ? envelope : { ...envelope, message: Uint8Array.from(message) },
    bytes: message.length + overheadBytes,
    readers: 0,
  }
}
