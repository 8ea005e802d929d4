/**
 * Messages on their way out (docs/protocol.md section 8, Out): sealed in order when the recipients are
 * known, published one request at a time, for ever retried with the same bytes.
 */

import { PadlockError, type PadlockErrorCode } from '../../errors.ts'
import {
  type Address,
  buildConversationId,
  type ConversationId,
  parseCanonicalAddress,
} from '../../protocol/ids.ts'
import { requestLimitBytes, requestLimitEnvelopes } from '../../protocol/limits.ts'
import { isNodeCode } from '../../protocol/node-codes.ts'
import { type OutboxRow, put, remove, tables } from '../../store/tables.ts'
import type { Directory, KnownInstallation } from '../membership/directory.ts'
import { peerOf } from '../messages/conversations.ts'
import type { MessageStates } from '../messages/message-states.ts'
import type { Message } from '../model.ts'
import { Backoff } from '../runtime/backoff.ts'
import type { Context } from '../runtime/context.ts'
import type { Composer } from './composer.ts'
import type { DeferredDelivery } from './deferred.ts'
import type { FanoutRow } from './fanout.ts'
import { isMessage, type OutboxEntry, toOutboxRow } from './outbox-entry.ts'
import type { Sealing } from './sealing.ts'

/** Messages looked at for one request. */
const maxSealed = 50
/** A message for someone without installations is tried again this often (section 8). */
const waitingRetryMs = 3_600_000
/** Sealed bytes that are older are not offered any more (section 8). */
const staleMs = 14 * 86_400_000

export class Outbox {
  readonly #context: Context
  readonly #composer: Composer
  readonly #states: MessageStates
  readonly #directory: Directory
  readonly #sealing: Sealing
  readonly #owed: DeferredDelivery
  readonly #backoff: Backoff
  /** In order of composition. */
  readonly #entries = new Map<number, OutboxEntry>()
  /** Entries that nobody can be encrypted for now, and since when. */
  readonly #waitingSinceMs = new Map<number, number>()
  /** Counts what may let waiting entries go on, so that news during a try is not missed. */
  #news = 0
  #wake: () => void = () => undefined
  #pause = new AbortController()
  #isOnline = false
  /** Whether the node never heard of an installation, as it lost its data; who sends leaves it alone then. */
  isUnknownAtNode: (installation: KnownInstallation) => Promise<boolean> = async () => false

  constructor(
    context: Context,
    composer: Composer,
    states: MessageStates,
    directory: Directory,
    sealing: Sealing,
    owed: DeferredDelivery,
  ) {
    this.#owed = owed
    this.#context = context
    this.#composer = composer
    this.#states = states
    this.#directory = directory
    this.#sealing = sealing
    this.#backoff = new Backoff(context.platform)
  }

  async load(): Promise<void> {
    await this.#composer.load()
    for (let after = 0; ; ) {
      const page = await this.#context.store.scan(tables.outbox, { after, limit: 500 })
      for (const { value, number } of page.rows)
        this.#entries.set(number, { number, record: value })
      if (page.rows.length === 0) return
      after = page.lastNumber
    }
  }

