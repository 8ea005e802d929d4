/**
 * Has chains verify the grants and revocations of contract accounts (docs/protocol.md section 3):
 * while live, when an account is needed, and again later if a chain did not confirm. Confirmed
 * statements go to the directory; the rest stays `unverified`.
 */

import type { Chains, SignatureStatus } from '../../chains/chains.ts'
import type { Address } from '../../protocol/ids.ts'
import { hourMs, minuteMs } from '../../protocol/limits.ts'
import { Backoff } from '../runtime/backoff.ts'
import type { Context } from '../runtime/context.ts'
import { Mutex } from '../runtime/mutex.ts'
import { TaskLoop } from '../runtime/task-loop.ts'
import { isWorthVerifying, parseContractStatement, questionOf } from './contract-statements.ts'
import type { Directory } from './directory.ts'
import type { PendingVerification, PendingVerifications } from './pending-verification.ts'

/** How many statements chains verify at a time. */
const batchSize = 4
/** Chain requests. Anyone can cause them, and the chain's server may charge for them. */
const perMinute = 120
/** After a no: the contract's owner may change. */
const refusedRetryMs = hourMs
/** After a no that may pass, as the server may be some blocks behind; doubles up to an hour. */
const doubtfulRetryMs = 4_000
/** Replaces the back-off of a chain, and of a doubtful no, when its account is needed. */
const neededRetryMs = 2_000
/** How long sending and receiving wait for a chain. */
const momentMs = 2_000
/** How long the loop rests when nothing is due. */
const idleMs = hourMs

interface Refused {
  /** Whether the no may pass. */
  readonly isDoubtful: boolean
  /** Doubtful answers in a row. */
  readonly doubts: number
  readonly askedMs: number
  nextMs: number
}

export class ContractAccounts {
  readonly #context: Context
  readonly #chains: Chains
  readonly #directory: Directory
  readonly #pending: PendingVerifications
  readonly #mutex = new Mutex()
  /** Statements that a chain said no to, and when to ask again; monotonic, like all times here. */
  readonly #refused = new Map<number, Refused>()
  /** Chains that could not be reached. */
  readonly #away = new Map<bigint, { readonly backoff: Backoff; askedMs: number; nextMs: number }>()
  readonly #loop: TaskLoop
  #isLive = false
  #left = perMinute
  #sinceMs = 0

