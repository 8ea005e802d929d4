/**
 * Keeps plaintexts that a later release will understand (docs/protocol.md section 8, step 5), as
 * they are, bounded in number and bytes. Those beyond a limit are only counted.
 */

import type { Address } from '../../protocol/ids.ts'
import { dayNs, setAsideAddressBytes, setAsideBytes } from '../../protocol/limits.ts'
import type { Write } from '../../store/store.ts'
import { put, remove, tables } from '../../store/tables.ts'
import type { Consents } from '../consent/consents.ts'
import type { Consent } from '../model.ts'
import { type Change, commit } from '../runtime/change.ts'
import type { Context } from '../runtime/context.ts'
import { scanAll } from '../runtime/scan-all.ts'
import type { Decrypted } from './envelope-stages.ts'

/** In all, and of one account: of accounts that were accepted, and of others (section 9). */
const limits = {
  ofAccepted: {
    count: 1_000,
    bytes: setAsideBytes,
    ofAddress: { count: 100, bytes: setAsideAddressBytes },
  },
  ofOthers: {
    count: 100,
    bytes: setAsideBytes / 10,
    ofAddress: { count: 10, bytes: setAsideAddressBytes / 10 },
  },
}
/** No release takes longer to read what an older one kept. */
const keptNs = 400n * dayNs

interface Sum {
  readonly count: number
  readonly bytes: number
}

const nothing: Sum = { count: 0, bytes: 0 }

/** What is kept: in all, of accounts that are not accepted, and of each address. */
class Sums {
  readonly #byAddress: Map<string, Sum>
  #all: Sum
  #ofOthers: Sum

  constructor(before?: Sums) {
    this.#byAddress = new Map(before ? before.#byAddress : [])
    this.#all = before ? before.#all : nothing
    this.#ofOthers = before ? before.#ofOthers : nothing
  }

  /** @returns whether there is room, and takes it */
  take(address: string, bytes: number, isAccepted: boolean): boolean {
    const limit = isAccepted ? limits.ofAccepted : limits.ofOthers
    const all = plus(this.#all, bytes)
    const ofOthers = plus(this.#ofOthers, bytes)
    const own = plus(this.#byAddress.get(address) ?? nothing, bytes)
    const isTooMuch =
      exceeds(all, limits.ofAccepted) ||
      (!isAccepted && exceeds(ofOthers, limit)) ||
      exceeds(own, limit.ofAddress)
    if (isTooMuch) return false
    this.count(address, bytes, isAccepted)
    return true
  }

  /** Counts what is kept, whether or not it would find room today. */
  count(address: string, bytes: number, isAccepted: boolean): void {
    this.#all = plus(this.#all, bytes)
    if (!isAccepted) this.#ofOthers = plus(this.#ofOthers, bytes)
    this.#byAddress.set(address, plus(this.#byAddress.get(address) ?? nothing, bytes))
  }
}

const exceeds = (sum: Sum, limit: Sum): boolean =>
  sum.count > limit.count || sum.bytes > limit.bytes

export class SetAside {
  readonly #context: Context
  readonly #consents: Pick<Consents, 'of'>
  /** Undefined until there is something to keep. */
  #kept: Sums | undefined

  constructor(context: Context, consents: Pick<Consents, 'of'>) {
    this.#context = context
    this.#consents = consents
  }

  /**
   * Keeps the plaintexts of a batch, as far as there is room. What is kept already is read at the
   * first of them, so that a start costs nothing.
   *
   * @param accepted those of the senders' accounts that were accepted
   */
  async additionChange(
    plaintexts: readonly Extract<Decrypted, { ok: true }>[],
    accepted: ReadonlySet<Address>,
  ): Promise<Change> {
    const { store } = this.#context
    this.#kept ??= await this.#load()
    const sums = new Sums(this.#kept)
    const writes = plaintexts.flatMap(({ from, payload }): Write[] => {
      const { senderInstallationId: installationId, senderAddress: address } = from.metadata
      if (!sums.take(address, payload.length, accepted.has(address))) return []
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
      const address = value.address as Address
      const isAccepted = (await this.#consents.of(address)) === 'allowed'
      sums.count(address, value.payload.length, isAccepted)
    }
    return sums
  }

  /** What becomes of an account's plaintexts once the person says this of it. */
  async consentChange(address: Address, consent: Consent): Promise<Change> {
    const writes: Write[] = []
    if (consent === 'denied') {
      for await (const { value, number } of scanAll(this.#context.store, tables.setAside)) {
        if (value.address === address) writes.push(remove(tables.setAside, number))
      }
    }
    return {
      writes,
      committed: () => {
        this.#kept = undefined
      },
    }
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