  /** Works until the client closes. */
  async run(): Promise<void> {
    const { closing } = this.#context
    const end = () => this.#goOn()
    closing.addEventListener('abort', end, { once: true })
    while (!closing.aborted) {
      const woken = new Promise<void>((resolve) => {
        this.#wake = resolve
      })
      this.#pause = new AbortController()
      try {
        if (this.#isOnline && (await this.#step())) {
          this.#backoff.reset()
          continue
        }
        const { signal } = this.#pause
        await Promise.race([woken, this.#context.platform.wait(this.#untilRetryMs(), signal)])
        this.#pause.abort()
        this.#forgetOldWaits()
      } catch (error) {
        if (!closing.aborted) await this.#failed(error)
      }
    }
  }

  /** The connection came or went. Coming ends every wait and every back-off. */
  setOnline(isOnline: boolean): void {
    this.#isOnline = isOnline
    if (!isOnline) return
    this.#news += 1
    this.#waitingSinceMs.clear()
    this.#backoff.reset()
    this.#goOn()
  }

  /** An account's installations changed, or one of them wrote: who waits for it may go on. */
  retry(address: Address): void {
    this.#news += 1
    for (const [number, { record }] of this.#entries) {
      if (record.conversationId.includes(address)) this.#waitingSinceMs.delete(number)
    }
    this.#wake()
  }

  /** Stores a message as pending; it goes out when it can. */
  async send(conversationId: ConversationId, content: string): Promise<Message> {
    const { message, entry } = await this.#composer.compose(conversationId, content)
    this.#entries.set(entry.number, entry)
    this.#wake()
    return message
  }

  /** Sealed envelopes that stand for no message of their own; to be stored, then enqueued. */
  internalEntry(peer: Address, rows: readonly FanoutRow[]): OutboxEntry {
    const { store, account, time } = this.#context
    return {
      number: store.nextNumber(tables.outbox),
      record: {
        messageId: '',
        conversationId: buildConversationId(account.address, peer),
        composedNs: 0n,
        rows: rows.map(toOutboxRow),
        sealed: true,
        sealedMs: BigInt(time.stampMs()),
      },
    }
  }

  /** To be called when the entry is committed. */
  enqueue(entry: OutboxEntry): void {
    this.#entries.set(entry.number, entry)
    this.#wake()
  }

  /** The message once it is no longer pending, or as it is after `waitMs`. */
  whenSent(id: string, waitMs: number, signal: AbortSignal): Promise<Message> {
    const isOnItsWay = () => {
      for (const { record } of this.#entries.values()) if (record.messageId === id) return true
      return false
    }
    return this.#states.whenSent(id, isOnItsWay, waitMs, signal)
  }

  #goOn(): void {
    this.#wake()
    this.#pause.abort()
  }

  /** @returns whether anything was done. */
  async #step(): Promise<boolean> {
    await this.#dropStale()
    const sealed = this.#takeSealed()
    if (sealed.length > 0) {
      await this.#publish(sealed)
      return true
    }
    const unsealed = [...this.#entries.values()].filter(
      ({ number }) => !this.#waitingSinceMs.has(number),
    )
    if (unsealed.length === 0) return false
    const { platform } = this.#context
    const news = this.#news
    const result = await this.#sealing.seal(unsealed.slice(0, maxSealed))
    for (const entry of result.sealed) this.#entries.set(entry.number, entry)
    for (const entry of result.tooLarge) await this.#giveUp(entry, 'message_too_large')
    for (const { number, record } of result.unreachable) {
      // What came in meanwhile may be just what it waits for: then it is tried again at once.
      if (news === this.#news) this.#waitingSinceMs.set(number, platform.monotonicMs())
      await this.#states.setReason(record.messageId, 'no_installation')
    }
    return true
  }

  /** Bytes that no node took for two weeks: no session bridges that. Encrypted anew (section 8). */
  async #dropStale(): Promise<void> {
    const oldestMs = BigInt(this.#context.time.passedMs() - staleMs)
    for (const entry of [...this.#entries.values()]) {
      const { number, record } = entry
      if (!record.sealed || record.sealedMs >= oldestMs) continue
      if (!isMessage(entry)) {
        await this.#giveUp(entry, 'unavailable')
        continue
      }
      const anew = { ...record, rows: [], sealed: false, sealedMs: 0n }
      await this.#context.store.transaction([], () => ({
        writes: [put(tables.outbox, number, anew)],
        result: undefined,
      }))
      this.#entries.set(number, { number, record: anew })
    }
  }

  /** The next sealed messages, in order, that fit one request. */
  #takeSealed(): readonly OutboxEntry[] {
    const taken: OutboxEntry[] = []
    let bytes = 0
    let count = 0
    for (const entry of this.#entries.values()) {
      if (!entry.record.sealed || this.#waitingSinceMs.has(entry.number)) continue
      count += entry.record.rows.length
      bytes += entry.record.rows.reduce((sum, row) => sum + row.message.length, 0)
      if (taken.length > 0 && (count > requestLimitEnvelopes || bytes > requestLimitBytes)) break
      taken.push(entry)
    }
    return taken
  }

