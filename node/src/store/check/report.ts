/** What a check found: counts, and problems, of which only the first are kept. */

export interface Problem {
  /** Where: a topic or an installation. */
  readonly place: string
  readonly sequence?: bigint | undefined
  /** A sentence without message bytes. */
  readonly what: string
}

export interface CheckCounts {
  topics: number
  envelopes: number
  /** Of messages. */
  bytes: number
  bundles: number
  revocations: number
  /** Wallet signatures of contract accounts, which only their chain can check. */
  contractSignatures: number
  accounts: number
  installations: number
  prekeys: number
  claims: number
}

export interface CheckReport {
  readonly nodeId: Uint8Array | undefined
  readonly schemaVersion: number
  readonly counts: Readonly<CheckCounts>
  /** All of them. */
  readonly problemCount: number
  /** The first ones. */
  readonly problems: readonly Problem[]
}

/** As many as someone reads. */
const problemLimit = 100

export class Findings {
  readonly counts: CheckCounts = {
    topics: 0,
    envelopes: 0,
    bytes: 0,
    bundles: 0,
    revocations: 0,
    contractSignatures: 0,
    accounts: 0,
    installations: 0,
    prekeys: 0,
    claims: 0,
  }
  readonly problems: Problem[] = []
  problemCount = 0

  add(place: string, what: string, sequence?: bigint): void {
    this.problemCount += 1
    if (this.problems.length < problemLimit) this.problems.push({ place, what, sequence })
  }
}
