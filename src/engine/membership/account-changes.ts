/** Collects one transaction's changes to known accounts, and which of them to report. */

import type { Address, InstallationId } from '../../protocol/ids.ts'
import { joinKey } from '../../store/tables.ts'
import type { Change } from '../runtime/change.ts'
import { installationWrite } from './installation-records.ts'
import {
  change,
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

/** The effect of some updates. */
export interface Difference {
  readonly news: readonly InstallationNews[]
  /** Installations that messages may be encrypted to now, but not before. */
  readonly usable: readonly KnownInstallation[]
}

export class AccountChanges {
  readonly #passedNs: bigint
  readonly accounts = new Map<Address, Map<InstallationId, KnownInstallation>>()
  readonly #touched = new Map<string, KnownInstallation>()
  /** Reported to the application. */
  readonly news: InstallationNews[] = []
  /** Installations that became usable, and get the messages deferred for them. */
  readonly gained: KnownInstallation[] = []

  /** @param passedNs the time that has passed by both clocks */
  constructor(passedNs: bigint) {
    this.#passedNs = passedNs
  }

  /** An account as changed so far. @param before as it was */
  of(address: Address, before: KnownAccount): Map<InstallationId, KnownInstallation> {
    const account = this.accounts.get(address) ?? new Map(before)
    this.accounts.set(address, account)
    return account
  }

  /** Applies updates to an account. The caller decides whether to report the resulting news. */
  apply(
    account: Map<InstallationId, KnownInstallation>,
    updates: readonly KnownInstallation[],
  ): Difference {
    const news: InstallationNews[] = []
    const usable: KnownInstallation[] = []
    for (const installation of change(account, updates, this.#passedNs)) {
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

  /** Writes everything that was applied; `remember` takes over the accounts after the commit. */
  recordsChange(remember: (address: Address, account: KnownAccount) => void): Change {
    return {
      writes: [...this.#touched.values()].map(installationWrite),
      committed: () => {
        for (const [address, account] of this.accounts) remember(address, account)
      },
    }
  }
}