  async #publish(entries: readonly OutboxEntry[]): Promise<void> {
    const { time } = this.#context
    const rows = entries.flatMap(({ record }) => record.rows)
    const receipts = rows.length === 0 ? [] : await this.#offer(entries, rows)
    if (!receipts) return
    let at = 0
    const sent = entries.map(({ record }) => {
      const receipt = record.rows.length > 0 ? receipts[at] : undefined
      at += record.rows.length
      // Nobody else to tell: node time, or the own clock if there is none yet (section 8).
      const nodeNs = receipt?.nodeNs ?? time.nodeNs() ?? time.clockNs()
      return { messageId: record.messageId, nodeNs }
    })
    const published = entries.flatMap((entry, nth) => {
      const nodeNs = sent[nth]?.nodeNs
      if (!isMessage(entry) || nodeNs === undefined) return []
      const { messageId, conversationId, rows: own } = entry.record
      const topics = new Set(own.map(({ topic }) => topic))
      return [{ messageId, conversationId: conversationId as ConversationId, nodeNs, topics }]
    })
    const removals = entries.map(({ number }) => remove(tables.outbox, number))
    await this.#owed.published(published, (owed) =>
      this.#states.markSent(sent, [...removals, ...owed]),
    )
    for (const { number } of entries) this.#entries.delete(number)
  }

  /** @returns the receipts, or undefined if the node refused and the entries were mended. */
  async #offer(entries: readonly OutboxEntry[], rows: readonly OutboxRow[]) {
    const { network, closing } = this.#context
    try {
      return await network.publish(rows, closing)
    } catch (error) {
      if (!(error instanceof PadlockError) || error.retryable || !isNodeCode(error.code))
        throw error
      const index = Number(error.details?.envelopeIndex ?? 0)
      if (error.code === 'recipient_gone') await this.#recipientGone(entries, rows[index])
      else await this.#refused(entries, index, error.code)
      return undefined
    }
  }

  /** The topics say whether it is true; the node alone is not believed (section 8). */
  async #recipientGone(entries: readonly OutboxEntry[], row: OutboxRow | undefined): Promise<void> {
    const address = row && parseCanonicalAddress(row.address)
    if (!row || !address?.ok) throw new PadlockError('bad_response')
    await this.#directory.reread(address.value)
    const usable = await this.#directory.recipients(address.value)
    const valid = usable.find(({ id }) => row.topic.endsWith(id))
    if (valid && !(await this.isUnknownAtNode(valid))) throw new PadlockError('node_withholding')
    const own = this.#context.account.address
    for (const entry of entries) {
      const { number, record } = entry
      if (!record.rows.some(({ topic }) => topic === row.topic)) continue
      if (!isMessage(entry)) {
        // Who has not come back to a restored node yet gets it then (section 10).
        if (valid) this.#waitingSinceMs.set(number, this.#context.platform.monotonicMs())
        else await this.#giveUp(entry, 'recipient_gone')
        continue
      }
      const left = record.rows.filter(({ topic }) => topic !== row.topic)
      const peer = peerOf(record.conversationId as ConversationId, own)
      const isReached = peer === own || left.some(({ address: to }) => to === peer)
      // Without a row of the peer it is pending again, and later encrypted anew under the same id.
      const mended = isReached
        ? { ...record, rows: left }
        : { ...record, rows: [], sealed: false, sealedMs: 0n }
      await this.#context.store.transaction([], () => ({
        writes: [put(tables.outbox, number, mended)],
        result: undefined,
      }))
      this.#entries.set(number, { number, record: mended })
    }
  }

  /** A refusal that no retry mends: that message gives up, the others go on. */
  async #refused(
    entries: readonly OutboxEntry[],
    envelopeIndex: number,
    code: PadlockErrorCode,
  ): Promise<void> {
    this.#context.status.warn(code)
    let before = 0
    const refused = entries.find(({ record }) => {
      before += record.rows.length
      return envelopeIndex < before
    })
    if (!refused) throw new PadlockError('bad_response')
    await this.#giveUp(refused, code)
  }

  /** The message stays pending for good and says why: trying again cannot help. */
  async #giveUp({ number, record }: OutboxEntry, reason: PadlockErrorCode): Promise<void> {
    await this.#states.setReason(record.messageId, reason, [remove(tables.outbox, number)])
    this.#entries.delete(number)
    this.#waitingSinceMs.delete(number)
  }

  /** Waits before the next try. */
  async #failed(error: unknown): Promise<void> {
    const { status, platform } = this.#context
    const known =
      error instanceof PadlockError ? error : new PadlockError('internal', { cause: error })
    status.warn(known.code)
    const delay = this.#backoff.next(Number(known.details?.retryAfterMs ?? 0))
    await platform.wait(delay, this.#pause.signal)
  }

  /** How long until the entry that waits longest has waited for an hour, whatever else is sent meanwhile. */
  #untilRetryMs(): number {
    const nowMs = this.#context.platform.monotonicMs()
    const [sinceMs = nowMs] = this.#waitingSinceMs.values()
    return Math.min(Math.max(sinceMs + waitingRetryMs - nowMs, 1), waitingRetryMs)
  }

  #forgetOldWaits(): void {
    const oldest = this.#context.platform.monotonicMs() - waitingRetryMs
    for (const [number, sinceMs] of this.#waitingSinceMs) {
      if (sinceMs <= oldest) this.#waitingSinceMs.delete(number)
    }
  }
}
