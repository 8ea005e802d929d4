/**
 * Heads (docs/protocol.md section 8): sends peers how far contact and revoked topics were seen
 * here, and compares the heads they send, to detect a node that shows people different histories.
 * The only consequence is a report. The hash chains themselves are stored with the cursors.
 */

import { PadlockError } from '../../errors.ts'
import { concatBytes, encodeUtf8, equalBytes } from '../../protocol/bytes.ts'
import { type Address, type ConversationId, formatAddress } from '../../protocol/ids.ts'
import { dayMs } from '../../protocol/limits.ts'
import { headTopics, type TopicHead } from '../../protocol/payload.ts'
import { parseTopic } from '../../protocol/topics.ts'
import { put, tables } from '../../store/tables.ts'
import { type Change, commit, joinChanges } from '../runtime/change.ts'
import type { Context } from '../runtime/context.ts'
import type { Cursors } from '../runtime/cursors.ts'
import { newsChange } from '../runtime/news.ts'
import type { Directory, KnownInstallation } from './directory.ts'

/** Limit of claims waiting to be compared: at most four per installation. */
const maxWaiting = 1_000
/** Limits of reports (topic and claimant) kept for a day, in memory and across a reload. */
const maxReported = 10_000
const maxReportedStored = 1_000
const reportPauseMs = dayMs
const digestBytes = 16
/** Digests kept per session: those between our own devices carry the heads of many accounts. */
const maxTold = 8

/** The current heads of both accounts of a conversation. */
export interface OwnHeads {
  readonly heads: readonly TopicHead[]
  readonly nodeId: Uint8Array
  /** Identifies these heads in a session's `headsTold`. */
  readonly digest: Uint8Array
}

/** The heads that another installation claims the node showed it. */
export interface HeadsClaim {
  readonly claimant: KnownInstallation
  readonly heads: readonly TopicHead[]
  readonly nodeId: Uint8Array | undefined
}

interface Report {
  readonly topic: string
  readonly installationId: string
  readonly reportedMs: number
}

interface Waiting {
  readonly claimant: KnownInstallation
  readonly head: TopicHead
  readonly nodeId: Uint8Array
}

export class Heads {
  readonly #context: Context
  readonly #cursors: Cursors
  readonly #directory: Directory
  readonly #waiting = new Map<string, Waiting>()
  /** By topic and claimant, newest last. */
  readonly #reported = new Map<string, Report>()
  #isComparing = false

  constructor(context: Context, cursors: Cursors, directory: Directory) {
    this.#context = context
    this.#cursors = cursors
    this.#directory = directory
  }

  async load(): Promise<void> {
    const stored = await this.#context.store.get(tables.reports, 'reports')
    for (const { topic, installationId, reportedMs } of stored?.value.reports ?? []) {
      const report = { topic, installationId, reportedMs: Number(reportedMs) }
      this.#reported.set(nameOf(topic, installationId), report)
    }
  }

