/** What one transaction changes in what is known of accounts, and what is news of it. */

import type { Address, InstallationId } from '../protocol/ids.ts'
import type { Write } from '../store/store.ts'
import { joinKey } from '../store/tables.ts'
import {
  change,
  isUsable,
  type KnownAccount,
  type KnownInstallation,
  writeInstallation,
} from './known-installations.ts'

/** An installation that may be written to now and could not be before, or the other way round. */
export interface InstallationNews {
  readonly installation: KnownInstallation
  readonly gained: boolean
}

export class AccountChanges {
  readonly accounts = new Map<Address, Map<InstallationId, KnownInstallation>>()
  readonly #touched = new Map<string, KnownInstallation>()
  readonly news: InstallationNews[] = []

  /** An account as changed so far. @param before as it was */
  of(address: Address, before: KnownAccount): Map<InstallationId, KnownInstallation> {
    const account = this.accounts.get(address) ?? new Map(before)
    this.accounts.set(address, account)
    return account
  }

  /** @returns what became different in use. */
  take(
    account: Map<InstallationId, KnownInstallation>,
    updates: readonly KnownInstallation[],
  ): readonly InstallationNews[] {
    return change(account, updates).flatMap((installation) => {
      const before = account.get(installation.id)
      account.set(installation.id, installation)
      this.#touched.set(joinKey(installation.address, installation.id), installation)
      const gained = isUsable(installation)
      return (before !== undefined && isUsable(before)) === gained ? [] : [{ installation, gained }]
    })
  }

  /** Whose installations changed. */
  get touchedAddresses(): ReadonlySet<Address> {
    return new Set([...this.#touched.values()].map(({ address }) => address))
  }

  writes(): readonly Write[] {
    return [...this.#touched.values()].map(writeInstallation)
  }
}
