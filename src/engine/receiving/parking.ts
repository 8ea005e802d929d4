/**
 * Stores envelopes of unknown senders (docs/protocol.md section 8, step 3), bounded, until their
 * account is looked up. While a sender has parked envelopes, every later one from it is parked
 * behind them. A sender is an installation under one address: claiming its id under another address
 * makes a different sender, which cannot delay or decide anything for the first.
 */

import type { Address, InstallationId } from '../../protocol/ids.ts'
import type { Row, Store } from '../../store/store.ts'
import type { ParkedRecord } from '../../store/tables.ts'
import { joinKey, put, remove, tables } from '../../store/tables.ts'
import { type Change, joinChanges } from '../runtime/change.ts'
import { scanAll } from '../runtime/scan-all.ts'

const maxBytes = 64 * 1024 * 1024
const maxBytesPerAddress = 4 * 1024 * 1024

/** The sender that an envelope claims: an installation under one address. */
export interface ClaimedSender {
  readonly address: Address
  readonly installationId: InstallationId
}

/** Key of a claimed sender. */
export const keyOfSender = ({ address, installationId }: ClaimedSender): string =>
  joinKey(address, installationId)

export interface ParkedEnvelope extends ClaimedSender {
  readonly number: number
  readonly bytes: number
}

export interface NewlyParked extends ClaimedSender {
  readonly message: Uint8Array
  readonly sequence: bigint
  readonly nodeNs: bigint
}

export class Parking {
  readonly #store: Store
  readonly #parked = new Map<number, ParkedEnvelope>()
  /** The number of envelopes by sender: looked up for every envelope that arrives. */
  readonly #counts = new Map<string, number>()

  constructor(store: Store) {
    this.#store = store
  }

  async load(): Promise<void> {
    for await (const row of scanAll(this.#store, tables.parked)) this.#remember(toParked(row))
  }

  has(claimed: ClaimedSender): boolean {
    return this.#counts.has(keyOfSender(claimed))
  }

  /** The accounts that parked senders claim, in the order of arrival. */
  addresses(): ReadonlySet<Address> {
    return new Set([...this.#parked.values()].map(({ address }) => address))
  }

  /**
   * Parks these. `dropped`: how many exceed a limit; the newest of the largest address go first.
   */
  parkChange(
    envelopes: readonly NewlyParked[],
    parkedMs: number,
  ): Change & { readonly dropped: number } {
    if (envelopes.length === 0) return { writes: [], dropped: 0 }
    const all = new Map(this.#parked)
    const fresh = envelopes.map((envelope) => {
      const number = this.#store.nextNumber(tables.parked)
      const parked = { ...envelope, number, bytes: envelope.message.length }
      all.set(number, parked)
      return { envelope, parked }
    })
    const dropped = new Set(dropNewest(all))
    const removal = this.removalChange([...dropped].filter((number) => this.#parked.has(number)))
    const kept = fresh.filter(({ parked }) => !dropped.has(parked.number))
    const addition: Change = {
      writes: kept.map(({ envelope, parked }) =>
        put(tables.parked, parked.number, { ...envelope, parkedMs: BigInt(parkedMs) }),
      ),
      committed: () => {
        for (const { parked } of kept) this.#remember(parked)
      },
    }
    return { ...joinChanges(removal, addition), dropped: dropped.size }
  }

  /** The parked envelopes of one sender, oldest first. */
  async of(claimed: ClaimedSender): Promise<readonly Row<ParkedRecord>[]> {
    const rows: Row<ParkedRecord>[] = []
    const { address, installationId } = claimed
    const all = [...this.#parked.values()].filter(
      (one) => one.address === address && one.installationId === installationId,
    )
    for (const { number } of all) {
      const row = await this.#store.get(tables.parked, number)
      if (row) rows.push({ value: row.value, number })
    }
    return rows
  }

  /** The senders with parked envelopes that claim these accounts. */
  installations(addresses: ReadonlySet<Address>): readonly ClaimedSender[] {
    const found = new Map<string, ClaimedSender>()
    for (const { address, installationId } of this.#parked.values()) {
      if (!addresses.has(address)) continue
      found.set(joinKey(address, installationId), { address, installationId })
    }
    return [...found.values()]
  }

  /** Removes processed envelopes. */
  removalChange(numbers: readonly number[]): Change {
    return {
      writes: numbers.map((number) => remove(tables.parked, number)),
      committed: () => this.#forget(numbers),
    }
  }

  #forget(numbers: readonly number[]): void {
    for (const number of numbers) {
      const parked = this.#parked.get(number)
      if (!parked) continue
      this.#parked.delete(number)
      const name = keyOfSender(parked)
      const left = (this.#counts.get(name) ?? 1) - 1
      if (left > 0) this.#counts.set(name, left)
      else this.#counts.delete(name)
    }
  }

  #remember(parked: ParkedEnvelope): void {
    this.#parked.set(parked.number, parked)
    const name = keyOfSender(parked)
    this.#counts.set(name, (this.#counts.get(name) ?? 0) + 1)
  }
}

const toParked = ({ value, number }: Row<ParkedRecord>): ParkedEnvelope => ({
  number,
  address: value.address as Address,
  installationId: value.installationId as InstallationId,
  bytes: value.message.length,
})

/** Removes envelopes from `all` until it fits; returns their numbers. */
const dropNewest = (all: Map<number, ParkedEnvelope>): readonly number[] => {
  const dropped: number[] = []
  const sums = new Map<Address, number>()
  let total = 0
  for (const { address, bytes } of all.values()) {
    sums.set(address, (sums.get(address) ?? 0) + bytes)
    total += bytes
  }
  for (;;) {
    let largest: Address | undefined
    for (const [address, bytes] of sums) {
      if (largest === undefined || bytes > (sums.get(largest) ?? 0)) largest = address
    }
    const most = largest === undefined ? 0 : (sums.get(largest) ?? 0)
    if (largest === undefined || (total <= maxBytes && most <= maxBytesPerAddress)) return dropped
    let newest: ParkedEnvelope | undefined
    for (const parked of all.values()) if (parked.address === largest) newest = parked
    if (!newest) return dropped
    all.delete(newest.number)
    dropped.push(newest.number)
    sums.set(largest, most - newest.bytes)
    total -= newest.bytes
  }
}
