/**
 * Sends the outbox's messages (docs/protocol.md section 8, Out): seals them in order when the
 * recipients are known, publishes one request at a time, and retries forever with the same bytes.
 */

import { PadlockError, type PadlockErrorCode } from '../../errors.ts'
import { type Address, type ConversationId, parseCanonicalAddress } from '../../protocol/ids.ts'
import { redeliveryMs, requestLimitBytes, requestLimitEnvelopes } from '../../protocol/limits.ts'
import { isNodeCode } from '../../protocol/node-codes.ts'
import type { OutboxRow } from '../../store/tables.ts'
import type { Directory, KnownInstallation } from '../membership/directory.ts'
import { audienceOf } from '../messages/audience.ts'
import type { MessageStates } from '../messages/message-states.ts'
import type { Message } from '../model.ts'
import { Backoff } from '../runtime/backoff.ts'
import { commit, joinChanges } from '../runtime/change.ts'
import type { Context } from '../runtime/context.ts'
import { TaskLoop } from '../runtime/task-loop.ts'
import type { Composer } from './composer.ts'
import type { DeferredDelivery } from './deferred.ts'
import { conversationOf, isMessage, type OutboxEntry, unsealedEntry } from './outbox-entry.ts'
import type { OutboxQueue } from './outbox-queue.ts'
import type { Sealing } from './sealing.ts'

/** Messages considered for one request. */
const maxSealed = 50

export interface OutboxParts {
  readonly queue: OutboxQueue
  readonly composer: Composer
  readonly states: MessageStates
  readonly directory: Directory
  readonly sealing: Sealing
  readonly deferred: DeferredDelivery
  /**
   * Whether the node never had an installation, as it lost its data. If so, nothing is sent to the
   * installation until it may be back.
   */
  isMissingAtNode(installation: KnownInstallation): Promise<boolean>
}

export class Outbox {
  readonly #context: Context
  readonly #parts: OutboxParts
  readonly #backoff: Backoff
  readonly #loop: TaskLoop
  /** Incremented by every event that may unblock an entry; compared after an attempt. */
  #news = 0
  #isLive = false

  constructor(context: Context, parts: OutboxParts) {
    this.#context = context
    this.#parts = parts
    this.#backoff = new Backoff(context.platform)
    this.#loop = new TaskLoop(context, () => this.#step(), { backoff: this.#backoff })
  }

  async load(): Promise<void> {
    await this.#parts.composer.load()
    await this.#parts.queue.load()
  }

  /** Runs until the client closes. */
  run(): Promise<void> {
    return this.#loop.run()
  }

  /** Call this when the queue has something new. */
  wake(): void {
    this.#loop.wake()
  }

  /** The connection was established or lost. Establishing it ends every rest and every back-off. */
  setLive(isLive: boolean): void {
    this.#isLive = isLive
    if (!isLive) return
    this.#news += 1
    this.#parts.queue.resumeAll()
    this.#backoff.reset()
    this.#loop.retryNow()
  }

  /** An account's installations changed, or one wrote: entries waiting for it may resume. */
  retry(address: Address): void {
    this.#news += 1
    this.#parts.queue.resume(address)
  }

  /** Stores a message as pending; it is sent when possible. */
  send(conversationId: ConversationId, content: string): Promise<Message> {
    return this.#parts.composer.compose(conversationId, content)
  }

  /** The message once it is no longer pending, or as it is after `waitMs`. */
  whenSent(id: string, waitMs: number, signal: AbortSignal): Promise<Message> {
    const { states, queue } = this.#parts
    return states.whenSent(id, () => queue.has(id), waitMs, signal)
  }

  /** @returns how long to rest, in milliseconds; 0 after something was done */
  async #step(): Promise<number> {
    const { queue } = this.#parts
    const restMs = queue.resumeRested()
    if (!this.#isLive) return restMs
    await this.#unsealStale()
    const sealed = this.#takeSealed()
    const composed = sealed.length > 0 ? [] : queue.ready()
    if (sealed.length > 0) await this.#publish(sealed)
    else if (composed.length > 0) await this.#seal(composed.slice(0, maxSealed))
    else return restMs
    this.#backoff.reset()
    return 0
  }

  async #seal(entries: readonly OutboxEntry[]): Promise<void> {
    const { queue, sealing, states } = this.#parts
    const news = this.#news
    const left = await sealing.seal(entries)
    for (const entry of left.tooLarge) await this.#giveUp(entry, 'message_too_large')
    for (const entry of left.unreachable) {
      // If the event that it waits for came meanwhile, it is tried again at once.
      if (news === this.#news) queue.rest(entry)
      await states.setReason(entry.record.messageId, 'no_installation')
    }
  }

