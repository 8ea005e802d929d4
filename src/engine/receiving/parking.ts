/**
 * Stores envelopes of unknown senders (docs/protocol.md section 8, step 3), bounded, until their
 * account is looked up. While a sender has parked envelopes, every later one from it is parked
 * behind them. A sender is an installation under one address: claiming its id under another address
 * makes a different sender, which cannot delay or decide anything for the first.
 */

import type { Address, InstallationId } from '../../protocol/ids.ts'
import { batchLimitBytes, parkedAddressBytes, parkedBytes } from '../../protocol/limits.ts'
import type { Row, Store } from '../../store/store.ts'
import type { ParkedRecord } from '../../store/tables.ts'
import { joinKey, put, remove, tables } from '../../store/tables.ts'
import { type Change, joinChanges } from '../runtime/change.ts'
import { scanAll } from '../runtime/scan-all.ts'

/** Envelopes of one batch, as of those that just arrived. */
const maxBatch = 200

/** The sender that an envelope claims: an installation under one address. */
export interface ClaimedSender {
  readonly address: Address
  readonly installationId: InstallationId
}

/** Key of a claimed sender. */
export const keyOfSender = ({ address, installationId }: ClaimedSender): string =>
  joinKey(address, installationId)

/** A parked envelope without its message. */
export interface ParkedEnvelope extends ClaimedSender {
  readonly number: number
  readonly bytes: number
  readonly parkedMs: number
  readonly nodeNs: bigint
}

export interface NewlyParked extends ClaimedSender {
  readonly message: Uint8Array
  readonly sequence: bigint
  readonly nodeNs: bigint
}

export class Parking {
  readonly #store: Store
  /** By sender, oldest first: asked for every envelope that arrives. */
  readonly #bySender = new Map<string, Map<number, ParkedEnvelope>>()
  /** By address, oldest first. */
  readonly #byAddress = new Map<Address, Map<number, ParkedEnvelope>>()
  readonly #bytesOf = new Map<Address, number>()
  #bytes = 0

  constructor(store: Store) {
    this.#store = store
  }

