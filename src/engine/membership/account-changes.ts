/** What one transaction changes in what is known of accounts, and what is news of it. */

import type { Address, InstallationId } from '../../protocol/ids.ts'
import type { Write } from '../../store/store.ts'
import { joinKey } from '../../store/tables.ts'
import {
  change,
  installationWrite,
  isMember,
  isUsable,
  type KnownAccount,
  type KnownInstallation,
} from './known-installations.ts'

/** An account gained an installation, or lost one. */
export interface InstallationNews {
  readonly installation: KnownInstallation
  readonly gained: boolean
}

/** What became different by some updates. */
export interface Taken {
  readonly news: readonly InstallationNews[]
  /** Those that may be written to now and could not be before. */
  readonly usable: readonly KnownInstallation[]
}

export class AccountChanges {
  readonly accounts = new Map<Address, Map<InstallationId, KnownInstallation>>()
  readonly #touched = new Map<string, KnownInstallation>()
  /** What the application is told. */
  readonly news: InstallationNews[] = []
  /** Who may be written to now, with whatever is owed to them. */
  readonly gained: KnownInstallation[] = []

  /** An account as changed so far. @param before as it was */
  of(address: Address, before: KnownAccount): Map<InstallationId, KnownInstallation> {
    const account = this.accounts.get(address) ?? new Map(before)
    this.accounts.set(address, account)
    return account
  }

  /** Changes an account; `news` is not told by that. */
  take(
    account: Map<InstallationId, KnownInstallation>,
    updates: readonly KnownInstallation[],
  ): Taken {
    const news: InstallationNews[] = []
    const usable: KnownInstallation[] = []
    for (const installation of change(account, updates)) {
      const before = account.get(installation.id)
      account.set(installation.id, installation)
      this.#touched.set(joinKey(installation.address, installation.id), installation)
      const gained = isMember(installation)
      if ((before !== undefined && isMember(before)) !== gained) news.push({ installation, gained })
      const wasUsable = before !== undefined && isUsable(before)
      if (isUsable(installation) && !wasUsable) usable.push(installation)
    }
    return { news, usable }
  }

  writes(): readonly Write[] {
    return [...this.#touched.values()].map(installationWrite)
  }
}