  constructor(
    context: Context,
    chains: Chains,
    directory: Directory,
    pending: PendingVerifications,
  ) {
    this.#context = context
    this.#chains = chains
    this.#directory = directory
    this.#pending = pending
    this.#loop = new TaskLoop(context, () => this.#verifyDue(), {
      restMs: () => this.#untilNextMs(),
    })
  }

  /** The connection was established or lost. Establishing it ends every back-off. */
  setLive(isLive: boolean): void {
    this.#isLive = isLive
    if (!isLive) return
    this.#refused.clear()
    this.#away.clear()
    this.wake()
  }

  /** Call this when there may be something new to verify. */
  wake(): void {
    this.#loop.wake()
  }

  /** Call this when a message is to be sent to these accounts, or arrived from them. */
  need(addresses: readonly Address[]): void {
    if (this.#away.size === 0 && this.#refused.size === 0) return
    for (const { number, chainId } of addresses.flatMap((address) => this.#pending.of(address))) {
      const refused = this.#refused.get(number)
      for (const wait of [this.#away.get(chainId), refused?.isDoubtful ? refused : undefined]) {
        if (!wait) continue
        wait.nextMs = Math.min(wait.nextMs, wait.askedMs + neededRetryMs)
        this.wake()
      }
    }
  }

  /** Why an account's devices are not confirmed: its chain could not be asked, or has not said so. */
  whyUnverified(address: Address): 'chain_unavailable' | 'unverified' {
    const isAway = this.#pending.of(address).some(({ chainId }) => this.#away.has(chainId))
    return isAway ? 'chain_unavailable' : 'unverified'
  }

  /**
   * Waits briefly for the pending verifications of these accounts: if they are confirmed in time,
   * their messages need not wait or be parked.
   */
  async awaitVerification(addresses: readonly Address[]): Promise<void> {
    this.need(addresses)
    const asked = addresses.filter((address) => this.#due(address).length > 0)
    if (asked.length === 0) return
    const patience = new AbortController()
    const moment = this.#context.platform.wait(momentMs, patience.signal)
    try {
      await Promise.race([Promise.all(asked.map((address) => this.check(address))), moment])
    } finally {
      patience.abort()
    }
  }

  /** Verifies what can be verified of an account now. Never throws because of a chain. */
  async check(address: Address): Promise<void> {
    while (await this.#mutex.runExclusive(() => this.#askSome(address)));
  }

  /** Runs until the client closes. */
  run(): Promise<void> {
    return this.#loop.run()
  }

  async #verifyDue(): Promise<number> {
    while (this.#isLive && (await this.#mutex.runExclusive(() => this.#askSome(undefined))));
    return this.#untilNextMs()
  }

  /** @returns whether any chain was asked */
  async #askSome(address: Address | undefined): Promise<boolean> {
    if (this.#context.closing.aborted) return false
    const batch: PendingVerification[] = []
    for (const pending of this.#due(address)) {
      const account = await this.#directory.account(pending.address)
      if (isWorthVerifying(account, pending)) batch.push(pending)
      if (batch.length >= Math.min(batchSize, this.#takeable())) break
    }
    const asked = batch.slice(0, this.#takeable())
    this.#left -= asked.length
    const statuses = await Promise.all(asked.map((pending) => this.#ask(pending)))
    for (const [at, pending] of asked.entries()) await this.#onStatus(pending, statuses[at])
    return asked.length > 0
  }

  /** Oldest first. */
  #due(address: Address | undefined): readonly PendingVerification[] {
    const nowMs = this.#context.platform.monotonicMs()
    return this.#pending
      .all()
      .filter(
        (pending) =>
          (address === undefined || pending.address === address) &&
          this.#chains.ids.has(pending.chainId) &&
          this.#dueMs(pending) <= nowMs,
      )
  }

  #dueMs({ number, chainId }: PendingVerification): number {
    return Math.max(this.#refused.get(number)?.nextMs ?? 0, this.#away.get(chainId)?.nextMs ?? 0)
  }

  #takeable(): number {
    const nowMs = this.#context.platform.monotonicMs()
    if (nowMs - this.#sinceMs >= minuteMs) {
      this.#sinceMs = nowMs
      this.#left = perMinute
    }
    return this.#left
  }

  async #ask({ number, kind, address }: PendingVerification): Promise<SignatureStatus | undefined> {
    const record = await this.#pending.read(number)
    const statement = record && parseContractStatement(record.message, kind === 'grant')
    const question = statement && questionOf(address, statement)
    return question && this.#chains.verify(question, this.#context.closing)
  }

  async #onStatus(
    { number, chainId }: PendingVerification,
    status: SignatureStatus | undefined,
  ): Promise<void> {
    const nowMs = this.#context.platform.monotonicMs()
    if (status === 'unreachable') {
      const backoff = this.#away.get(chainId)?.backoff ?? new Backoff(this.#context.platform)
      const { nextMs = 0 } = this.#away.get(chainId) ?? {}
      // Requests made at the same time failed together: that counts as one failure.
      if (nextMs > nowMs) return
      if (!this.#away.has(chainId)) this.#context.status.warn('chain_unavailable')
      this.#away.set(chainId, { backoff, askedMs: nowMs, nextMs: nowMs + backoff.next() })
      return
    }
    this.#away.delete(chainId)
    if (status === 'valid' || status === 'delegated') {
      const isTaken = await this.#directory.confirm(number, status === 'delegated')
      if (isTaken) {
        this.#refused.delete(number)
        return
      }
    }
    const isDoubtful = status === 'doubtful'
    const doubts = isDoubtful ? (this.#refused.get(number)?.doubts ?? 0) + 1 : 0
    const waitMs = isDoubtful ? doubtfulRetryMs * 2 ** (doubts - 1) : refusedRetryMs
    const nextMs = nowMs + Math.min(waitMs, refusedRetryMs)
    this.#refused.set(number, { isDoubtful, doubts, askedMs: nowMs, nextMs })
  }

  /** Milliseconds until the next verification is due. */
  #untilNextMs(): number {
    const nowMs = this.#context.platform.monotonicMs()
    const waits = this.#pending
      .all()
      .filter(({ chainId }) => this.#chains.ids.has(chainId))
      .map((pending) => this.#dueMs(pending) - nowMs)
    // A due statement that was not asked about waits for a grant of its account, or a minute.
    const soonest = Math.min(idleMs, ...waits.map((ms) => (ms > 0 ? ms : minuteMs)))
    return this.#isLive ? soonest : idleMs
  }
}
