/**
 * What the person said of each account (docs/protocol.md section 9), and how much is stored of those
 * that were not accepted. Everything that a stranger could cause asks here. Whoever changes a record
 * holds `ratchetLock`, so that what is planned from memory is what the store holds.
 */

import { type Address, formatAddress } from '../../protocol/ids.ts'
import type { Fields } from '../../store/store.ts'
import { type AccountRecord, put, StoredConsent, tables } from '../../store/tables.ts'
import type { Consent } from '../model.ts'
import { type Change, joinChanges } from '../runtime/change.ts'
import type { Context } from '../runtime/context.ts'
import { Mutex } from '../runtime/mutex.ts'
import { afterRemoval, type RequestSums } from './request-limits.ts'

const maxCached = 5_000

export type AccountState = Fields<AccountRecord>

/** Receives what becomes of an account. */
export interface ConsentListener {
  /** What else changes with it, in the same transaction. Called while `ratchetLock` is held. */
  consentChange(address: Address, consent: Consent): Promise<Change>
}

export class Consents {
  readonly #context: Context
  readonly #listener: ConsentListener
  /** In the order of last use. */
  readonly #known = new Map<Address, AccountState>()
  /**
   * Held, after `ratchetLock`, by whoever changes a consent or stores messages: what is planned for the
   * record of a conversation is planned from what the last one left.
   */
  readonly #mutex = new Mutex()
  #totals: RequestSums = { messages: 0, bytes: 0 }

  constructor(context: Context, listener: ConsentListener) {
    this.#context = context
    this.#listener = listener
  }

  async load(): Promise<void> {
    const stored = await this.#context.store.get(tables.requestTotals, 'requestTotals')
    if (stored) {
      this.#totals = { messages: stored.value.messages, bytes: Number(stored.value.bytes) }
    }
  }

  /** What is stored of all accounts that were not accepted. */
  get totals(): RequestSums {
    return this.#totals
  }

  async of(address: Address): Promise<Consent> {
    return consentOf(await this.state(address))
  }

  /** Which of these accounts the person accepted; our own is one of them. */
  async allowed(addresses: Iterable<Address>): Promise<ReadonlySet<Address>> {
    return this.#thoseWith('allowed', addresses)
  }

  async denied(addresses: Iterable<Address>): Promise<ReadonlySet<Address>> {
    return this.#thoseWith('denied', addresses)
  }

