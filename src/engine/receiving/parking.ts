/**
 * Stores envelopes of unknown senders (docs/protocol.md section 8, step 3), bounded, until their
 * account is looked up. While a sender has parked envelopes, every later one from it is parked
 * behind them. A sender is an installation under one address: claiming its id under another address
 * makes a different sender, which cannot delay or decide anything for the first.
 */

import type { Address, InstallationId } from '../../protocol/ids.ts'
import {
  batchLimitBytes,
  parkedAddressBytes,
  parkedBytes,
  parkedRequestsBytes,
} from '../../protocol/limits.ts'
import type { Row, Store } from '../../store/store.ts'
import type { ParkedRecord } from '../../store/tables.ts'
import { joinKey, put, remove, tables } from '../../store/tables.ts'
import { type Change, joinChanges } from '../runtime/change.ts'
import { scanAll } from '../runtime/scan-all.ts'
import { ParkedBytes } from './parked-bytes.ts'

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
  /** Whether the person had accepted the account that it claims to be of. */
  readonly isAccepted: boolean
}

export interface NewlyParked extends ClaimedSender {
  readonly isAccepted: boolean
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
  readonly #bytes = new ParkedBytes()
  /** Of what claims accounts that were not accepted. */
  readonly #bytesOfRequests = new ParkedBytes()

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
   * Parks these. `dropped`: how many exceed a limit; the newest of the largest address go first, of
   * accounts that were not accepted before others.
   */
  parkChange(
    envelopes: readonly NewlyParked[],
    parkedMs: number,
  ): Change & { readonly dropped: number } {
    if (envelopes.length === 0) return { writes: [], dropped: 0 }
    const fresh = envelopes.map((envelope) => {
      const { address, installationId, nodeNs, message, isAccepted } = envelope
      const number = this.#store.nextNumber(tables.parked)
      const bytes = message.length
      const parked = { address, installationId, number, bytes, parkedMs, nodeNs, isAccepted }
      return { envelope, parked }
    })
    const dropped = this.#chooseDropped(fresh.map(({ parked }) => parked))
    const removal = this.removalChange([...dropped.values()].filter((one) => this.#isHere(one)))
    const kept = fresh.filter(({ parked }) => !dropped.has(parked.number))
    const addition: Change = {
      writes: kept.map(({ envelope, parked }) =>
        put(tables.parked, parked.number, {
          ...envelope,
          parkedMs: BigInt(parkedMs),
          accepted: envelope.isAccepted,
        }),
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
    const { address, number } = parked
    dropFrom(this.#bySender, keyOfSender(parked), number)
    dropFrom(this.#byAddress, address, number)
    this.#count(parked, -1)
  }

  #remember(parked: ParkedEnvelope): void {
    const { address, number } = parked
    addTo(this.#bySender, keyOfSender(parked), number, parked)
    addTo(this.#byAddress, address, number, parked)
    this.#count(parked, 1)
  }

  #count({ address, bytes, isAccepted }: ParkedEnvelope, sign: 1 | -1): void {
    this.#bytes.add(address, sign * bytes)
    if (!isAccepted) this.#bytesOfRequests.add(address, sign * bytes)
  }

  /** What must go so that the limits hold with these too, by number. */
  #chooseDropped(fresh: readonly ParkedEnvelope[]): ReadonlyMap<number, ParkedEnvelope> {
    const dropped = new Map<number, ParkedEnvelope>()
    const freshOf = new Map<Address, ParkedEnvelope[]>()
    for (const one of fresh) {
      const all = freshOf.get(one.address)
      if (all) all.push(one)
      else freshOf.set(one.address, [one])
      this.#count(one, 1)
    }
    const newestOf = new Map<Address, Iterator<ParkedEnvelope>>()
    const dropNewest = (address: Address): boolean => {
      const newest =
        newestOf.get(address) ??
        newestFirst(freshOf.get(address) ?? [], this.#byAddress.get(address))
      newestOf.set(address, newest)
      const { value: one, done } = newest.next()
      if (done) return false
      dropped.set(one.number, one)
      this.#count(one, -1)
      return true
    }
    for (const address of freshOf.keys()) {
      while (this.#bytes.of(address) > parkedAddressBytes && dropNewest(address));
    }
    const isTooMuch = () =>
      this.#bytesOfRequests.total > parkedRequestsBytes || this.#bytes.total > parkedBytes
    while (isTooMuch()) {
      const largest = this.#bytesOfRequests.largest() ?? this.#bytes.largest()
      if (largest === undefined || !dropNewest(largest)) break
    }
    // As it was: none of this is committed yet.
    for (const one of dropped.values()) this.#count(one, 1)
    for (const one of fresh) this.#count(one, -1)
    return dropped
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

/** What just came is newer than all that is parked. */
function* newestFirst(
  fresh: readonly ParkedEnvelope[],
  parked: Numbered | undefined,
): Generator<ParkedEnvelope, undefined> {
  yield* [...fresh].reverse()
  yield* [...(parked?.values() ?? [])].reverse()
}

const toParked = ({ value, number }: Row<ParkedRecord>): ParkedEnvelope => ({
  number,
  address: value.address as Address,
  installationId: value.installationId as InstallationId,
  bytes: value.message.length,
  parkedMs: Number(value.parkedMs),
  nodeNs: value.nodeNs,
  isAccepted: value.accepted,
})
