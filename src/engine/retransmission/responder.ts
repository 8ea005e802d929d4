/**
 * Sending again what another installation could not decrypt (docs/protocol.md section 10): the same
 * content with the same time, so the same message id, on the session that the request came on.
 */

import { encodeBase64Url, equalBytes } from '../../protocol/bytes.ts'
import type { ConversationId } from '../../protocol/ids.ts'
import type { Write } from '../../store/store.ts'
import { put, remove, type SentRecord, tables } from '../../store/tables.ts'
import type { KnownInstallation } from '../membership/directory.ts'
import type { Context } from '../runtime/context.ts'
import { Mutex } from '../runtime/mutex.ts'
import type { FanoutMessage } from '../sending/fanout.ts'
import type { NotedRequests } from './pending-requests.ts'
import type { RecoveryParts } from './requester.ts'

const memoryMs = 14 * 86_400_000
const maxAnswers = 2
/** Requests of one installation that are answered within an hour; a well-behaved one sends two. */
const maxRequestsPerHour = 20
const hourMs = 3_600_000
const maxRemembered = 1_000

/** What one installation asks of this one. */
export interface RetransmitRequest {
  readonly from: Pick<KnownInstallation, 'id' | 'address'>
  /** The session that the request came on. */
  readonly sessionId: Uint8Array
  readonly digests: readonly Uint8Array[]
}

export class Responder {
  readonly #context: Context
  readonly #parts: RecoveryParts
  readonly #askedMs = new Map<string, readonly number[]>()
  readonly #serial = new Mutex()

  constructor(context: Context, parts: RecoveryParts) {
    this.#context = context
    this.#parts = parts
  }

  /** Nothing is remembered longer than it is answered. */
  async forgetOld(): Promise<void> {
    const { store, time } = this.#context
    const oldestMs = BigInt(time.passedMs() - memoryMs)
    for (;;) {
      const { rows } = await store.scan(tables.sent, { after: 0, limit: 500 })
      const old = rows.filter(({ value }) => value.sentMs < oldestMs)
      if (old.length === 0) return
      await store.transaction([], () => ({
        writes: old.map(({ number }) => remove(tables.sent, number)),
        result: undefined,
      }))
    }
  }

  /**
   * Puts what can be sent again into the outbox. One request after the other: each sees what the ones
   * before it used up, so that many at once get no more than one.
   *
   * @param settle what to write with the answer, asked for within the ratchets' queue.
   * @returns whether that was written; not if there was nothing to answer.
   */
  answer(request: RetransmitRequest, settle?: () => NotedRequests): Promise<boolean> {
    return this.#serial.runExclusive(async () => {
      const { id } = request.from
      if (!this.#mayAsk(id)) return false
      try {
        return await this.#answer(request, settle)
      } catch (error) {
        // It did not get an answer: the next try is the same request.
        this.#askedMs.set(id, (this.#askedMs.get(id) ?? []).slice(0, -1))
        throw error
      }
    })
  }

  async #answer(request: RetransmitRequest, settle?: () => NotedRequests): Promise<boolean> {
    const { directory, sessions, fanout, outbox } = this.#parts
    const { ratchetLock, store, emit } = this.#context
    const { id, address } = request.from
    const recipient = (await directory.recipients(address)).find((one) => one.id === id)
    if (!recipient) return false
    const found = await this.#find(request)
    await sessions.load([id])
    let count = 0
    let isSettled = false
    for (const { number, record, digests } of found) {
      await ratchetLock.runExclusive(async () => {
        const session = sessions
          .of(id)
          .find(({ sessionId }) => equalBytes(sessionId, request.sessionId))
        if (!session) return
        const messages: FanoutMessage[] = []
        for (const { digest, messageId } of digests) {
          const row = await store.get(tables.messages, messageId)
          if (!row) continue
          messages.push({
            conversationId: row.value.conversationId as ConversationId,
            content: row.value.content,
            composedNs: row.value.composedNs,
            retransmits: digest,
            recipients: [recipient],
          })
        }
        const on = new Map([[id, session]])
        const sealed = messages.length === 0 ? undefined : fanout.seal(messages, new Map(), on)
        if (!sealed) return
        const entries = sealed.rows.map((rows) => outbox.internalEntry(address, rows))
        const asked = new Set(digests.map(({ digest }) => encodeBase64Url(digest)))
        const settled = found.at(-1)?.number === number ? settle?.() : undefined
        const writes: Write[] = [
          ...(settled?.writes ?? []),
          put(tables.sent, number, {
            ...record,
            envelopes: record.envelopes.map((one) =>
              asked.has(encodeBase64Url(one.digest)) ? { ...one, answers: one.answers + 1 } : one,
            ),
          }),
          ...sessions.writes(sealed.sessions),
          ...entries.map((entry) => put(tables.outbox, entry.number, entry.record)),
        ]
        await store.transaction([], () => ({ writes, result: undefined }), 'strict')
        sessions.committed(sealed.sessions)
        for (const entry of entries) outbox.enqueue(entry)
        settled?.committed()
        isSettled = settled !== undefined
        count += messages.length
      })
    }
    if (count > 0) emit({ kind: 'retransmitted', to: directory.describe(recipient), count })
    return isSettled
  }

  /** What was sent to that very installation under these digests, and may be sent again. */
  async #find({ from, digests }: RetransmitRequest) {
    const { store, time } = this.#context
    const wanted = new Set(digests.map(encodeBase64Url))
    const oldestMs = BigInt(time.passedMs() - memoryMs)
    const found: {
      number: number
      record: SentRecord
      digests: { digest: Uint8Array; messageId: string }[]
    }[] = []
    for (let after = 0; wanted.size > 0; ) {
      const page = await store.scan(tables.sent, { after, limit: 500 })
      for (const { number, value } of page.rows) {
        if (value.sentMs < oldestMs) continue
        const matching = value.envelopes.filter(
          ({ digest, installationId, answers }) =>
            wanted.delete(encodeBase64Url(digest)) &&
            installationId === from.id &&
            answers < maxAnswers,
        )
        if (matching.length > 0) found.push({ number, record: value, digests: matching })
      }
      if (page.lastNumber <= after) break
      after = page.lastNumber
    }
    return found
  }

  #mayAsk(id: string): boolean {
    const nowMs = this.#context.platform.nowMs()
    const lately = (this.#askedMs.get(id) ?? []).filter((ms) => ms > nowMs - hourMs)
    if (lately.length >= maxRequestsPerHour) return false
    const [oldest] = this.#askedMs.keys()
    this.#askedMs.delete(id)
    if (oldest !== undefined && this.#askedMs.size >= maxRemembered) this.#askedMs.delete(oldest)
    this.#askedMs.set(id, [...lately, nowMs])
    return true
  }
}