  /** Encrypts anew what no node accepted for two weeks: no session bridges that (section 8). */
  async #unsealStale(): Promise<void> {
    const oldestMs = BigInt(this.#context.time.passedMs() - redeliveryMs)
    for (const entry of this.#parts.queue.all()) {
      if (!entry.record.sealed || entry.record.sealedMs >= oldestMs) continue
      if (isMessage(entry)) await this.#replace(unsealedEntry(entry))
      else await this.#giveUp(entry, 'unavailable')
    }
  }

  /** The next sealed messages, in order, that fit one request. */
  #takeSealed(): readonly OutboxEntry[] {
    const taken: OutboxEntry[] = []
    let bytes = 0
    let count = 0
    for (const entry of this.#parts.queue.ready()) {
      if (!entry.record.sealed) continue
      count += entry.record.rows.length
      bytes += entry.record.rows.reduce((sum, row) => sum + row.message.length, 0)
      if (taken.length > 0 && (count > requestLimitEnvelopes || bytes > requestLimitBytes)) break
      taken.push(entry)
    }
    return taken
  }

  async #publish(entries: readonly OutboxEntry[]): Promise<void> {
    const { time } = this.#context
    const { queue, deferred, states } = this.#parts
    const rows = entries.flatMap(({ record }) => record.rows)
    const receipts = rows.length === 0 ? [] : await this.#offer(entries, rows)
    if (!receipts) return
    let at = 0
    const published = entries.flatMap((entry) => {
      const { messageId, rows: own } = entry.record
      const receipt = own.length > 0 ? receipts[at] : undefined
      at += own.length
      if (!isMessage(entry)) return []
      // Without a recipient to publish to: node time, or our own clock if unknown (section 8).
      const nodeNs = receipt?.nodeNs ?? time.nodeNs() ?? time.clockNs()
      const topics = new Set(own.map(({ topic }) => topic))
      return [{ messageId, conversationId: conversationOf(entry), nodeNs, topics }]
    })
    await deferred.published(published, (deferrals) =>
      states.markSent(published, joinChanges(queue.removalChange(entries), deferrals)),
    )
  }

  /** @returns the receipts, or undefined if the node refused and the entries were corrected */
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

  /** Checks the topics, as the node's refusal alone is not trusted (section 8). */
  async #recipientGone(entries: readonly OutboxEntry[], row: OutboxRow | undefined): Promise<void> {
    const { queue, directory, isMissingAtNode } = this.#parts
    const address = row && parseCanonicalAddress(row.address)
    if (!row || !address?.ok) throw new PadlockError('bad_response')
    await directory.reread(address.value)
    const usable = await directory.recipients(address.value)
    const valid = usable.find(({ id }) => row.topic.endsWith(id))
    if (valid && !(await isMissingAtNode(valid))) throw new PadlockError('node_withholding')
    for (const entry of entries) {
      if (!entry.record.rows.some(({ topic }) => topic === row.topic)) continue
      if (isMessage(entry)) await this.#replace(this.#withoutRow(entry, row.topic))
      // An installation not yet back at a restored node gets it when it is back (section 10).
      else if (valid) queue.rest(entry)
      else await this.#giveUp(entry, 'recipient_gone')
    }
  }

  #withoutRow(entry: OutboxEntry, topic: string): OutboxEntry {
    const { number, record } = entry
    const left = record.rows.filter((row) => row.topic !== topic)
    const { others } = audienceOf(conversationOf(entry), this.#context.account.address)
    const reachesAll = others.every((other) => left.some(({ address }) => address === other))
    // A message that reaches no installation of an account is pending again, and encrypted anew
    // later.
    return reachesAll ? { number, record: { ...record, rows: left } } : unsealedEntry(entry)
  }

  async #replace(entry: OutboxEntry): Promise<void> {
    await commit(this.#context.store, this.#parts.queue.entriesChange([entry]))
  }

  /** A refusal that no retry can change: gives up that message, the others continue. */
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

  /** The message stays pending permanently, with its reason: a retry cannot help. */
  async #giveUp(entry: OutboxEntry, reason: PadlockErrorCode): Promise<void> {
    const { queue, states } = this.#parts
    await states.setReason(entry.record.messageId, reason, queue.removalChange([entry]))
  }
}
