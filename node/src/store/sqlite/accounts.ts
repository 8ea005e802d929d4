/** Accounts and installations: answers the rules, and stores what bundles and revocations change. */
import type { DatabaseSync } from 'node:sqlite'
import { type AccountSigners, noSigners } from '../../../../src/protocol/account-rules.ts'
import { sealingKeyWindowNs } from '../../../../src/protocol/limits.ts'
import type { KnownInstallation, RuleState } from '../../rules/state.ts'
import type { Effect, WalletKind } from '../../rules/verdict.ts'
import { bytesOf, integerOf, nullableIntegerOf, textOf } from '../rows.ts'
import type { SqlitePrekeys } from './prekeys.ts'
import { prepare, type Statement } from './statement.ts'

export class SqliteAccounts implements RuleState {
  readonly #prekeys: SqlitePrekeys
  readonly #installation: Statement
  readonly #account: Statement
  readonly #revocation: Statement
  readonly #countInstallations: Statement
  readonly #countBundles: Statement
  readonly #putAccount: Statement
  readonly #insertInstallation: Statement
  readonly #insertBundle: Statement
  readonly #dropBundles: Statement
  readonly #insertRevocation: Statement
  readonly #markRevoked: Statement
  readonly #markVouched: Statement

  constructor(database: DatabaseSync, prekeys: SqlitePrekeys) {
    const sql = (text: string): Statement => prepare(database, text)
    this.#prekeys = prekeys
    this.#installation = sql(
      `SELECT address, ed25519, revoked, vouched, sealing_created_ns, newest_upload_ns
       FROM installation WHERE id = ?`,
    )
    this.#account = sql('SELECT chain_id, keyed FROM account WHERE address = ?')
    this.#revocation = sql('SELECT 1 FROM revocation WHERE address = ? AND installation = ?')
    this.#countInstallations = sql(
      `SELECT COUNT(*) AS granted, COUNT(*) FILTER (WHERE revoked = 0) AS unrevoked
       FROM installation WHERE address = ?`,
    )
    this.#countBundles = sql(
      'SELECT COUNT(*) AS count FROM accepted_bundle WHERE installation = ? AND node_ns > ?',
    )
    this.#putAccount = sql(
      `INSERT INTO account (address, chain_id, keyed) VALUES (?, ?, ?)
       ON CONFLICT (address) DO UPDATE SET chain_id = coalesce(chain_id, excluded.chain_id),
         keyed = max(keyed, excluded.keyed)`,
    )
    this.#insertInstallation = sql(
      `INSERT INTO installation (id, address, ed25519, revoked, sealing_created_ns)
       VALUES (?, ?, ?, 0, ?)
       ON CONFLICT (id) DO UPDATE SET sealing_created_ns = excluded.sealing_created_ns`,
    )
    this.#insertBundle = sql(
      'INSERT INTO accepted_bundle (installation, sequence, node_ns) VALUES (?, ?, ?)',
    )
    this.#dropBundles = sql('DELETE FROM accepted_bundle WHERE installation = ? AND node_ns <= ?')
    this.#insertRevocation = sql(
      'INSERT OR IGNORE INTO revocation (address, installation) VALUES (?, ?)',
    )
    this.#markVouched = sql('UPDATE installation SET vouched = 1 WHERE id = ?')
    this.#markRevoked = sql('UPDATE installation SET revoked = 1 WHERE id = ? AND address = ?')
  }

  installation(installationId: string): KnownInstallation | undefined {
    const row = this.#installation.get(installationId)
    if (row === undefined) return undefined
    return {
      address: textOf(row, 'address'),
      ed25519: bytesOf(row, 'ed25519'),
      revoked: integerOf(row, 'revoked') !== 0n,
      vouched: integerOf(row, 'vouched') !== 0n,
      sealingCreatedNs: integerOf(row, 'sealing_created_ns'),
      newestUploadNs: nullableIntegerOf(row, 'newest_upload_ns'),
    }
  }

  signers(address: string): AccountSigners {
    const row = this.#account.get(address)
    if (row === undefined) return noSigners
    const chainId = row.chain_id === null ? undefined : BigInt(textOf(row, 'chain_id'))
    return { isKeyed: integerOf(row, 'keyed') !== 0n, chainId }
  }

  isRevoked(address: string, installationId: string): boolean {
    return this.#revocation.get(address, installationId) !== undefined
  }

  countInstallations(address: string): { readonly granted: number; readonly unrevoked: number } {
    const row = this.#countInstallations.get(address)
    if (row === undefined) return { granted: 0, unrevoked: 0 }
    return {
      granted: Number(integerOf(row, 'granted')),
      unrevoked: Number(integerOf(row, 'unrevoked')),
    }
  }

  countBundlesAfter(installationId: string, nodeNs: bigint): number {
    const row = this.#countBundles.get(installationId, nodeNs)
    return row === undefined ? 0 : Number(integerOf(row, 'count'))
  }

  countOneTime(installationId: string, nowNs: bigint): number {
    return this.#prekeys.countOneTime(installationId, nowNs)
  }

  grant(effect: Extract<Effect, { kind: 'grant' }>, sequence: bigint, nodeNs: bigint): void {
    const { installationId, address, keys, sealingCreatedNs } = effect
    this.#putSigner(address, effect.wallet)
    this.#insertInstallation.run(installationId, address, keys.ed25519, sealingCreatedNs)
    this.#dropBundles.run(installationId, nodeNs - sealingKeyWindowNs)
    this.#insertBundle.run(installationId, sequence, nodeNs)
  }

  vouch({ installationId }: Extract<Effect, { kind: 'vouch' }>): void {
    this.#markVouched.run(installationId)
  }

  #putSigner(address: string, wallet: WalletKind): void {
    const chain = wallet.kind === 'eip191' ? null : wallet.chainId.toString()
    this.#putAccount.run(address, chain, wallet.kind === 'eip191' ? 1 : 0)
  }

  revoke(effect: Extract<Effect, { kind: 'revoke' }>): void {
    const { address } = effect
    this.#putSigner(address, effect.wallet)
    for (const installationId of effect.installationIds) {
      this.#insertRevocation.run(address, installationId)
      // Section 3: a revocation concerns this account's bundles only, even if another has the same
      // id.
      if (this.#markRevoked.run(installationId, address) > 0) this.#prekeys.dropAll(installationId)
    }
  }
}
