/**
 * Envelopes of senders that are not known yet (docs/protocol.md section 8, step 3): kept, bounded,
 * until their account was looked up. While an installation has parked envelopes, every later one
 * from it is parked behind them. An installation is one under one address: whoever names its id under
 * another one is somebody else, who delays and decides nothing.
 */

import type { Address, InstallationId } from '../../protocol/ids.ts'
import type { Row, Store, Write } from '../../store/store.ts'
import type { ParkedRecord } from '../../store/tables.ts'
import { joinKey, put, remove, tables } from '../../store/tables.ts'

const maxBytes = 64 * 1024 * 1024
const maxBytesPerAddress = 4 * 1024 * 1024

/** Whom an envelope claims to be of. */
export interface Claimed {
  readonly address: Address
  readonly installationId: InstallationId
}

/** Tells those whom envelopes claim to be of apart. */
export const nameOfClaimed = ({ address, installationId }: Claimed): string =>
  joinKey(address, installationId)

export interface ParkedEnvelope extends Claimed {
  readonly number: number
  readonly bytes: number
}

export interface NewlyParked extends Claimed {
  readonly message: Uint8Array
  readonly sequence: bigint
  readonly nodeNs: bigint
}

export class Parking {
  readonly #store: Store
  readonly #parked = new Map<number, ParkedEnvelope>()
  /** How many of each, by name: asked for every envelope that arrives. */
  readonly #counts = new Map<string, number>()

  constructor(store: Store) {
    this.#store = store
  }

  async load(): Promise<void> {
    for (let after = 0; ; ) {
      const { rows, lastNumber } = await this.#store.scan(tables.parked, { after, limit: 200 })
      for (const row of rows) this.#remember(toParked(row))
      if (rows.length === 0) return
      after = lastNumber
    }
  }

  has(claimed: Claimed): boolean {
    return this.#counts.has(nameOfClaimed(claimed))
  }

  /** Accounts that someone parked claims to be, in the order of arrival. */
  addresses(): ReadonlySet<Address> {
    return new Set([...this.#parked.values()].map(({ address }) => address))
  }

  /** What to write for these, and how many find no room. The newest of the largest address goes first. */
  plan(envelopes: readonly NewlyParked[], parkedMs: number) {
    if (envelopes.length === 0) return { writes: [], dropped: 0, kept: undefined }
    const all = new Map(this.#parked)
    const records = new Map<number, NewlyParked>()
    for (const envelope of envelopes) {
      const number = this.#store.nextNumber(tables.parked)
      records.set(number, envelope)
      all.set(number, { ...envelope, number, bytes: envelope.message.length })
    }
    const dropped = new Set(dropNewest(all))
    const writes: Write[] = []
    for (const number of dropped) {
      if (this.#parked.has(number)) writes.push(remove(tables.parked, number))
    }
    for (const [number, record] of records) {
      if (dropped.has(number)) continue
      writes.push(put(tables.parked, number, { ...record, parkedMs: BigInt(parkedMs) }))
    }
    return { writes, dropped: dropped.size, kept: all }
  }

  /** To be called when what `plan` gave is committed. */
  committed(kept: ReadonlyMap<number, ParkedEnvelope> | undefined): void {
    if (!kept) return
    this.#parked.clear()
    this.#counts.clear()
    for (const parked of kept.values()) this.#remember(parked)
  }

  /** The parked envelopes of one installation, oldest first. */
  async of(claimed: Claimed): Promise<readonly Row<ParkedRecord>[]> {
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

  /** Installations with parked envelopes of these accounts. */
  installations(addresses: ReadonlySet<Address>): readonly Claimed[] {
    const found = new Map<string, Claimed>()
    for (const { address, installationId } of this.#parked.values()) {
      if (!addresses.has(address)) continue
      found.set(joinKey(address, installationId), { address, installationId })
    }
    return [...found.values()]
  }

  removalWrites(numbers: readonly number[]): readonly Write[] {
    return numbers.map((number) => remove(tables.parked, number))
  }

  /** To be called when what `removalWrites` gave is committed. */
  removed(numbers: readonly number[]): void {
    for (const number of numbers) {
      const parked = this.#parked.get(number)
      if (!parked) continue
      this.#parked.delete(number)
      const name = nameOfClaimed(parked)
      const left = (this.#counts.get(name) ?? 1) - 1
      if (left > 0) this.#counts.set(name, left)
      else this.#counts.delete(name)
    }
  }

  #remember(parked: ParkedEnvelope): void {
    this.#parked.set(parked.number, parked)
    const name = nameOfClaimed(parked)
    this.#counts.set(name, (this.#counts.get(name) ?? 0) + 1)
  }
}

const toParked = ({ value, number }: Row<ParkedRecord>): ParkedEnvelope => ({
  number,
  address: value.address as Address,
  installationId: value.installationId as InstallationId,
  bytes: value.message.length,
})

/** Removes from `all` until it fits; returns the numbers that had to go. */
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
