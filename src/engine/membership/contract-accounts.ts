/**
 * Asks chains about the grants and revocations of contract accounts (docs/protocol.md section 3): while
 * live, when an account is needed, and again after a while where a chain did not say yes. What a
 * chain confirms goes to the directory; what it does not stays `unverified`.
 */

import type { Chains, SignatureStatus } from '../../chains/chains.ts'
import { grantText } from '../../protocol/contact.ts'
import type { Address } from '../../protocol/ids.ts'
import { revocationText } from '../../protocol/revocation.ts'
import { hashPersonalMessage } from '../../protocol/wallet-signature.ts'
import { Backoff } from '../runtime/backoff.ts'
import type { Context } from '../runtime/context.ts'
import { Mutex } from '../runtime/mutex.ts'
import type { Directory } from './directory.ts'
import {
  type ContractStatement,
  isWorthVerifying,
  parseContractStatement,
} from './known-installations.ts'
import type { PendingVerification, PendingVerifications } from './pending-verification.ts'

/** Questions at a time. */
const batchSize = 4
/** Anyone can cause questions, and whoever runs the server may charge for them. */
const perMinute = 120
/** A no may be that of a server which is a few blocks behind, or of an owner who was changed since. */
const refusedRetryMs = 3_600_000
/** Whoever needs an account need not wait for the back-off of its chain, but for this. */
const neededRetryMs = 2_000
/** A chain that takes longer holds nothing up. */
const momentMs = 2_000
/** How long the loop rests when nothing is due. */
const idleMs = 3_600_000

export class ContractAccounts {
  readonly #context: Context
  readonly #chains: Chains
  readonly #directory: Directory
  readonly #questions: PendingVerifications
  readonly #serial = new Mutex()
  /** When a question is asked again after a no; monotonic, as all times here. */
  readonly #nextMs = new Map<number, number>()
  /** Of chains that could not be reached. */
  readonly #away = new Map<bigint, { readonly backoff: Backoff; askedMs: number; nextMs: number }>()
  #isLive = false
  #pause = new AbortController()
  #left = perMinute
  #sinceMs = 0

  constructor(
    context: Context,
    chains: Chains,
    directory: Directory,
    questions: PendingVerifications,
  ) {
    this.#context = context
    this.#chains = chains
    this.#directory = directory
    this.#questions = questions
  }

  /** The connection came or went. Coming ends every back-off. */
  setLive(isLive: boolean): void {
    this.#isLive = isLive
    if (!isLive) return
    this.#nextMs.clear()
    this.#away.clear()
    this.wake()
  }

  /** There may be something new to ask. */
  wake(): void {
    this.#pause.abort()
  }

