/**
 * The installations of accounts as the store has them; those used lately are kept in memory. An
 * account that does not open counts as unknown, and is told of, so that it is read again.
 */

import { PadlockError } from '../../errors.ts'
import type { Address } from '../../protocol/ids.ts'
import { type InstallationRecord, tables } from '../../store/tables.ts'
import type { Context } from '../runtime/context.ts'
import { fromRecords } from './installation-records.ts'
import type { KnownAccount } from './known-installations.ts'

/** Accounts kept in memory; others are read from the store again. */
const maxAccounts = 2_000

export class KnownAccounts {
  readonly #context: Context
  readonly #onDamaged: (address: Address) => Promise<void>
  readonly #accounts = new Map<Address, KnownAccount>()

  constructor(context: Context, onDamaged: (address: Address) => Promise<void>) {
    this.#context = context
    this.#onDamaged = onDamaged
  }

  /** The known installations of an account, including revoked ones. */
  async get(address: Address): Promise<KnownAccount> {
    const known = this.#accounts.get(address)
    if (known) return known
    const records = await this.#recordsOrNone(address)
    const account = fromRecords(address, records, this.#context.time.passedNs())
    const now = this.#accounts.get(address)
    return now ?? this.remember(address, account)
  }

  /** What is known of an account now; call this when it is stored. */
  remember(address: Address, account: KnownAccount): KnownAccount {
    this.#accounts.delete(address)
    const [oldest] = this.#accounts.keys()
    if (oldest !== undefined && this.#accounts.size >= maxAccounts) this.#accounts.delete(oldest)
    this.#accounts.set(address, account)
    return account
  }

  forget(address: Address): void {
    this.#accounts.delete(address)
  }

  async #recordsOrNone(address: Address): Promise<readonly InstallationRecord[]> {
    try {
      return await this.#records(address)
    } catch (error) {
      if (!(error instanceof PadlockError) || error.code !== 'storage_damaged') throw error
      const { status } = this.#context
      status.warnOnce(error.code, error.details)
      this.#onDamaged(address).catch((failure: unknown) => status.warnOf(failure))
      return []
    }
  }

  /** All of them: an account without its revoked installations would take them back. */
  async #records(group: Address): Promise<readonly InstallationRecord[]> {
    const records: InstallationRecord[] = []
    for await (const page of this.#context.store.pages(tables.installations, group)) {
      for (const { value } of page) if (value.address === group) records.push(value)
    }
    return records
  }
}
