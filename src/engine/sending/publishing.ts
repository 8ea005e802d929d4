/**
 * Publishes sealed messages, one request at a time, and decides what becomes of those that the node,
 * or what stands before it, does not take (docs/protocol.md section 8, Out).
 */

import { PadlockError, type PadlockErrorCode } from '../../errors.ts'
import { type Address, parseCanonicalAddress } from '../../protocol/ids.ts'
import { isNodeCode } from '../../protocol/node-codes.ts'
import { contactTopic } from '../../protocol/topics.ts'
import type { OutboxRow } from '../../store/tables.ts'
import type { Directory, KnownInstallation } from '../membership/directory.ts'
import { audienceOf } from '../messages/audience.ts'
import type { Conversations } from '../messages/conversations.ts'
import type { MessageStates } from '../messages/message-states.ts'
import { commit, joinChanges } from '../runtime/change.ts'
import type { Context } from '../runtime/context.ts'
import type { Cursors } from '../runtime/cursors.ts'
import type { DeferredDelivery } from './deferred.ts'
import { conversationOf, isMessage, type OutboxEntry, unsealedEntry } from './outbox-entry.ts'
import type { OutboxQueue } from './outbox-queue.ts'
import { RequestSize } from './request-size.ts'
import { afterPart, bytesOf, isComplete, nextRequest, type Part, receivedNs } from './requests.ts'

/** A lone envelope that failed so often lets the others pass. */
const maxFailures = 3
/** Smaller envelopes fail for other reasons than their size. */
const largeBytes = 16 * 1024
/** Inboxes whose refusal is remembered. */
const maxRefused = 1_000
/** Its first rest; the next ones double. */
const firstRestMs = 30_000

export interface PublishingParts {
  readonly queue: OutboxQueue
  readonly states: MessageStates
  readonly conversations: Conversations
  readonly directory: Directory
  readonly cursors: Pick<Cursors, 'load'>
  readonly deferred: DeferredDelivery
  /**
   * Whether the node never had an installation, as it lost its data. If so, nothing is sent to the
   * installation until it may be back.
   */
  isMissingAtNode(installation: KnownInstallation): Promise<boolean>
}

export class Publishing {
  readonly #context: Context
  readonly #parts: PublishingParts
  readonly #size = new RequestSize()
  /** How often large entries failed alone. */
  readonly #failures = new Map<number, number>()
  /** How far a contact topic was read when the node last refused an inbox; by the inbox. */
  readonly #refusedAt = new Map<string, bigint>()

  constructor(context: Context, parts: PublishingParts) {
    this.#context = context
    this.#parts = parts
  }

  /** Publishes the first of these sealed entries, as much as one request should hold. */
  async publish(entries: readonly OutboxEntry[]): Promise<void> {
    const { time } = this.#context
    const { queue, deferred, states, conversations } = this.#parts
    const parts = nextRequest(entries, this.#size.bytes)
    const rows = parts.flatMap((part) => part.rows)
    const receipts = rows.length === 0 ? [] : await this.#offer(parts, rows)
    if (!receipts) return
    let at = 0
    const after = parts.map((part) => {
      const times = receipts.slice(at, at + part.rows.length).map(({ nodeNs }) => nodeNs)
      at += part.rows.length
      this.#failures.delete(part.entry.number)
      return afterPart(part, times)
    })
    const complete = after.filter(isComplete)
    const published = complete.filter(isMessage).map((entry) => ({
      messageId: entry.record.messageId,
      conversationId: conversationOf(entry),
      // Without a recipient to publish to: node time, or our own clock if unknown (section 8).
      nodeNs: receivedNs(entry) ?? time.nodeNs() ?? time.clockNs(),
      topics: new Set(entry.record.rows.map(({ topic }) => topic)),
    }))
    const progress = joinChanges(
      conversations.publishedChange(published),
      // What was deleted meanwhile goes no further.
      queue.entriesChange(after.filter((entry) => !isComplete(entry) && queue.holds(entry))),
      queue.removalChange(complete),
    )
    await deferred.published(published, (deferrals) =>
      states.markSent(published, joinChanges(progress, deferrals)),
    )
  }

  /** A message that nothing can be done for any more stays pending permanently, with its reason. */
  async giveUp(entries: readonly OutboxEntry[], reason: PadlockErrorCode): Promise<void> {
    const { queue, states } = this.#parts
    for (const { number } of entries) this.#failures.delete(number)
    const ids = entries.filter(isMessage).map(({ record }) => record.messageId)
    await states.setReason(ids, reason, queue.removalChange(entries))
  }

  /** @returns the receipts, or undefined if the entries were corrected */
  async #offer(parts: readonly Part[], rows: readonly OutboxRow[]) {
    const { network, closing, platform } = this.#context
    const bytes = bytesOf(rows)
    const sinceMs = platform.monotonicMs()
    try {
      const receipts = await network.publish(rows, closing)
      this.#size.onCarried(bytes, platform.monotonicMs() - sinceMs)
      return receipts
    } catch (error) {
      if (!(error instanceof PadlockError) || closing.aborted) throw error
      const { code, details } = error
      if (isTooLargeOnTheWay(error)) await this.#tooLarge(parts, bytes)
      else if (code === 'rate_limited') throw error
      else if (error.retryable || !isNodeCode(code)) {
        this.#size.onFailed(bytes)
        await this.#passOver(parts, bytes, error)
      } else if (code === 'recipient_gone') {
        await this.#recipientGone(parts, rows[Number(details?.envelopeIndex ?? 0)])
      } else await this.#refused(parts, Number(details?.envelopeIndex ?? 0), code)
      return undefined
    }
  }