  /** Somebody wants to write to these, or they wrote. */
  need(addresses: readonly Address[]): void {
    if (this.#away.size === 0) return
    const wanted = new Set(addresses)
    const chainIds = new Set(
      this.#questions.all().flatMap(({ address, chainId }) => (wanted.has(address) ? chainId : [])),
    )
    for (const [chainId, away] of this.#away) {
      if (!chainIds.has(chainId)) continue
      away.nextMs = Math.min(away.nextMs, away.askedMs + neededRetryMs)
      this.wake()
    }
  }

  /** Gives the questions about these a moment, so that who is asked about in time need not wait or be parked. */
  async settle(addresses: readonly Address[]): Promise<void> {
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

  /** Asks all that can be asked about an account now. Never throws for what a chain does. */
  async check(address: Address): Promise<void> {
    while (await this.#serial.runExclusive(() => this.#askSome(address)));
  }

  /** Works until the client closes. */
  async run(): Promise<void> {
    const { closing, platform, status } = this.#context
    const end = () => this.#pause.abort()
    closing.addEventListener('abort', end, { once: true })
    while (!closing.aborted) {
      this.#pause = new AbortController()
      try {
        while (this.#isLive && (await this.#serial.runExclusive(() => this.#askSome(undefined))));
      } catch (error) {
        if (closing.aborted) return
        status.warnOf(error)
      }
      if (!closing.aborted) await platform.wait(this.#untilNextMs(), this.#pause.signal)
    }
  }

  /** @returns whether anything was asked. */
  async #askSome(address: Address | undefined): Promise<boolean> {
    if (this.#context.closing.aborted) return false
    const batch: PendingVerification[] = []
    for (const question of this.#due(address)) {
      const account = await this.#directory.account(question.address)
      if (isWorthVerifying(account, question)) batch.push(question)
      if (batch.length >= Math.min(batchSize, this.#takeable())) break
    }
    const asked = batch.slice(0, this.#takeable())
    this.#left -= asked.length
    const words = await Promise.all(asked.map((question) => this.#ask(question)))
    for (const [at, question] of asked.entries()) await this.#heard(question, words[at])
    return asked.length > 0
  }

  /** Oldest first. */
  #due(address: Address | undefined): readonly PendingVerification[] {
    const nowMs = this.#context.platform.monotonicMs()
    return this.#questions
      .all()
      .filter(
        (question) =>
          (address === undefined || question.address === address) &&
          this.#chains.ids.has(question.chainId) &&
          this.#dueMs(question) <= nowMs,
      )
  }

  #dueMs({ number, chainId }: PendingVerification): number {
    return Math.max(this.#nextMs.get(number) ?? 0, this.#away.get(chainId)?.nextMs ?? 0)
  }

  #takeable(): number {
    const nowMs = this.#context.platform.monotonicMs()
    if (nowMs - this.#sinceMs >= 60_000) {
      this.#sinceMs = nowMs
      this.#left = perMinute
    }
    return this.#left
  }

  async #ask({
    number,
    kind,
    chainId,
    address,
  }: PendingVerification): Promise<SignatureStatus | undefined> {
    const record = await this.#questions.read(number)
    const question = record && parseContractStatement(record.message, kind === 'grant')
    const signed = question && signedOf(question)
    if (!signed) return undefined
    const hash = hashPersonalMessage(signed.text)
    const { signature } = signed
    return this.#chains.verify({ chainId, address, hash, signature }, this.#context.closing)
  }

  async #heard(
    { number, chainId }: PendingVerification,
    word: SignatureStatus | undefined,
  ): Promise<void> {
    const nowMs = this.#context.platform.monotonicMs()
    if (word === 'unreachable') {
      const backoff = this.#away.get(chainId)?.backoff ?? new Backoff(this.#context.platform)
      const { nextMs = 0 } = this.#away.get(chainId) ?? {}
      // Those asked at the same time failed together: that is one failure.
      if (nextMs > nowMs) return
      this.#away.set(chainId, { backoff, askedMs: nowMs, nextMs: nowMs + backoff.next() })
      return
    }
    this.#away.delete(chainId)
    if (word === 'valid') {
      await this.#directory.confirm(number)
      this.#nextMs.delete(number)
    } else this.#nextMs.set(number, nowMs + refusedRetryMs)
  }

  /** Milliseconds until the next question is due. */
  #untilNextMs(): number {
    const nowMs = this.#context.platform.monotonicMs()
    const waits = this.#questions
      .all()
      .filter(({ chainId }) => this.#chains.ids.has(chainId))
      .map((question) => this.#dueMs(question) - nowMs)
    // What is due and was not asked waits for a grant of its account, or for the next minute.
    const soonest = Math.min(idleMs, ...waits.map((ms) => (ms > 0 ? ms : 60_000)))
    return this.#isLive ? soonest : idleMs
  }
}

/** The text and the contract's signature over it. */
const signedOf = (question: ContractStatement) => {
  if (question.kind === 'grant') {
    const { bundle } = question
    return { text: grantText(bundle), signature: bundle.signature.signature }
  }
  const text = revocationText(question.revocation)
  return text.ok
    ? { text: text.value, signature: question.revocation.signature.signature }
    : undefined
}
