/** The stock of prekeys: uploads add keys, claims take them (docs/protocol.md sections 5 and 6). */
import type { DatabaseSync } from 'node:sqlite'
import { claimMemoryNs } from '../../../../src/protocol/limits.ts'
import type { SignedPrekey } from '../../../../src/protocol/prekey.ts'
import type { Effect } from '../../rules/verdict.ts'
import { type ClaimBudget, takeFromBudget } from '../claim-budget.ts'
import { oneTimeLifetimeNs } from '../lifetimes.ts'
import { sweepLimit } from '../operations.ts'
import { bytesOf, integerOf, nullableIntegerOf, type Row } from '../rows.ts'
import type { Claim, Stock } from '../store.ts'
import { prepare, type Statement } from './statement.ts'

interface ClaimRequest {
  readonly claimId: Uint8Array
  readonly installationId: string
  /** Give the fallback key, never a one-time key. */
  readonly isFallbackOnly: boolean
  readonly budget: ClaimBudget | undefined
}

export class SqlitePrekeys {
  readonly #installation: Statement
  readonly #count: Statement
  readonly #insert: Statement
  readonly #dropOneTime: Statement
  readonly #dropFallback: Statement
  readonly #markUpload: Statement
  readonly #setClaims: Statement
  readonly #nextOneTime: Statement
  readonly #fallback: Statement
  readonly #remove: Statement
  readonly #recall: Statement
  readonly #remember: Statement
  readonly #forgetClaims: Statement
  readonly #dropExpired: Statement

