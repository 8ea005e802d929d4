/**
 * Answers retransmission requests (docs/protocol.md section 10): sends the same content with the
 * same time, so with the same message id, on the session that the request came on.
 */

import type { ConversationId } from '../../protocol/ids.ts'
import { hourMs, retransmitRequestsPerHour } from '../../protocol/limits.ts'
import { tables } from '../../store/tables.ts'
import type { Consents } from '../consent/consents.ts'
import type { Directory, KnownInstallation } from '../membership/directory.ts'
import { type Change, joinChanges } from '../runtime/change.ts'
import type { Context } from '../runtime/context.ts'
import { Mutex } from '../runtime/mutex.ts'
import type { Dispatch, Outgoing } from '../sending/dispatch.ts'
import type { OutboxQueue } from '../sending/outbox-queue.ts'
import { answeredWrite, findSent, type SentBatch } from '../sending/sent-records.ts'
import type { Session } from '../sessions/session-rules.ts'
import type { Sessions } from '../sessions/sessions.ts'

/** Installations whose requests are counted. */
const maxRemembered = 1_000

/** A request from another installation. */
export interface RetransmitRequest {
  readonly from: Pick<KnownInstallation, 'id' | 'address'>
  /** What is left of a request that was counted before. */
  readonly isRest?: boolean
  /** The session that the request came on. */
  readonly sessionId: Uint8Array
  readonly digests: readonly Uint8Array[]
}

export type RestChange = (digests: readonly Uint8Array[]) => Change

export interface ResponderParts {
  readonly consents: Pick<Consents, 'of'>
  readonly directory: Directory
  readonly sessions: Sessions
  readonly dispatch: Dispatch
  readonly queue: Pick<OutboxQueue, 'isCrowded'>
}

export class Responder {
  readonly #context: Context
  readonly #parts: ResponderParts
  readonly #askedMs = new Map<string, readonly number[]>()
  readonly #mutex = new Mutex()

  constructor(context: Context, parts: ResponderParts) {
    this.#context = context
    this.#parts = parts
  }

  /**
   * Puts what can be sent again into the outbox. Requests run one after the other: each sees what
   * the earlier ones used up, so that many at once get no more than one would.
   *
   * @param restChange saves with each part of the answer which digests are still to be answered, so
   * that what is tried again after a failure is the rest; called while `ratchetLock` is held
   * @returns whether it was saved what is left, which waits for room in the outbox; false if there
   * was nothing to answer
   */
  answer(request: RetransmitRequest, restChange?: RestChange): Promise<boolean> {
    return this.#mutex.runExclusive(async () => {
      const { id } = request.from
      if (!request.isRest && !this.#mayAsk(id)) return false
      try {
        return await this.#answer(request, restChange)
      } catch (error) {
        // The request was not answered: the next attempt does not count as another one.
        if (!request.isRest) this.#askedMs.set(id, (this.#askedMs.get(id) ?? []).slice(0, -1))
        throw error
      }
    })
  }

  async #answer(request: RetransmitRequest, restChange?: RestChange): Promise<boolean> {
    const { directory, sessions, dispatch, queue, consents } = this.#parts
    const { ratchetLock, emit } = this.#context
    const { id, address } = request.from
    // Nobody else learns whether this client is in use (section 9).
    if ((await consents.of(address)) !== 'allowed') return false
    const recipient = (await directory.recipients(address)).find((one) => one.id === id)
    if (!recipient) return false
    const found = await findSent(this.#context, id, request.digests)
    await sessions.load([id])
    let count = 0
    let isDone = false
    let rest = found.flatMap(({ asked }) => asked.map(({ digest }) => digest))
    for (const batch of found) {
      if (restChange && queue.isCrowded) {
        isDone = true
        break
      }
      rest = rest.slice(batch.asked.length)
      await ratchetLock.runExclusive(async () => {
        const session = this.#sessionOf(request)
        const messages = session ? await this.#read(batch, recipient) : []
        if (!session || messages.length === 0) return
        const alongside = joinChanges({ writes: [answeredWrite(batch)] }, restChange?.(rest))
        if (!(await dispatch.send(messages, { on: new Map([[id, session]]) }, alongside))) return
        isDone = rest.length === 0 && restChange !== undefined
        count += messages.length
      })
    }
    if (count > 0) emit({ kind: 'retransmitted', to: directory.describe(recipient), count })
    return isDone
  }

  /** A closed session is never sent on again: whoever asks makes a new one when it asks again. */
  #sessionOf({ from, sessionId }: RetransmitRequest): Session | undefined {
    const session = this.#parts.sessions.find(from.id, sessionId)
    return session?.isClosed ? undefined : session
  }

  /** The messages as they were sent; those deleted since are left out. */
  async #read({ asked }: SentBatch, recipient: KnownInstallation): Promise<readonly Outgoing[]> {
    const messages: Outgoing[] = []
    for (const { digest, messageId } of asked) {
      const row = await this.#context.store.get(tables.messages, messageId)
      if (!row || row.value.deleted) continue
      messages.push({
        conversationId: row.value.conversationId as ConversationId,
        content: row.value.content,
        composedNs: row.value.composedNs,
        retransmits: digest,
        recipients: [recipient],
      })
    }
    return messages
  }

  #mayAsk(id: string): boolean {
    const nowMs = this.#context.platform.monotonicMs()
    const lately = (this.#askedMs.get(id) ?? []).filter((ms) => ms > nowMs - hourMs)
    if (lately.length >= retransmitRequestsPerHour) return false
    const [oldest] = this.#askedMs.keys()
    this.#askedMs.delete(id)
    if (oldest !== undefined && this.#askedMs.size >= maxRemembered) this.#askedMs.delete(oldest)
    this.#askedMs.set(id, [...lately, nowMs])
    return true
  }
}
