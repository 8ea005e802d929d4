/**
 * Which messages of a batch are stored: all of accepted accounts, a bounded number of others
 * (docs/protocol.md section 9). One object for each batch; planned under `ratchetLock`.
 */

import type { Address } from '../../protocol/ids.ts'
import type { Consent } from '../model.ts'
import type { Change } from '../runtime/change.ts'
import { type AccountState, type Consents, consentOf } from './consents.ts'
import { afterAddition, afterRemoval, isRequestFull, type RequestSums } from './request-limits.ts'

/** The part of a message that decides. */
export interface Candidate {
  readonly sender: Address
  readonly content: Uint8Array
}

export class Admission {
  readonly #consents: Consents
  readonly #states: ReadonlyMap<Address, AccountState>
  readonly #accepted: ReadonlySet<Address>
  readonly #leftOut = new Map<Address, number>()

  private constructor(
    consents: Consents,
    states: ReadonlyMap<Address, AccountState>,
    accepted: ReadonlySet<Address>,
  ) {
    this.#consents = consents
    this.#states = states
    this.#accepted = accepted
  }

  /**
   * @param addresses the senders of the batch, and the other accounts of its conversations
   * @param accepted those that are accepted by the batch itself
   */
  static async of(
    consents: Consents,
    addresses: Iterable<Address>,
    accepted: ReadonlySet<Address> = new Set(),
  ): Promise<Admission> {
    return new Admission(consents, await consents.states(addresses), accepted)
  }

  /** The consent of an account of the batch. */
  consent(address: Address): Consent {
    if (this.#accepted.has(address)) return 'allowed'
    const state = this.#states.get(address)
    return state ? consentOf(state) : 'unknown'
  }

  isAllowed(address: Address): boolean {
    return this.consent(address) === 'allowed'
  }

  /**
   * What is not worth decrypting: of an account whose request is full, or of any other when all requests
   * are. Neither a ratchet nor the disk is touched for it.
   */
  withoutRoom<One extends { readonly metadata: { readonly senderAddress: Address } }>(
    envelopes: readonly One[],
  ) {
    const open: One[] = []
    const full: One[] = []
    for (const one of envelopes) {
      const { senderAddress } = one.metadata
      const state = this.#states.get(senderAddress)
      const isFull =
        !this.isAllowed(senderAddress) &&
        state !== undefined &&
        isRequestFull(state, this.#consents.totals)
      if (isFull) full.push(one)
      else open.push(one)
    }
    for (const { metadata } of full) this.#leaveOut(metadata.senderAddress)
    return { open, full }
  }

  #leaveOut(address: Address): void {
    this.#leftOut.set(address, (this.#leftOut.get(address) ?? 0) + 1)
  }

  /** Sorts out what finds no room. One that is stored already counts as if it were new. */
  admit<Message extends Candidate>(messages: readonly Message[]) {
    const kept: Message[] = []
    const leftOut: Message[] = []
    const sums = this.#sums()
    for (const message of messages) {
      if (this.isAllowed(message.sender) || sums.add(message)) kept.push(message)
      else leftOut.push(message)
    }
    for (const { sender } of leftOut) this.#leaveOut(sender)
    return { kept, leftOut }
  }

  #sums(): Sums {
    let { totals } = this.#consents
    for (const address of this.#accepted) {
      const { messages = 0, bytes = 0n } = this.#states.get(address) ?? {}
      totals = afterRemoval(totals, { messages, bytes: Number(bytes) })
    }
    return new Sums(this.#states, totals)
  }

  /** Saves what is stored of others once these are, and how many found no room. */
  sumsChange(stored: readonly Candidate[]): Change {
    const sums = this.#sums()
    for (const message of stored) if (!this.isAllowed(message.sender)) sums.add(message)
    return this.#consents.sumsChange(sums.after(this.#leftOut), sums.ofAll)
  }
}

/** Counts up from what is stored. */
class Sums {
  readonly #states: ReadonlyMap<Address, AccountState>
  readonly #ofAccount = new Map<Address, RequestSums>()
  ofAll: RequestSums

  constructor(states: ReadonlyMap<Address, AccountState>, ofAll: RequestSums) {
    this.#states = states
    this.ofAll = ofAll
  }

  /** @returns whether there is room, and takes it */
  add({ sender, content }: Candidate): boolean {
    const state = this.#states.get(sender)
    if (!state) return false
    const before = this.#ofAccount.get(sender) ?? {
      messages: state.messages,
      bytes: Number(state.bytes),
    }
    const next = afterAddition(before, this.ofAll, content.length)
    if (!next) return false
    this.#ofAccount.set(sender, next.ofAccount)
    this.ofAll = next.ofAll
    return true
  }

  after(leftOut: ReadonlyMap<Address, number>): readonly AccountState[] {
    const changed = new Set([...this.#ofAccount.keys(), ...leftOut.keys()])
    return [...changed].flatMap((address): AccountState[] => {
      const state = this.#states.get(address)
      if (!state) return []
      const { messages, bytes } = this.#ofAccount.get(address) ?? state
      const left = state.leftOut + (leftOut.get(address) ?? 0)
      return [{ ...state, messages, bytes: BigInt(bytes), leftOut: left }]
    })
  }
}
