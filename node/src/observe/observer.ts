/**
 * Events of a node, for metrics and logs. The service knows this interface only; both implement it.
 */
import type { LimitKind } from '../limits/rate-limits.ts'
import type { SignatureStatus } from '../rules/signature-status.ts'
import type { ReadName } from '../store/store.ts'

/** A call from its first byte to its last. */
export interface EndedCall {
  /** The name of the RPC as in the schema: `Publish`. */
  readonly rpc: string
  /** `ok`, a code of docs/protocol.md section 13, or a gRPC status in snake case. */
  readonly code: string
  readonly durationMs: number
  readonly caller: string
}

/** The kinds of topics. */
export type StoredKind = 'contact' | 'revoked' | 'prekey' | 'message'
export type StoreOperation = 'publish' | 'claim' | ReadName
export type ClaimResult = 'one_time' | 'fallback' | 'not_available'

export interface Observer {
  callEnded(call: EndedCall): void
  /** A caller passed a limit. For claims, `count` installations gave their fallback key. */
  limited(kind: LimitKind, count: number, caller: string): void
  /** A new envelope is on disk. */
  stored(kind: StoredKind, bytes: number): void
  /** Envelopes handed to a reader. */
  streamed(envelopes: number): void
  claimed(result: ClaimResult): void
  /** The store answered, or failed, after this time. */
  storeAnswered(operation: StoreOperation, durationMs: number): void
  chainAnswered(status: SignatureStatus): void
  /** The store failed; the reason names nothing that was sent. */
  storageFailed(reason: string): void
  /** Something that should not happen: the kind of error and where, without its message. */
  defect(where: string): void
}

/** An observer that ignores everything. */
export const silentObserver: Observer = {
  callEnded() {},
  limited() {},
  stored() {},
  streamed() {},
  claimed() {},
  storeAnswered() {},
  chainAnswered() {},
  storageFailed() {},
  defect() {},
}

/** Passes every event on to each of them. */
export function observeAll(...observers: readonly Observer[]): Observer {
  const emit = (event: (observer: Observer) => void): void => {
    for (const observer of observers) event(observer)
  }
  return {
    callEnded: (call) => emit((each) => each.callEnded(call)),
    limited: (...limit) => emit((each) => each.limited(...limit)),
    stored: (kind, bytes) => emit((each) => each.stored(kind, bytes)),
    streamed: (envelopes) => emit((each) => each.streamed(envelopes)),
    claimed: (result) => emit((each) => each.claimed(result)),
    storeAnswered: (operation, ms) => emit((each) => each.storeAnswered(operation, ms)),
    chainAnswered: (status) => emit((each) => each.chainAnswered(status)),
    storageFailed: (reason) => emit((each) => each.storageFailed(reason)),
    defect: (where) => emit((each) => each.defect(where)),
  }
}
