/**
 * What the engine needs from a node (docs/protocol.md section 5), in plain values. Failures are
 * PadlockErrors: the node's own codes, or network_unavailable, bad_response, incompatible_node. The
 * one adapter beside this file is `connect.ts`.
 */

import type { SignedPrekey } from '../protocol/prekey.ts'

export interface NodeInfo {
  /** 16 bytes; another id means another store, with cursors that start at 0. */
  readonly nodeId: Uint8Array
  readonly version: string
  readonly nodeNs: bigint
  readonly retentionNs: bigint
}

export interface OutgoingEnvelope {
  readonly topic: string
  readonly message: Uint8Array
}

export interface NodeReceipt {
  readonly sequence: bigint
  readonly nodeNs: bigint
}

export interface NodeEnvelope {
  readonly topic: string
  readonly sequence: bigint
  readonly nodeNs: bigint
  readonly message: Uint8Array
}

export interface TopicPosition {
  readonly topic: string
  readonly afterSequence: bigint
}

export interface ClaimedKey {
  readonly installationId: string
  /** Absent: not_available, or malformed. Its signature is not verified yet. */
  readonly prekey: SignedPrekey | undefined
}

export type NodeFrame =
  | { readonly kind: 'started'; readonly nodeId: Uint8Array }
  | { readonly kind: 'envelopes'; readonly envelopes: readonly NodeEnvelope[] }
  | { readonly kind: 'caught_up' }
  | { readonly kind: 'heartbeat'; readonly nodeNs: bigint }
  | {
      readonly kind: 'prekey_stock'
      readonly installationId: string
      readonly oneTimeLeft: number
      readonly newestCreatedNs: bigint
    }

export interface Network {
  getInfo(signal?: AbortSignal): Promise<NodeInfo>
  /** All envelopes or none. `details.envelopeIndex` of a refusal names the failing one. */
  publish(
    envelopes: readonly OutgoingEnvelope[],
    signal?: AbortSignal,
  ): Promise<readonly NodeReceipt[]>
  /** The next page over all topics. */
  query(
    topics: readonly TopicPosition[],
    signal?: AbortSignal,
  ): Promise<{ readonly envelopes: readonly NodeEnvelope[]; readonly hasMore: boolean }>
  claimPrekeys(
    claimId: Uint8Array,
    installationIds: readonly string[],
    signal?: AbortSignal,
  ): Promise<readonly ClaimedKey[]>
  /**
   * Everything after the positions, then live. Throws when it breaks, ends when the signal aborts.
   * `proof` is a serialised InboxProof for the inboxes among the topics.
   */
  subscribe(
    topics: readonly TopicPosition[],
    proof: Uint8Array,
    signal: AbortSignal,
  ): AsyncIterable<NodeFrame>
}