  async load(): Promise<void> {
    for await (const row of scanAll(this.#store, tables.parked)) this.#remember(toParked(row))
  }

  has(claimed: ClaimedSender): boolean {
    return this.#bySender.has(keyOfSender(claimed))
  }

  /** The accounts that parked senders claim, in the order of arrival. */
  addresses(): Iterable<Address> {
    return this.#byAddress.keys()
  }

  /**
   * Parks these. `dropped`: how many exceed a limit; the newest of the largest address go first.
   */
  parkChange(
    envelopes: readonly NewlyParked[],
    parkedMs: number,
  ): Change & { readonly dropped: number } {
    if (envelopes.length === 0) return { writes: [], dropped: 0 }
    const room = new Room(this.#bytesOf, this.#bytes)
    const fresh = envelopes.map((envelope) => {
      const { address, installationId, nodeNs, message } = envelope
      const number = this.#store.nextNumber(tables.parked)
      const bytes = message.length
      room.add(address, bytes)
      const parked = { address, installationId, number, bytes, parkedMs, nodeNs }
      return { envelope, parked }
    })
    const newest = fresh.map(({ parked }) => parked).reverse()
    const newestOf = (address: Address, dropped: ReadonlySet<number>) =>
      newest.find((one) => one.address === address && !dropped.has(one.number)) ??
      lastOf(this.#byAddress.get(address), dropped)
    const dropped = room.drop(newestOf)
    const removal = this.removalChange([...dropped.values()].filter((one) => this.#isHere(one)))
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

  /** What is parked of one sender, oldest first. */
  of(claimed: ClaimedSender): readonly ParkedEnvelope[] {
    return [...(this.#bySender.get(keyOfSender(claimed))?.values() ?? [])]
  }

  /** Reads the first of these, as many as make a batch. */
  async read(parked: readonly ParkedEnvelope[]): Promise<readonly Row<ParkedRecord>[]> {
    const rows: Row<ParkedRecord>[] = []
    let left = batchLimitBytes
    for (const { number, bytes } of parked.slice(0, maxBatch)) {
      left -= bytes
      if (rows.length > 0 && left < 0) break
      const row = await this.#store.get(tables.parked, number)
      if (row) rows.push({ value: row.value, number })
    }
    return rows
  }

  /** The senders with parked envelopes that claim these accounts. */
  installations(addresses: Iterable<Address>): readonly ClaimedSender[] {
    const found = new Map<string, ClaimedSender>()
    for (const address of addresses) {
      for (const { installationId } of this.#byAddress.get(address)?.values() ?? []) {
        found.set(joinKey(address, installationId), { address, installationId })
      }
    }
    return [...found.values()]
  }

  /** Removes processed envelopes. */
  removalChange(envelopes: readonly ParkedEnvelope[]): Change {
    return {
      writes: envelopes.map(({ number }) => remove(tables.parked, number)),
      committed: () => {
        for (const one of envelopes) this.#forget(one)
      },
    }
  }

  #isHere({ address, number }: ParkedEnvelope): boolean {
    return this.#byAddress.get(address)?.has(number) === true
  }

  #forget(parked: ParkedEnvelope): void {
    if (!this.#isHere(parked)) return
    const { address, number, bytes } = parked
    dropFrom(this.#bySender, keyOfSender(parked), number)
    dropFrom(this.#byAddress, address, number)
    this.#addBytes(address, -bytes)
  }

  #remember(parked: ParkedEnvelope): void {
    const { address, number, bytes } = parked
    addTo(this.#bySender, keyOfSender(parked), number, parked)
    addTo(this.#byAddress, address, number, parked)
    this.#addBytes(address, bytes)
  }

  #addBytes(address: Address, bytes: number): void {
    this.#bytes += bytes
    const left = (this.#bytesOf.get(address) ?? 0) + bytes
    if (left > 0) this.#bytesOf.set(address, left)
    else this.#bytesOf.delete(address)
  }
}

/** How much is parked with what comes now, and what must go. */
class Room {
  readonly #before: ReadonlyMap<Address, number>
  readonly #now = new Map<Address, number>()
  #bytes: number

  constructor(before: ReadonlyMap<Address, number>, bytes: number) {
    this.#before = before
    this.#bytes = bytes
  }

  add(address: Address, bytes: number): void {
    this.#now.set(address, this.#of(address) + bytes)
    this.#bytes += bytes
  }

  /** @param newestOf the newest envelope of an address that is not dropped yet */
  drop(
    newestOf: (address: Address, dropped: ReadonlySet<number>) => ParkedEnvelope | undefined,
  ): ReadonlyMap<number, ParkedEnvelope> {
    const dropped = new Map<number, ParkedEnvelope>()
    const numbers = new Set<number>()
    const dropNewest = (address: Address): boolean => {
      const newest = newestOf(address, numbers)
      if (!newest) return false
      dropped.set(newest.number, newest)
      numbers.add(newest.number)
      this.add(address, -newest.bytes)
      return true
    }
    for (const address of [...this.#now.keys()]) {
      while (this.#of(address) > parkedAddressBytes && dropNewest(address));
    }
    while (this.#bytes > parkedBytes && dropNewest(this.#largest()));
    return dropped
  }

  #of(address: Address): number {
    return this.#now.get(address) ?? this.#before.get(address) ?? 0
  }

  #largest(): Address {
    let largest: Address | undefined
    let most = -1
    for (const address of new Set([...this.#before.keys(), ...this.#now.keys()])) {
      const bytes = this.#of(address)
      if (bytes > most) [largest, most] = [address, bytes]
    }
    return largest as Address
  }
}

type Numbered = Map<number, ParkedEnvelope>

const addTo = <Key>(
  map: Map<Key, Numbered>,
  key: Key,
  number: number,
  parked: ParkedEnvelope,
): void => {
  const all = map.get(key) ?? new Map<number, ParkedEnvelope>()
  map.set(key, all.set(number, parked))
}

const dropFrom = <Key>(map: Map<Key, Numbered>, key: Key, number: number): void => {
  const all = map.get(key)
  all?.delete(number)
  if (all?.size === 0) map.delete(key)
}

const lastOf = (
  parked: ReadonlyMap<number, ParkedEnvelope> | undefined,
  dropped: ReadonlySet<number>,
): ParkedEnvelope | undefined =>
  [...(parked?.values() ?? [])].reverse().find(({ number }) => !dropped.has(number))

const toParked = ({ value, number }: Row<ParkedRecord>): ParkedEnvelope => ({
  number,
  address: value.address as Address,
  installationId: value.installationId as InstallationId,
  bytes: value.message.length,
  parkedMs: Number(value.parkedMs),
  nodeNs: value.nodeNs,
})