  /** What stands before the node refuses so many bytes: fewer at a time, or none of that message. */
  async #tooLarge(parts: readonly Part[], bytes: number): Promise<void> {
    this.#size.onFailed(bytes)
    const [first, ...others] = parts
    if (!first || others.length > 0 || first.rows.length > 1) return
    this.#context.status.warn('too_large')
    await this.giveUp([first.entry], 'too_large')
  }

  /**
   * A large envelope that fails again and again, alone, rests for a while, so that it does not hold
   * up the others: a proxy may refuse its size in a way that looks like a broken connection.
   */
  async #passOver(parts: readonly Part[], bytes: number, error: PadlockError): Promise<void> {
    const { queue, states } = this.#parts
    const [first, ...others] = parts
    if (!first || others.length > 0 || first.rows.length > 1 || bytes < largeBytes) throw error
    const { entry } = first
    const failures = (this.#failures.get(entry.number) ?? 0) + 1
    this.#failures.set(entry.number, failures)
    if (failures < maxFailures) throw error
    this.#context.status.warnOf(error)
    queue.rest(entry, firstRestMs * 2 ** (failures - maxFailures))
    if (isMessage(entry)) await states.setReason([entry.record.messageId], error.code)
  }

  /** Checks the topics, as the node's refusal alone is not trusted (section 8). */
  async #recipientGone(parts: readonly Part[], row: OutboxRow | undefined): Promise<void> {
    const { queue, directory, isMissingAtNode } = this.#parts
    const address = row && parseCanonicalAddress(row.address)
    if (!row || !address?.ok) throw new PadlockError('bad_response')
    await directory.reread(address.value)
    const usable = await directory.recipients(address.value)
    const valid = usable.find(({ id }) => row.topic.endsWith(id))
    if (valid && !(await isMissingAtNode(valid))) {
      const isAgain = await this.#isRefusedAgain(row.topic, address.value)
      throw new PadlockError(isAgain ? 'node_withholding' : 'unavailable')
    }
    this.#refusedAt.delete(row.topic)
    for (const { entry } of parts) {
      if (!entry.record.rows.some(({ topic }) => topic === row.topic)) continue
      if (isMessage(entry)) await this.#replace(this.#withoutRow(entry, row.topic))
      // An installation not yet back at a restored node gets it when it is back (section 10).
      else if (valid) queue.rest(entry)
      else await this.giveUp([entry], 'recipient_gone')
    }
  }

  /**
   * Whether the node refused an installation before, with the same topic. Once proves nothing: it
   * may have come back to a restored node after the refusal, and before the topic was read.
   */
  async #isRefusedAgain(topic: string, address: Address): Promise<boolean> {
    const position = await this.#parts.cursors.load(contactTopic(address))
    const isAgain = this.#refusedAt.get(topic) === position
    if (this.#refusedAt.size >= maxRefused) this.#refusedAt.clear()
    this.#refusedAt.set(topic, position)
    return isAgain
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
    if (!this.#parts.queue.holds(entry)) return
    await commit(this.#context.store, this.#parts.queue.entriesChange([entry]))
  }

  /** A refusal that no retry can change: gives up that message, the others continue. */
  async #refused(
    parts: readonly Part[],
    envelopeIndex: number,
    code: PadlockErrorCode,
  ): Promise<void> {
    this.#context.status.warn(code)
    let before = 0
    const refused = parts.find(({ rows }) => {
      before += rows.length
      return envelopeIndex < before
    })
    if (!refused) throw new PadlockError('bad_response')
    await this.giveUp([refused.entry], code)
  }
}

/** A node names the envelope that is too large; a proxy knows of none. */
const isTooLargeOnTheWay = ({ code, details }: PadlockError): boolean =>
  code === 'too_large' && details?.envelopeIndex === undefined