  /** Loads what `of` needs for these accounts and our own. */
  async loadPositions(addresses: readonly Address[]): Promise<void> {
    const topics = headTopics([...addresses, this.#context.account.address])
    await Promise.all(Array.from(topics, (topic) => this.#cursors.position(topic)))
  }

  /** Our heads; undefined while they are not in memory: a later message carries them. */
  of(conversationId: ConversationId, participants: readonly Address[]): OwnHeads | undefined {
    const { nodeId } = this.#cursors
    if (nodeId.length === 0) return undefined
    const heads: TopicHead[] = []
    // In a fixed order, so that the same heads have the same digest.
    for (const topic of headTopics([...participants].sort())) {
      const position = this.#cursors.peek(topic)
      if (!position) return undefined
      heads.push({ topic, sequence: position.sequence, hash: position.head })
    }
    const named = [encodeUtf8(conversationId), nodeId, ...heads.map(({ hash }) => hash)]
    const [digest] = this.#context.crypto.digest([concatBytes(...named)])
    return digest && { heads, nodeId, digest: digest.subarray(0, digestBytes) }
  }

  /** Queues the claims of authentic payloads. Call this after their transaction. */
  onClaims(claims: readonly HeadsClaim[]): void {
    for (const { claimant, heads, nodeId } of claims) {
      if (!nodeId || !equalBytes(nodeId, this.#cursors.nodeId)) continue
      for (const head of heads) {
        const name = nameOf(head.topic, claimant.id)
        const isFull = this.#waiting.size >= maxWaiting && !this.#waiting.has(name)
        if (head.sequence === 0n || isFull || this.#isReported(name)) continue
        this.#waiting.set(name, { claimant, head, nodeId })
      }
    }
    void this.compare()
  }

  /** Compares the waiting claims; they keep waiting if the node cannot be queried. Never throws. */
  async compare(): Promise<void> {
    if (this.#isComparing) return
    this.#isComparing = true
    try {
      for (const [name, waiting] of this.#waiting) {
        if (this.#context.closing.aborted) break
        try {
          const code = await this.#judge(waiting)
          if (this.#waiting.get(name) === waiting) this.#waiting.delete(name)
          if (code && !this.#isReported(name)) await this.#report(name, code, waiting)
        } catch {
          // The network or the store failed: retried with the next claim, or when live again, after
          // the others.
          this.#waiting.delete(name)
          this.#waiting.set(name, waiting)
          break
        }
      }
    } finally {
      this.#isComparing = false
    }
  }

  async #judge({ head: { topic, sequence, hash }, nodeId }: Waiting) {
    let position = await this.#cursors.position(topic)
    if (sequence > position.sequence) {
      await this.#directory.reread(accountOf(topic))
      position = await this.#cursors.position(topic)
    }
    const own =
      sequence === position.sequence
        ? position.head
        : sequence < position.sequence
          ? await this.#cursors.earlierHead(topic, sequence)
          : undefined
    // The client may be connected to another node by now.
    if (!equalBytes(nodeId, this.#cursors.nodeId)) return undefined
    if (!own) return 'node_withholding'
    return equalBytes(own, hash) ? undefined : 'node_equivocating'
  }

  /** A lying peer can cause a report, so it names the claimant, and comes at most once a day. */
  async #report(
    name: string,
    code: 'node_withholding' | 'node_equivocating',
    { claimant, head }: Waiting,
  ): Promise<void> {
    const { platform, status, emit, store } = this.#context
    const reportedMs = platform.nowMs()
    const report = { topic: head.topic, installationId: claimant.id, reportedMs }
    const accusation = {
      kind: 'node-accused',
      code,
      account: formatAddress(accountOf(head.topic)),
      claimant: this.#directory.describe(claimant),
    } as const
    const news = newsChange(this.#context, [accusation])
    await commit(store, joinChanges(this.#reportChange(name, report), news))
    status.warn(code)
    emit(accusation)
  }

  #reportChange(name: string, report: Report): Change {
    const others = [...this.#reported].flatMap(([other, one]) => (other === name ? [] : [one]))
    const reports = [...others, report]
      .slice(-maxReportedStored)
      .map((one) => ({ ...one, reportedMs: BigInt(one.reportedMs) }))
    return {
      writes: [put(tables.reports, 'reports', { reports })],
      // Only now: an accusation that was not saved comes again.
      committed: () => {
        this.#reported.delete(name)
        const [oldest] = this.#reported.keys()
        if (oldest !== undefined && this.#reported.size >= maxReported)
          this.#reported.delete(oldest)
        this.#reported.set(name, report)
      },
    }
  }

  #isReported(name: string): boolean {
    const report = this.#reported.get(name)
    if (!report) return false
    // A clock that was set back must not prolong a report's pause.
    const ageMs = this.#context.platform.nowMs() - report.reportedMs
    return ageMs >= 0 && ageMs < reportPauseMs
  }
}

const nameOf = (topic: string, installationId: string): string => `${topic} ${installationId}`

/** The account that a topic belongs to. */
const accountOf = (topic: string): Address => {
  const parts = parseTopic(topic)
  if (!parts.ok || !('address' in parts.value)) throw new PadlockError('internal')
  return parts.value.address
}

/** Whether these heads were already sent on a session. */
export const wasTold = (told: Uint8Array | undefined, digest: Uint8Array): boolean => {
  if (!told) return false
  for (let at = 0; at < told.length; at += digestBytes) {
    if (equalBytes(told.subarray(at, at + digestBytes), digest)) return true
  }
  return false
}

/** The digests of heads sent on a session, with this one added. */
export const addTold = (told: Uint8Array | undefined, digest: Uint8Array): Uint8Array =>
  concatBytes(digest, told ?? new Uint8Array()).slice(0, maxTold * digestBytes)
