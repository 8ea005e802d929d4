/**
 * Keeps plaintexts that a later release will understand (docs/protocol.md section 8, step 5), as
 * they are, bounded in number and bytes. Those beyond a limit are only counted.
 */

import { dayNs, setAsideAddressBytes, setAsideBytes } from '../../protocol/limits.ts'
import type { Write } from '../../store/store.ts'
import { put, remove, tables } from '../../store/tables.ts'
import { type Change, commit } from '../runtime/change.ts'
import type { Context } from '../runtime/context.ts'
import { scanAll } from '../runtime/scan-all.ts'
import type { Decrypted } from './envelope-stages.ts'

const maxInAll = 1_000
const maxOfAddress = 100
/** No release takes longer to read what an older one kept. */
const keptNs = 400n * dayNs

interface Sum {
  readonly count: number
  readonly bytes: number
}

const nothing: Sum = { count: 0, bytes: 0 }

/** What is kept: in all, and of each address. */
class Sums {
  readonly #byAddress: Map<string, Sum>
  #all: Sum

  constructor(before?: Sums) {
    this.#byAddress = new Map(before ? before.#byAddress : [])
    this.#all = before ? before.#all : nothing
  }

  /** @returns whether there is room, and takes it */
  take(address: string, bytes: number): boolean {
    const all = plus(this.#all, bytes)
    const own = plus(this.#byAddress.get(address) ?? nothing, bytes)
    const isTooMuch =
      all.count > maxInAll ||
      all.bytes > setAsideBytes ||
      own.count > maxOfAddress ||
      own.bytes > setAsideAddressBytes
    if (isTooMuch) return false
    this.#all = all
    this.#byAddress.set(address, own)
    return true
  }
}

export class SetAside {
  readonly #context: Context
  /** Undefined until there is something to keep. */
  #kept: Sums | undefined

  constructor(context: Context) {
    this.#context = context
  }

  /**
   * Keeps the plaintexts of a batch, as far as there is room. What is kept already is read at the
   * first of them, so that a start costs nothing.
   */
  async additionChange(plaintexts: readonly Extract<Decrypted, { ok: true }>[]): Promise<Change> {
    const { store } = this.#context
    this.#kept ??= await this.#load()
    const sums = new Sums(this.#kept)
    const writes = plaintexts.flatMap(({ from, payload }): Write[] => {
      const { senderInstallationId: installationId, senderAddress: address } = from.metadata
      if (!sums.take(address, payload.length)) return []
      const { nodeNs } = from.envelope
      const number = store.nextNumber(tables.setAside)
      return [put(tables.setAside, number, { payload, address, installationId, nodeNs })]
    })
    return {
      writes,
      committed: () => {
        this.#kept = sums
      },
    }
  }

  async #load(): Promise<Sums> {
    const sums = new Sums()
    for await (const { value } of scanAll(this.#context.store, tables.setAside)) {
      sums.take(value.address, value.payload.length)
    }
    return sums
  }

  /** Drops what no later release came to read. */
  async forgetOld(): Promise<void> {
    const { store, time } = this.#context
    const oldest = time.passedNs() - keptNs
    for (;;) {
      const { rows } = await store.scan(tables.setAside, { after: 0, limit: 1 })
      const old = rows.filter(({ value }) => value.nodeNs < oldest)
      if (old.length === 0) return
      await commit(store, { writes: old.map(({ number }) => remove(tables.setAside, number)) })
      this.#kept = undefined
    }
  }
}

const plus = ({ count, bytes }: Sum, more: number): Sum => ({
  count: count + 1,
  bytes: bytes + more,
})
