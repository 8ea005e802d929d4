/** Keeps the client's state and warnings, and reports them to the application. */

import { type ErrorDetails, messageOf, PadlockError, type PadlockErrorCode } from '../../errors.ts'
import type { ClientEvent, ClientState, Status, Warning } from '../model.ts'

/** Reasons for being offline, cleared when the client is live. */
const passing: readonly PadlockErrorCode[] = [
  'network_unavailable',
  'unavailable',
  'bad_response',
  'incompatible_node',
  'unauthenticated_node',
  'rate_limited',
  'slow_reader',
]

export class StatusBoard {
  readonly #emit: (event: ClientEvent) => void
  #state: ClientState = 'connecting'
  readonly #warnings = new Map<PadlockErrorCode, Warning>()

  constructor(emit: (event: ClientEvent) => void) {
    this.#emit = emit
  }

  get current(): Status {
    return { state: this.#state, warnings: [...this.#warnings.values()] }
  }

  /** `revoked` and `closed` are final; only `closed` follows `revoked`. */
  setState(state: ClientState): void {
    if (this.#state === state || this.#state === 'closed') return
    if (this.#state === 'revoked' && state !== 'closed') return
    this.#state = state
    if (state === 'live') for (const code of passing) this.#warnings.delete(code)
    this.#publish()
  }

  /** Counts a warning; one entry per code, so the table of codes bounds the list. */
  warn(code: PadlockErrorCode, times = 1, details?: ErrorDetails): void {
    const count = (this.#warnings.get(code)?.count ?? 0) + times
    this.#warnings.delete(code)
    this.#warnings.set(code, { code, message: messageOf(code), count, ...(details && { details }) })
    this.#publish()
  }

  /** A warning of a state that lasts: counted once, until `clear`. */
  warnOnce(code: PadlockErrorCode, details?: ErrorDetails): void {
    if (!this.#warnings.has(code)) this.warn(code, 1, details)
  }

  /** What was warned of is over. */
  clear(code: PadlockErrorCode): void {
    if (this.#warnings.delete(code)) this.#publish()
  }

  /** Counts a failure of background work, under its code. */
  warnOf(error: unknown): void {
    this.warn(error instanceof PadlockError ? error.code : 'internal')
  }

  #publish(): void {
    this.#emit({ kind: 'status', status: this.current })
  }
}
