/**
 * Plaintexts that a later release will understand (docs/protocol.md section 8, step 5): kept as they
 * are, bounded. What finds no room is only counted.
 */

import type { Store, Write } from '../../store/store.ts'
import { put, tables } from '../../store/tables.ts'
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
    for (let after = 0; ; ) {
      const page = await this.#store.scan(tables.setAside, { after, limit: 200 })
      for (const { value } of page.rows) this.#count(value.installationId)
      if (page.rows.length === 0) return
      after = page.lastNumber
    }
  }

  /** What to write to keep this one; nothing if there is no room. */
  writes({ from, payload }: Decrypted & { ok: true }): readonly Write[] {
    const { senderInstallationId, senderAddress } = from.metadata
    const kept = this.#byInstallation.get(senderInstallationId) ?? 0
    if (this.#total >= maxInAll || kept >= maxPerInstallation) return []
    this.#count(senderInstallationId)
    return [
      put(tables.setAside, this.#store.nextNumber(tables.setAside), {
        payload,
        address: senderAddress,
        installationId: senderInstallationId,
        nodeNs: from.envelope.nodeNs,
      }),
    ]
  }

  #count(installationId: string): void {
    this.#total += 1
    this.#byInstallation.set(installationId, (this.#byInstallation.get(installationId) ?? 0) + 1)
  }
}
