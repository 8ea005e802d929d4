/**
 * What the databases are asked, on whatever thread they run: operations in one transaction, reads,
 * and sweeps. `group-commit.ts` makes a `Store` of it.
 */
import type { NodeCode } from '../../../src/protocol/node-codes.ts'
import type { ContractQuestion, SignatureStatus } from '../rules/signature-status.ts'
import type {
  Claim,
  ClaimLimits,
  Cursor,
  NewEnvelope,
  ReadAnswers,
  ReadArgs,
  ReadName,
  Receipt,
  Stock,
} from './store.ts'

/** A write: it shares a transaction with others, or has its own. */
export type Operation =
  | {
      readonly kind: 'publish'
      readonly envelopes: readonly NewEnvelope[]
      /** By index of the envelope. */
      readonly statuses?: ReadonlyMap<number, SignatureStatus>
    }
  | {
      readonly kind: 'claim'
      readonly claimId: Uint8Array
      readonly installationIds: readonly string[]
      readonly limits?: ClaimLimits
    }

/** The result of an operation. */
export type Outcome =
  | { readonly kind: 'published'; readonly receipts: readonly Receipt[] }
  | {
      readonly kind: 'refused'
      readonly code: NodeCode
      readonly envelopeIndex: number
      /** What is wrong with the envelope; quotes nothing of it. */
      readonly why?: string | undefined
    }
  | {
      readonly kind: 'asks'
      readonly question: ContractQuestion
      readonly envelopeIndex: number
    }
  | {
      readonly kind: 'claimed'
      readonly claims: readonly Claim[]
      readonly stocks: readonly Stock[]
    }
  /** Storage failed; nothing of the operation is stored. */
  | { readonly kind: 'failed'; readonly reason: string }

/** What other processes on the same database stored. */
export interface News {
  /** Topics with news, each with the sequence before them. */
  readonly cursors: readonly Cursor[]
  /** The installations whose stock shrank. */
  readonly installationIds: readonly string[]
  /** Some news are lost: subscribers must read their topics again. */
  readonly missed: boolean
}

/** The largest number of rows that one step of a sweep drops, so that no call waits long for it. */
export const sweepLimit = 1_000

/** The calls of a database. Those of one method are answered in the order of the calls. */
export interface DatabaseCalls {
  readonly nodeId: Uint8Array
  /** Absent if the database has no clock besides the machine's. */
  readonly clock?: 'own'
  /**
   * @param nowNs node time; if absent, the database's own clock counts.
   * @returns the outcomes, in the order of the operations, and the time that counted.
   */
  run(
    operations: readonly Operation[],
    nowNs: bigint | undefined,
  ): Promise<{ readonly outcomes: readonly Outcome[]; readonly nowNs: bigint }>
  /** @param nowNs node time: what is too old by then is not shown. */
  read<N extends ReadName>(nowNs: bigint, name: N, args: ReadArgs[N]): Promise<ReadAnswers[N]>
  /**
   * Drops what is too old: claims, unused one-time keys, digests of uploads, and envelopes that an
   * inbox has kept longer than `retentionNs`.
   * @param nowNs node time; if absent, the database's own clock counts.
   * @returns whether there is more.
   * @throws Error also if the clocks that it knows are too far apart to trust either.
   */
  sweep(nowNs: bigint | undefined, retentionNs: bigint): Promise<boolean>
  /** Reports what other processes store from now on; absent for a database of one process. */
  onNews?(listener: (news: News) => void): void
  close(): Promise<void>
}
