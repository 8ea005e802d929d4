/**
 * Keeps plaintexts that a later release will understand (docs/protocol.md section 8, step 5), as
 * they are, bounded. Those beyond the limit are only counted.
 */

import type { Store, Write } from '../../store/store.ts'
import { put, tables } from '../../store/tables.ts'
import type { Change } from '../runtime/change.ts'
import { scanAll } from '../runtime/scan-all.ts'
import type { Decrypted } from './envelope-stages.ts'

const maxInAll = 1_000
const maxPerInstallation = 100

export class SetAside {
  readonly #store: Store
  readonly #byInstallation = new Map<string, number>()
  #total = 0

  constructor(store: Store) {
    this.#store = store
  }

  async load(): Promise<void> {
    for await (const { value } of scanAll(this.#store, tables.setAside)) {
      this.#count([value.installationId])
    }
  }

  /** Keeps the plaintexts of a batch, up to the limit. */
  additionChange(plaintexts: readonly Extract<Decrypted, { ok: true }>[]): Change {
    const writes: Write[] = []
    const kept: string[] = []
    for (const { from, payload } of plaintexts) {
      const { senderInstallationId: installationId, senderAddress: address } = from.metadata
      const others = kept.filter((id) => id === installationId).length
      const ofInstallation = (this.#byInstallation.get(installationId) ?? 0) + others
      if (this.#total + kept.length >= maxInAll || ofInstallation >= maxPerInstallation) continue
      const { nodeNs } = from.envelope
      const number = this.#store.nextNumber(tables.setAside)
      writes.push(put(tables.setAside, number, { payload, address, installationId, nodeNs }))
      kept.push(installationId)
    }
    return { writes, committed: () => this.#count(kept) }
  }

  #count(installationIds: readonly string[]): void {
    this.#total += installationIds.length
    for (const id of installationIds) {
      this.#byInstallation.set(id, (this.#byInstallation.get(id) ?? 0) + 1)
    }
  }
}