  async #thoseWith(consent: Consent, addresses: Iterable<Address>): Promise<ReadonlySet<Address>> {
    const states = await this.states(addresses)
    return new Set([...states].flatMap(([one, state]) => (consentOf(state) === consent ? one : [])))
  }

  async states(addresses: Iterable<Address>): Promise<ReadonlyMap<Address, AccountState>> {
    const all = Array.from(new Set(addresses), async (one) => [one, await this.state(one)] as const)
    return new Map(await Promise.all(all))
  }

  async state(address: Address): Promise<AccountState> {
    if (address === this.#context.account.address) return ownState(address)
    const known = this.#known.get(address)
    if (known) return known
    const row = await this.#context.store.get(tables.accounts, address)
    // It may have changed while the store answered.
    return this.#known.get(address) ?? this.#remember(row?.value ?? nothing(address))
  }

  /**
   * Says so of an account. Our own is always allowed.
   *
   * @throws PadlockError storage_*
   */
  set(address: Address, consent: Consent, save: (change: Change) => Promise<void>): Promise<void> {
    return this.#context.ratchetLock.runExclusive(() =>
      this.#mutex.runExclusive(async () => save(await this.flipChange([address], consent))),
    )
  }

  /**
   * Stores a message of ours: whoever is written to is accepted by that.
   *
   * @param run gets what changes with it
   */
  async allowing<T>(addresses: readonly Address[], run: (flips: Change) => Promise<T>): Promise<T> {
    const areAllowed = async () => (await this.allowed(addresses)).size === addresses.length
    const nothingElse: Change = { writes: [] }
    if (await areAllowed()) {
      const done = await this.#mutex.runExclusive(async () =>
        (await areAllowed()) ? { result: await run(nothingElse) } : undefined,
      )
      if (done) return done.result
    }
    return this.#context.ratchetLock.runExclusive(() =>
      this.#mutex.runExclusive(async () => run(await this.flipChange(addresses, 'allowed'))),
    )
  }

  /** Runs while no consent changes and no message is stored. Call this under `ratchetLock`. */
  exclusively<T>(run: () => Promise<T>): Promise<T> {
    return this.#mutex.runExclusive(run)
  }

  /** Call this while `ratchetLock` is held. */
  async flipChange(addresses: Iterable<Address>, consent: Consent): Promise<Change> {
    const { time, account, emit } = this.#context
    const changedNs = time.nodeNs() ?? time.clockNs()
    const changes: Change[] = []
    let totals = this.#totals
    for (const [address, before] of await this.states(addresses)) {
      if (address === account.address || consentOf(before) === consent) continue
      const { messages, bytes } = before
      const after = { ...before, consent: stored[consent], changedNs }
      // What is stored of an accepted account counts for nothing.
      const isAccepted = consent === 'allowed'
      if (isAccepted) totals = afterRemoval(totals, { messages, bytes: Number(bytes) })
      changes.push(
        this.#stateChange(isAccepted ? { ...after, messages: 0, bytes: 0n, leftOut: 0 } : after),
        await this.#listener.consentChange(address, consent),
        {
          writes: [],
          committed: () => emit({ kind: 'consent', address: formatAddress(address), consent }),
        },
      )
    }
    const isSame = totals === this.#totals
    return joinChanges(...changes, isSame ? undefined : this.#totalsChange(totals))
  }

  /** Messages of an account were deleted; with `isAll`, those that found no room are forgotten too. */
  async removalChange(address: Address, removed: RequestSums, isAll: boolean): Promise<Change> {
    const state = await this.state(address)
    if (consentOf(state) === 'allowed') return { writes: [] }
    const before = { messages: state.messages, bytes: Number(state.bytes) }
    const left = afterRemoval(before, removed)
    // What was stored while it was accepted was never counted.
    const counted = {
      messages: before.messages - left.messages,
      bytes: before.bytes - left.bytes,
    }
    const after = {
      ...state,
      messages: left.messages,
      bytes: BigInt(left.bytes),
      leftOut: isAll ? 0 : state.leftOut,
    }
    return this.sumsChange([after], afterRemoval(this.#totals, counted))
  }

  /** Saves what is stored of accounts that were not accepted, and of all of them. */
  sumsChange(states: readonly AccountState[], totals: RequestSums): Change {
    if (states.length === 0) return { writes: [] }
    const { messages, bytes } = this.#totals
    const isSame = messages === totals.messages && bytes === totals.bytes
    const saved = states.map((state) => this.#stateChange(state))
    return joinChanges(...saved, isSame ? undefined : this.#totalsChange(totals))
  }

  #stateChange(state: AccountState): Change {
    return {
      writes: [put(tables.accounts, state.address, state)],
      committed: () => {
        this.#remember(state)
      },
    }
  }

  #totalsChange(totals: RequestSums): Change {
    const { messages } = totals
    return {
      writes: [
        put(tables.requestTotals, 'requestTotals', { messages, bytes: BigInt(totals.bytes) }),
      ],
      committed: () => {
        this.#totals = totals
      },
    }
  }

  #remember(state: AccountState): AccountState {
    const address = state.address as Address
    this.#known.delete(address)
    const [oldest] = this.#known.keys()
    if (oldest !== undefined && this.#known.size >= maxCached) this.#known.delete(oldest)
    this.#known.set(address, state)
    return state
  }
}

export const consentOf = ({ consent }: Pick<AccountState, 'consent'>): Consent => {
  if (consent === StoredConsent.ALLOWED) return 'allowed'
  return consent === StoredConsent.DENIED ? 'denied' : 'unknown'
}

/** As records have it. */
export const stored = {
  unknown: StoredConsent.UNSPECIFIED,
  allowed: StoredConsent.ALLOWED,
  denied: StoredConsent.DENIED,
} as const satisfies Record<Consent, StoredConsent>

const nothing = (address: Address): AccountState => ({
  address,
  consent: StoredConsent.UNSPECIFIED,
  changedNs: 0n,
  messages: 0,
  bytes: 0n,
  leftOut: 0,
})

const ownState = (address: Address): AccountState => ({
  ...nothing(address),
  consent: StoredConsent.ALLOWED,
})
