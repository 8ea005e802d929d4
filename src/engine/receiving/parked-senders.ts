/**
 * Processes parked envelopes (docs/protocol.md section 8, step 3): looks up their senders, then
 * takes the envelopes in order, or rejects them if the sender is still unknown.
 */

import type { Address } from '../../protocol/ids.ts'
import { hourMs, minuteMs, redeliveryMs } from '../../protocol/limits.ts'
import type { Consents } from '../consent/consents.ts'
import type { Directory } from '../membership/directory.ts'
import { Backoff } from '../runtime/backoff.ts'
import type { Context } from '../runtime/context.ts'
import { Mutex } from '../runtime/mutex.ts'
import { TaskLoop } from '../runtime/task-loop.ts'
import type { Authentication } from './authentication.ts'
import type { InboxEnvelope } from './envelope-stages.ts'
import type { Inbox } from './inbox.ts'
import { type ClaimedSender, keyOfSender, type ParkedEnvelope, type Parking } from './parking.ts'
import type { RejectionCounts } from './rejection-counts.ts'
import type { SenderLookup } from './sender-lookup.ts'
import type { Unsealing } from './unsealing.ts'

/** How long until a sender that waits for its chain is looked up again. */
const waitingMs = 10 * minuteMs

export interface ParkedSendersParts {
  readonly directory: Directory
  readonly parking: Parking
  readonly lookup: SenderLookup
  readonly consents: Pick<Consents, 'allowed'>
  readonly unsealing: Unsealing
  readonly authentication: Authentication
  readonly inbox: Inbox
  readonly rejections: RejectionCounts
}

export class ParkedSenders {
  readonly #context: Context
  readonly #parts: ParkedSendersParts
  readonly #mutex = new Mutex()
  readonly #loop: TaskLoop
  /** When senders that wait for their chains are looked up again. */
  readonly #againMs = new Map<string, number>()
  #isLive = false

  constructor(context: Context, parts: ParkedSendersParts) {
    this.#context = context
    this.#parts = parts
    this.#loop = new TaskLoop(context, () => this.#workOffInTurn(), {
      backoff: new Backoff(context.platform),
    })
  }

  /** The connection was established or lost. */
  setLive(isLive: boolean): void {
    this.#isLive = isLive
    if (isLive) this.#loop.retryNow()
  }

  /** Envelopes were parked. */
  onParked(): void {
    this.#loop.wake()
  }

  /** Runs until the client closes. */
  run(): Promise<void> {
    return this.#loop.run()
  }

  /** @returns how long to rest, in milliseconds */
  async #workOffInTurn(): Promise<number> {
    if (!this.#isLive) return hourMs
    if (await this.workOff()) return this.#parts.lookup.restMs
    return this.#againMs.size > 0 ? waitingMs : hourMs
  }

  /**
   * Looks up parked senders, as far as the limits of look-ups allow, and processes what it can: of
   * accepted accounts first, as whatever strangers have on their topics may take long.
   *
   * @param whose of accepted accounts only, or of everybody
   * @returns whether more are to be looked up
   * @throws PadlockError of the network and the store
   */
  workOff(whose: 'accepted' | 'everybody' = 'everybody'): Promise<boolean> {
    const { parking, consents, rejections } = this.#parts
    return this.#mutex.runExclusive(async () => {
      const nowMs = this.#context.platform.monotonicMs()
      const isDue = (one: ClaimedSender) => (this.#againMs.get(keyOfSender(one)) ?? 0) <= nowMs
      const parked = parking.installations(parking.addresses())
      this.#forgetOthers(parked)
      const waiting = new Set(parked.filter(isDue).map(({ address }) => address))
      const accepted = await consents.allowed(waiting)
      const others = [...waiting].filter((address) => !accepted.has(address))
      let hasMore = await this.#workOffThese([...accepted], 'accepted', nowMs)
      if (whose === 'everybody') {
        hasMore = (await this.#workOffThese(others, 'others', nowMs)) || hasMore
      }
      rejections.report()
      return hasMore
    })
  }

  /** @returns whether some were not looked up */
  async #workOffThese(
    waiting: readonly Address[],
    who: 'accepted' | 'others',
    nowMs: number,
  ): Promise<boolean> {
    const { parking, lookup } = this.#parts
    const now = await lookup.refresh(waiting, who)
    for (const sender of parking.installations(now)) {
      const key = keyOfSender(sender)
      if (await this.#workOffSender(sender)) this.#againMs.set(key, nowMs + waitingMs)
      else this.#againMs.delete(key)
    }
    return now.length < waiting.length
  }

  /** What exceeded a limit may have been the last of a sender that waited. */
  #forgetOthers(parked: readonly ClaimedSender[]): void {
    const keys = new Set(parked.map(keyOfSender))
    for (const key of this.#againMs.keys()) if (!keys.has(key)) this.#againMs.delete(key)
  }

  /** Processes the envelopes of an account's installations that are now known to be valid. */
  workOffKnown(address: Address): Promise<void> {
    const { directory, parking, rejections } = this.#parts
    return this.#mutex.runExclusive(async () => {
      const account = await directory.account(address)
      for (const sender of parking.installations([address])) {
        if (account.get(sender.installationId)?.state !== 'valid') continue
        await this.#workOffSender(sender)
        this.#againMs.delete(keyOfSender(sender))
      }
      rejections.report()
    })
  }

  /** @returns whether some of it waits for the chain of its sender */
  async #workOffSender(sender: ClaimedSender): Promise<boolean> {
    const { directory, parking } = this.#parts
    const account = await directory.account(sender.address)
    // A contract account's installation waits for its chain, for at most two weeks.
    const { state } = account.get(sender.installationId) ?? {}
    const isWaiting = state === 'unverified' || state === 'pending'
    for (;;) {
      const all = parking.of(sender)
      const due = isWaiting ? all.filter((one) => this.#isTooOld(one)) : all
      if (due.length === 0) return all.length > 0
      await this.#process(due)
    }
  }

  async #process(due: readonly ParkedEnvelope[]): Promise<void> {
    const { parking, unsealing, authentication, inbox } = this.#parts
    const rows = await parking.read(due)
    const numbers = new Set(rows.map(({ number }) => number))
    const taken = rows.length > 0 ? due.filter(({ number }) => numbers.has(number)) : due
    const addressed = await unsealing.open(rows.map(({ value }): InboxEnvelope => value))
    const { authentic, toPark } = await authentication.authenticate(addressed, new Set(), true)
    await inbox.save(authentic, toPark, parking.removalChange(taken))
  }

  /** An age has passed only when both our own clock and node time say so (section 1). */
  #isTooOld({ parkedMs, nodeNs }: ParkedEnvelope): boolean {
    const { platform, time } = this.#context
    const nowNs = time.nodeNs() ?? 0n
    return (
      parkedMs < platform.nowMs() - redeliveryMs &&
      nodeNs < nowNs - BigInt(redeliveryMs) * 1_000_000n
    )
  }
}
