/**
 * What was decided about recent claims. A claim that is sent again is decided the same and counts
 * once; the store answers it from its own memory (docs/protocol.md section 5, "Prekeys").
 */
import { hash } from 'node:crypto'

// Less than the ten minutes of the store: a claim that is decided anew must be a new one there too,
// or its key would be free.
const memoryMs = 9 * 60_000

interface Decision {
  readonly untilMs: number
  /** '1' for each installation that only gave its fallback, in the order of the claim, else '0'. */
  readonly marks: string
}

export class ClaimMemory {
  readonly #claimsLimit: number
  // In the order of their end.
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
