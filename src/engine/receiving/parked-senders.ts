/**
 * Processes parked envelopes (docs/protocol.md section 8, step 3): looks up their senders, then
 * takes the envelopes in order, or rejects them if the sender is still unknown.
 */

import type { Address } from '../../protocol/ids.ts'
import { redeliveryMs } from '../../protocol/limits.ts'
import type { ParkedRecord } from '../../store/tables.ts'
import type { Directory } from '../membership/directory.ts'
import type { Context } from '../runtime/context.ts'
import { Mutex } from '../runtime/mutex.ts'
import type { Authentication } from './authentication.ts'
import type { InboxEnvelope } from './envelope-stages.ts'
import type { Inbox } from './inbox.ts'
import type { ClaimedSender, Parking } from './parking.ts'
import type { RejectionCounts } from './rejection-counts.ts'
import type { SenderLookup } from './sender-lookup.ts'
import type { Unsealing } from './unsealing.ts'

export interface ParkedSendersParts {
  readonly directory: Directory
  readonly parking: Parking
  readonly lookup: SenderLookup
  readonly unsealing: Unsealing
  readonly authentication: Authentication
  readonly inbox: Inbox
  readonly rejections: RejectionCounts
}

export class ParkedSenders {
  readonly #context: Context
  readonly #parts: ParkedSendersParts
  readonly #mutex = new Mutex()

  constructor(context: Context, parts: ParkedSendersParts) {
    this.#context = context
    this.#parts = parts
  }

  /**
   * Looks up all parked senders, as far as the limit of look-ups allows, and processes what it can.
   *
   * @returns whether more are waiting
   * @throws PadlockError of the network and the store
   */
  workOff(): Promise<boolean> {
    const { parking, lookup, rejections } = this.#parts
    return this.#mutex.runExclusive(async () => {
      const waiting = [...parking.addresses()]
      if (waiting.length === 0) return false
      const now = await lookup.refresh(waiting)
      for (const sender of parking.installations(new Set(now))) await this.#workOffSender(sender)
      rejections.report()
      return now.length < waiting.length
    })
  }

  /** Processes the envelopes of an account's installations that are now known to be valid. */
  workOffKnown(address: Address): Promise<void> {
    const { directory, parking, rejections } = this.#parts
    return this.#mutex.runExclusive(async () => {
      const account = await directory.account(address)
      for (const sender of parking.installations(new Set([address]))) {
        const isValid = account.get(sender.installationId)?.state === 'valid'
        if (isValid) await this.#workOffSender(sender)
      }
      rejections.report()
    })
  }

  async #workOffSender(sender: ClaimedSender): Promise<void> {
    const { directory, parking, unsealing, authentication, inbox } = this.#parts
    const rows = await parking.of(sender)
    const account = await directory.account(sender.address)
    // A contract account's installation waits for its chain, for at most two weeks.
    const { state } = account.get(sender.installationId) ?? {}
    const isWaiting = state === 'unverified' || state === 'pending'
    const due = isWaiting ? rows.filter(({ value }) => this.#isTooOld(value)) : rows
    if (due.length === 0) return
    const addressed = await unsealing.open(due.map(({ value }): InboxEnvelope => value))
    const { authentic, toPark } = await authentication.authenticate(addressed, new Set(), true)
    const removal = parking.removalChange(due.map(({ number }) => number))
    await inbox.save(authentic, toPark, removal)
  }

  /** An age has passed only when both our own clock and node time say so (section 1). */
  #isTooOld({ parkedMs, nodeNs }: ParkedRecord): boolean {
    const { platform, time } = this.#context
    const nowNs = time.nodeNs() ?? 0n
    return (
      Number(parkedMs) < platform.nowMs() - redeliveryMs &&
      nodeNs < nowNs - BigInt(redeliveryMs) * 1_000_000n
    )
  }
}
