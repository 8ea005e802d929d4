/**
 * The accounts of which a revocation was stored since the client was last live. Theirs alone are
 * gone through when everything received so far is processed, not all that the client knows.
 */

import type { Address } from '../../protocol/ids.ts'
import type { Store } from '../../store/store.ts'
import { put, tables } from '../../store/tables.ts'
import type { Change } from '../runtime/change.ts'
import type { KnownAccount, KnownInstallation } from './known-installations.ts'

/** Revoked, and its messages still count if the node received them before (section 8). */
export const isRevokedLately = ({ revokedNs, isPast }: KnownInstallation): boolean =>
  revokedNs > 0n && !isPast

export class RevokedLately {
  readonly #store: Store
  #addresses: ReadonlySet<Address> | undefined

  constructor(store: Store) {
    this.#store = store
  }

  async load(): Promise<void> {
    const row = await this.#store.get(tables.revokedLately, 'revokedLately')
    this.#addresses = row && new Set(row.value.addresses as Address[])
  }

  /** Undefined in a database of an earlier release, which does not say. */
  get addresses(): ReadonlySet<Address> | undefined {
    return this.#addresses
  }

  /** Notes those with revocations that are not past yet, in the transaction that stores these. */
  additionChange(accounts: ReadonlyMap<Address, KnownAccount>): Change | undefined {
    const noted = this.#addresses
    const found = Array.from(accounts).flatMap(([address, account]) =>
      [...account.values()].some(isRevokedLately) ? [address] : [],
    )
    // Undefined: all that are followed are gone through at the next opportunity.
    if (!noted || found.every((address) => noted.has(address))) return undefined
    return this.#change(new Set([...noted, ...found]))
  }

  /** All are past. */
  clearChange(): Change | undefined {
    return this.#addresses?.size === 0 ? undefined : this.#change(new Set())
  }

  #change(addresses: ReadonlySet<Address>): Change {
    return {
      writes: [put(tables.revokedLately, 'revokedLately', { addresses: [...addresses] })],
      committed: () => {
        this.#addresses = addresses
      },
    }
  }
}
