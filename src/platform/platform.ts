/**
 * What the engine needs from the machine it runs on: clocks, randomness, timers, the lock that
 * keeps two engines apart, and connectivity. The one adapter beside this file is `browser.ts`;
 * tests bring a virtual clock.
 */

/** A lock that is held. */
export interface HeldLock {
  /** Gives the lock back. */
  release(): void
  /** Resolves if the lock is taken away; never otherwise. */
  readonly lost: Promise<void>
}

export interface Platform {
  /** Wall clock, milliseconds since the Unix epoch. May jump. */
  nowMs(): number
  /** Milliseconds from an arbitrary start. Never jumps. */
  monotonicMs(): number
  /** From the platform's cryptographic generator. */
  randomBytes(length: number): Uint8Array<ArrayBuffer>
  /** Resolves after `ms`, or as soon as `signal` aborts: check the signal to know which. */
  wait(ms: number, signal?: AbortSignal): Promise<void>
  /** The lock of this name, or undefined if it is still held elsewhere after `waitMs`. */
  takeLock(name: string, waitMs: number): Promise<HeldLock | undefined>
  /**
   * Calls back whenever what failed may work again, or what worked may have broken unnoticed: the machine
   * is online again, or what was suspended goes on. Returns a function that stops this.
   */
  onReturn(listener: () => void): () => void
}
