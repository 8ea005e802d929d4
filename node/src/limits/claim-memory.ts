/**
 * Remembers the decisions about recent claims. A repeated claim gets the same decision and counts
 * once; the store answers it from its own memory (docs/protocol.md section 5, "Prekeys").
 */
import { hash } from 'node:crypto'

// Less than the ten minutes of the store: as long as a claim is remembered here, the store answers it
// with the same key. Otherwise a repeated claim would get a new key that no limit counts.
const memoryMs = 9 * 60_000

interface Decision {
  readonly untilMs: number
  /** One character an installation, in the order of the claim: '1' for fallback only, else '0'. */
  readonly marks: string
}

export class ClaimMemory {
  readonly #claimsLimit: number
  // In the order in which they expire.
  readonly #decisions = new Map<string, Decision>()

  constructor(claimsLimit: number) {
    this.#claimsLimit = claimsLimit
  }

  /** The decision about the same claim, if it was made less than nine minutes ago. */
  recall(
    claimId: Uint8Array,
    installationIds: readonly string[],
    nowMs: number,
  ): ReadonlySet<string> | undefined {
    const decision = this.#decisions.get(claimName(claimId, installationIds))
    if (decision === undefined || decision.untilMs <= nowMs) return undefined
    return new Set(installationIds.filter((_, index) => decision.marks[index] === '1'))
  }

  remember(
    claimId: Uint8Array,
    installationIds: readonly string[],
    fallbackOnly: ReadonlySet<string>,
    nowMs: number,
  ): void {
    const claim = claimName(claimId, installationIds)
    const marks = installationIds.map((id) => (fallbackOnly.has(id) ? '1' : '0')).join('')
    this.#decisions.delete(claim)
    this.#decisions.set(claim, { untilMs: nowMs + memoryMs, marks })
    for (const [oldest, { untilMs }] of this.#decisions) {
      if (untilMs > nowMs && this.#decisions.size <= this.#claimsLimit) break
      this.#decisions.delete(oldest)
    }
  }
}

// The same claim id with other installations is another claim.
const claimName = (claimId: Uint8Array, installationIds: readonly string[]): string =>
  hash('sha256', Buffer.concat([claimId, Buffer.from(installationIds.join(' '))]), 'base64')