  constructor(database: DatabaseSync) {
    const sql = (text: string): Statement => prepare(database, text)
    this.#installation = sql(
      'SELECT revoked, newest_upload_ns, claims_full_ns FROM installation WHERE id = ?',
    )
    this.#count = sql(
      'SELECT COUNT(*) AS count FROM prekey WHERE installation = ? AND is_fallback = 0 AND stored_ns > ?',
    )
    this.#insert = sql(
      `INSERT INTO prekey (installation, is_fallback, curve25519, created_ns, signature, stored_ns)
       VALUES (?, ?, ?, ?, ?, ?)`,
    )
    this.#dropOneTime = sql('DELETE FROM prekey WHERE installation = ? AND is_fallback = 0')
    this.#dropFallback = sql('DELETE FROM prekey WHERE installation = ? AND is_fallback = 1')
    this.#markUpload = sql('UPDATE installation SET newest_upload_ns = ? WHERE id = ?')
    this.#setClaims = sql('UPDATE installation SET claims_full_ns = ? WHERE id = ?')
    this.#nextOneTime = sql(
      `SELECT id, is_fallback, curve25519, created_ns, signature FROM prekey
       WHERE installation = ? AND is_fallback = 0 AND stored_ns > ? ORDER BY id LIMIT 1`,
    )
    this.#fallback = sql(
      `SELECT id, is_fallback, curve25519, created_ns, signature FROM prekey
       WHERE installation = ? AND is_fallback = 1`,
    )
    this.#remove = sql('DELETE FROM prekey WHERE id = ?')
    this.#recall = sql(
      `SELECT is_fallback, curve25519, created_ns, signature FROM claim
       WHERE claim_id = ? AND installation = ? AND claimed_ns > ?`,
    )
    this.#remember = sql(
      `INSERT OR REPLACE INTO claim
       (claim_id, installation, is_fallback, curve25519, created_ns, signature, claimed_ns)
       VALUES (?, ?, ?, ?, ?, ?, ?)`,
    )
    this.#forgetClaims = sql(
      `DELETE FROM claim WHERE rowid IN
       (SELECT rowid FROM claim WHERE claimed_ns <= ? ORDER BY claimed_ns LIMIT ?)`,
    )
    this.#dropExpired = sql(
      `DELETE FROM prekey WHERE id IN
       (SELECT id FROM prekey WHERE is_fallback = 0 AND stored_ns <= ? ORDER BY stored_ns LIMIT ?)`,
    )
  }

  /** Adds an accepted upload to the stock. */
  add(upload: Extract<Effect, { kind: 'upload' }>, nowNs: bigint): void {
    const { installationId, oneTime, fallback } = upload
    if (upload.replace) this.#dropOneTime.run(installationId)
    for (const prekey of oneTime) this.#add(installationId, prekey, nowNs)
    if (fallback !== undefined) {
      this.#dropFallback.run(installationId)
      this.#add(installationId, fallback, nowNs)
    }
    this.#markUpload.run(upload.createdNs, installationId)
  }

  #add(installationId: string, prekey: SignedPrekey, nowNs: bigint): void {
    const isFallback = prekey.kind === 'fallback' ? 1 : 0
    const { key, createdNs, signature } = prekey
    this.#insert.run(installationId, isFallback, key, createdNs, signature, nowNs)
  }

  /** One-time keys that may still be given out. */
  countOneTime(installationId: string, nowNs: bigint): number {
    const row = this.#count.get(installationId, nowNs - oneTimeLifetimeNs)
    return row === undefined ? 0 : Number(integerOf(row, 'count'))
  }

  stock(installationId: string, nowNs: bigint): Stock {
    const row = this.#installation.get(installationId)
    return {
      installationId,
      oneTimeLeft: this.countOneTime(installationId, nowNs),
      newestCreatedNs: row === undefined ? 0n : (nullableIntegerOf(row, 'newest_upload_ns') ?? 0n),
    }
  }

  /** For a revoked installation: nobody can use its keys. */
  dropAll(installationId: string): void {
    this.#dropOneTime.run(installationId)
    this.#dropFallback.run(installationId)
  }

  /** Gives out one key, or the one-time key that this claim got before; `took` says that the stock shrank. */
  claim(
    { claimId, installationId, isFallbackOnly, budget }: ClaimRequest,
    nowNs: bigint,
  ): { readonly claim: Claim; readonly took: boolean } {
    const remembered = this.#recall.get(claimId, installationId, nowNs - claimMemoryNs)
    if (remembered !== undefined) {
      return { claim: { installationId, prekey: prekeyOf(remembered) }, took: false }
    }
    const installation = this.#installation.get(installationId)
    if (installation === undefined || integerOf(installation, 'revoked') !== 0n) {
      return { claim: { installationId, prekey: undefined }, took: false }
    }
    const fullNs =
      isFallbackOnly || budget === undefined
        ? undefined
        : takeFromBudget(budget, integerOf(installation, 'claims_full_ns'), nowNs)
    const isOverBudget = !isFallbackOnly && budget !== undefined && fullNs === undefined
    const oneTime =
      isFallbackOnly || isOverBudget
        ? undefined
        : this.#nextOneTime.get(installationId, nowNs - oneTimeLifetimeNs)
    const row = oneTime ?? this.#fallback.get(installationId)
    const prekey = row === undefined ? undefined : prekeyOf(row)
    // A fallback is not used up, so there is nothing to remember and a claim of it writes nothing.
    if (row === undefined || prekey === undefined || oneTime === undefined) {
      return { claim: { installationId, isOverBudget, prekey }, took: false }
    }
    if (fullNs !== undefined) this.#setClaims.run(fullNs, installationId)
    this.#remove.run(integerOf(oneTime, 'id'))
    this.#remember.run(
      claimId,
      installationId,
      integerOf(row, 'is_fallback'),
      prekey.key,
      prekey.createdNs,
      prekey.signature,
      nowNs,
    )
    return { claim: { installationId, isOverBudget, prekey }, took: true }
  }

  /** Drops some of what is too old. @returns whether there is more. */
  sweep(nowNs: bigint): boolean {
    const claims = this.#forgetClaims.run(nowNs - claimMemoryNs, sweepLimit)
    const keys = this.#dropExpired.run(nowNs - oneTimeLifetimeNs, sweepLimit)
    return claims === sweepLimit || keys === sweepLimit
  }
}

const prekeyOf = (row: Row): SignedPrekey => ({
  kind: integerOf(row, 'is_fallback') === 0n ? 'one-time' : 'fallback',
  key: bytesOf(row, 'curve25519'),
  createdNs: integerOf(row, 'created_ns'),
  signature: bytesOf(row, 'signature'),
})
