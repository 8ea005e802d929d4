/**
 * What the node asks of storage. Two databases implement it, in `sqlite/` and `postgres/`, and pass
 * the same contract tests. Every method is safe to call while others run.
 */
import type { NodeCode } from '../../../src/protocol/node-codes.ts'
import type { SignedPrekey } from '../../../src/protocol/prekey.ts'
import type { Clock } from '../clock.ts'
import type { ContractQuestion, SignatureStatus } from '../rules/signature-status.ts'
import type { ClaimBudget } from './claim-budget.ts'

/** An envelope as a client publishes it. */
export interface NewEnvelope {
  readonly topic: string
  readonly message: Uint8Array
}

/** An envelope on its topic. */
export interface StoredEnvelope extends NewEnvelope {
  /** Per topic: 1, 2, 3 without gaps. */
  readonly sequence: bigint
  readonly nodeNs: bigint
}

export interface Receipt {
  readonly sequence: bigint
  readonly nodeNs: bigint
  /** False if the topic already had these bytes. */
  readonly fresh: boolean
}

/** A reader's position on a topic: it has everything up to and including this sequence. */
export interface Cursor {
  readonly topic: string
  readonly afterSequence: bigint
}

/** The next envelopes over all topics asked for, in (`nodeNs`, topic, sequence) order. */
export interface Page {
  readonly envelopes: readonly StoredEnvelope[]
  readonly hasMore: boolean
}

/** What a claim may take. */
export interface ClaimLimits {
  /** Installations over a limit: they give their fallback key, never a one-time key. */
  readonly fallbackOnly?: ReadonlySet<string>
  /** What all claims of one installation may take together; absent for as much as there is. */
  readonly budget?: ClaimBudget
}

export interface Claim {
  readonly installationId: string
  /** Gave its fallback key, or none, because all its claims together were over the budget. */
  readonly isOverBudget?: boolean
  /** Absent if the installation is unknown or revoked, or has no key left. */
  readonly prekey: SignedPrekey | undefined
}

/** What the data takes, in bytes. */
export interface Occupancy {
  readonly usedBytes: number
  /** What may still be added; absent if the store does not know. */
  readonly freeBytes?: number
}

/** The size of a page; its first envelope may exceed it. */
export interface PageLimit {
  readonly envelopes: number
  /** Bytes of messages. */
  readonly bytes: number
}

/** How many prekeys an installation has left. */
export interface Stock {
  readonly installationId: string
  readonly oneTimeLeft: number
  /** The time inside the newest upload; 0 if there was none. */
  readonly newestCreatedNs: bigint
}

/** Envelopes and stocks that became visible at once, in the order in which they were stored. */
export interface Commit {
  readonly envelopes: readonly StoredEnvelope[]
  /** The installations whose stock shrank. */
  readonly stocks: readonly Stock[]
  /** An earlier commit was not emitted: whoever follows a topic must read it again. */
  readonly missed: boolean
}

/** Which commits a watcher wants. */
export interface Interest {
  topic(name: string): boolean
  installation(id: string): boolean
}

/** Why nothing of a request was stored, and the first of its envelopes at fault. */
export interface PublishRefusal {
  readonly ok: false
  readonly code: NodeCode
  readonly envelopeIndex: number
  /** What is wrong with it; quotes nothing of it. */
  readonly why?: string | undefined
}

export type PublishOutcome =
  | { readonly ok: true; readonly receipts: readonly Receipt[] }
  | PublishRefusal
  /** Nothing is stored until a chain has answered about this envelope. */
  | {
      readonly ok: false
      readonly question: ContractQuestion
      readonly envelopeIndex: number
    }

/**
 * Everything that can be read. A new read is a line here, one in `ReadsByName` and one in each
 * database: group commit, the timing and the database thread pass on whatever is named here.
 */
export interface Reads {
  /**
   * The next envelopes over all these topics, at least one if there is any.
   * @throws StoreFailure
   */
  page(cursors: readonly Cursor[], limit: PageLimit): Promise<Page>

  /** @throws StoreFailure */
  stock(installationId: string): Promise<Stock>

  /** Whether the database takes writes now. @throws StoreFailure */
  takesWrites(): Promise<boolean>

  /** @throws StoreFailure */
  occupancy(): Promise<Occupancy>
}

export type ReadName = keyof Reads
export type ReadArgs = { readonly [N in ReadName]: Parameters<Reads[N]> }
export type ReadAnswers = { readonly [N in ReadName]: Awaited<ReturnType<Reads[N]>> }

/** Reads that all come to one method, which passes them on by name. */
export abstract class ReadsByName implements Reads {
  protected abstract read<N extends ReadName>(name: N, args: ReadArgs[N]): Promise<ReadAnswers[N]>

  page(...args: ReadArgs['page']): Promise<Page> {
    return this.read('page', args)
  }

  stock(...args: ReadArgs['stock']): Promise<Stock> {
    return this.read('stock', args)
  }

  takesWrites(...args: ReadArgs['takesWrites']): Promise<boolean> {
    return this.read('takesWrites', args)
  }

  occupancy(...args: ReadArgs['occupancy']): Promise<Occupancy> {
    return this.read('occupancy', args)
  }
}

/** Calls a read by its name, where they arrive. */
export const readByName = <N extends ReadName>(
  // `Reads`, spelled so that each name keeps its own arguments and answer.
  reads: { readonly [R in ReadName]: (...args: ReadArgs[R]) => Promise<ReadAnswers[R]> },
  name: N,
  args: ReadArgs[N],
): Promise<ReadAnswers[N]> => reads[name](...args)

export interface Store extends Reads {
  /** 16 random bytes, made with the store. */
  readonly nodeId: Uint8Array
  /** Chains whose contract signatures can be asked about. */
  readonly chainIds: readonly bigint[]
  /** Node time: the clock that `node_ns` comes from. */
  readonly clock: Clock

  /**
   * Checks and stores all envelopes, or none (docs/protocol.md section 5). Receipts come in the
   * order of the envelopes, once everything is on disk.
   * @param statuses answers of chains about contract signatures, by index of the envelope.
   * @throws StoreFailure if nothing was stored, and not because of the request.
   */
  publish(
    envelopes: readonly NewEnvelope[],
    statuses?: ReadonlyMap<number, SignatureStatus>,
  ): Promise<PublishOutcome>

  /**
   * One prekey for each installation, in the order asked. The same claim id gets the same key again
   * for ten minutes.
   * @throws StoreFailure
   */
  claim(
    claimId: Uint8Array,
    installationIds: readonly string[],
    limits?: ClaimLimits,
  ): Promise<readonly Claim[]>

  /**
   * Calls `listener` after each commit, also of other processes. A commit that a later read did not
   * show is emitted after that answer; one that it did show may be emitted before or after. Envelopes
   * of one topic may come out of order if several processes store them: a reader that sees a sequence
   * skipped reads the topic again.
   * @param interest which of other processes' commits are read.
   * @returns stops watching.
   */
  watch(listener: (commit: Commit) => void, interest: Interest): () => void

  /** Drops what is too old, in small steps, and serves other calls between them. */
  sweep(): Promise<void>

  /** Finishes running calls, then refuses new ones. */
  close(): Promise<void>
}

/** Storage failed: disk full, file gone, thread ended. Retrying may help. */
export class StoreFailure extends Error {
  override readonly name = 'StoreFailure'
}
