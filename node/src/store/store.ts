/**
 * What the node asks of storage. One adapter is beside it, `sqlite.ts`; another on PostgreSQL will
 * pass the same contract tests. Every method is safe to call while others run.
 */
import type { NodeCode } from '../../../src/protocol/node-codes.ts'
import type { SignedPrekey } from '../../../src/protocol/prekey.ts'

/** An envelope as a client publishes it. */
export interface NewEnvelope {
  readonly topic: string
  readonly message: Uint8Array
}

/** An envelope as it lies on its topic. */
export interface StoredEnvelope extends NewEnvelope {
  /** Per topic: 1, 2, 3 without gaps. */
  readonly sequence: bigint
  readonly nodeNs: bigint
}

export interface Receipt {
  readonly sequence: bigint
  readonly nodeNs: bigint
  /** False if these bytes lay on that topic before. */
  readonly fresh: boolean
}

/** Where a reader is on a topic: it has everything up to and including this sequence. */
export interface Cursor {
  readonly topic: string
  readonly afterSequence: bigint
}

/** The next envelopes over all topics asked for, in (`nodeNs`, topic, sequence) order. */
export interface Page {
  readonly envelopes: readonly StoredEnvelope[]
  readonly hasMore: boolean
}

export interface Claim {
  readonly installationId: string
  /** Absent: the installation is unknown or revoked, or has no key to give. */
  readonly prekey: SignedPrekey | undefined
}

/** How much a page may have; its first envelope may be larger. */
export interface PageLimit {
  readonly envelopes: number
  /** Of messages. */
  readonly bytes: number
}

/** How many prekeys an installation has left. */
export interface Stock {
  readonly installationId: string
  readonly oneTimeLeft: number
  /** The time that the newest upload carries; 0 if there was none. */
  readonly newestCreatedNs: bigint
}

/** What became visible at one moment, in the order in which it was stored. */
export interface Commit {
  readonly envelopes: readonly StoredEnvelope[]
  /** The installations whose stock shrank. */
  readonly stocks: readonly Stock[]
}

/** Why nothing of a request was stored, and which of its envelopes was the first at fault. */
export interface PublishRefusal {
  readonly ok: false
  readonly code: NodeCode
  readonly envelopeIndex: number
}

export type PublishOutcome =
  | { readonly ok: true; readonly receipts: readonly Receipt[] }
  | PublishRefusal

export interface Store {
  /** 16 random bytes, made with the store. */
  readonly nodeId: Uint8Array
  /** Chains whose contract signatures the node can check; none in this release. */
  readonly chainIds: readonly bigint[]

  /**
   * Checks and stores all envelopes, or none (docs/protocol.md section 5). Receipts come in the
   * order of the envelopes, once everything is on disk.
   * @throws StoreFailure if nothing could be stored for a reason that is not the request's.
   */
  publish(envelopes: readonly NewEnvelope[]): Promise<PublishOutcome>

  /**
   * One prekey for each installation, in the order asked. The same claim id gets the same key again
   * for ten minutes.
   * @throws StoreFailure
   */
  claim(claimId: Uint8Array, installationIds: readonly string[]): Promise<readonly Claim[]>

  /**
   * The next envelopes over all these topics, at least one if there is any.
   * @throws StoreFailure
   */
  page(cursors: readonly Cursor[], limit: PageLimit): Promise<Page>

  /** @throws StoreFailure */
  stock(installationId: string): Promise<Stock>

  /**
   * Calls `listener` after each commit. Whatever a `page` or `stock` asked later did not show is
   * announced after its answer; whatever it did show may be announced before or after.
   * @returns ends it.
   */
  watch(listener: (commit: Commit) => void): () => void

  /** Finishes what is under way, then refuses everything. */
  close(): Promise<void>
}

/** Storage did not do what it should: disk full, file gone, thread ended. Retrying may help. */
export class StoreFailure extends Error {
  override readonly name = 'StoreFailure'
}
