/**
 * Retransmission requests of other installations that are not answered yet (docs/protocol.md
 * section 10): stored in the transaction that used up the request's ratchet step, so that neither a
 * crash nor a failing store loses one, and shortened or removed in the transaction that stores the
 * answer.
 */

import type { Address, InstallationId } from '../../protocol/ids.ts'
import { hourMs } from '../../protocol/limits.ts'
import type { Write } from '../../store/store.ts'
import { put, remove, tables } from '../../store/tables.ts'
import { Backoff } from '../runtime/backoff.ts'
import { type Change, commit, joinChanges } from '../runtime/change.ts'
import type { Context } from '../runtime/context.ts'
import { TaskLoop } from '../runtime/task-loop.ts'
import type { OutboxQueue } from '../sending/outbox-queue.ts'
import type { Responder, RetransmitRequest } from './responder.ts'

/** Further requests are dropped; their sender asks once more. */
const maxWaiting = 50

export class PendingRequests {
  readonly #context: Context
  readonly #responder: Responder
  readonly #queue: Pick<OutboxQueue, 'isCrowded'>
  readonly #backoff: Backoff
  readonly #loop: TaskLoop
  /** Oldest first. */
  #waiting: readonly RetransmitRequest[] = []
  #isLive = false

  constructor(context: Context, responder: Responder, queue: Pick<OutboxQueue, 'isCrowded'>) {
    this.#context = context
    this.#responder = responder
    this.#queue = queue
    this.#backoff = new Backoff(context.platform)
    this.#loop = new TaskLoop(context, () => this.#answerNext(), { backoff: this.#backoff })
  }

  async load(): Promise<void> {
    const stored = await this.#context.store.get(tables.requests, 'requests')
    this.#waiting = (stored?.value.requests ?? []).map((one) => ({
      from: { id: one.installationId as InstallationId, address: one.address as Address },
      sessionId: one.sessionId,
      digests: one.digests,
    }))
  }

  /** Keeps requests until they are answered. Call this while `ratchetLock` is held. */
  additionChange(requests: readonly RetransmitRequest[]): Change {
    if (requests.length === 0) return { writes: [] }
    const next = [...this.#waiting, ...requests].slice(0, maxWaiting)
    return joinChanges(this.#listChange(next), { writes: [], committed: () => this.#loop.wake() })
  }

  /** There is room in the outbox again. */
  retry(): void {
    this.#loop.wake()
  }

  /** The connection was established or lost. Before that, this may be an older copy (rollback.ts). */
  setLive(isLive: boolean): void {
    this.#isLive = isLive
    if (isLive) this.#loop.wake()
  }

  /** Runs until the client closes. */
  run(): Promise<void> {
    return this.#loop.run()
  }

  /** @returns how long to rest, in milliseconds; 0 after a request was handled */
  async #answerNext(): Promise<number> {
    const [request] = this.#waiting
    if (!request || !this.#isLive || this.#queue.isCrowded) return hourMs
    const restChange = (digests: readonly Uint8Array[]): Change => {
      const [, ...others] = this.#waiting
      return this.#listChange(
        digests.length > 0 ? [{ ...request, digests, isRest: true }, ...others] : others,
      )
    }
    if (!(await this.#responder.answer(request, restChange))) {
      const { ratchetLock, store } = this.#context
      await ratchetLock.runExclusive(() => commit(store, restChange([])))
    }
    this.#backoff.reset()
    return 0
  }

  #listChange(requests: readonly RetransmitRequest[]): Change {
    return {
      writes: [requestsWrite(requests)],
      committed: () => {
        this.#waiting = requests
      },
    }
  }
}

const requestsWrite = (requests: readonly RetransmitRequest[]): Write =>
  requests.length === 0
    ? remove(tables.requests, 'requests')
    : put(tables.requests, 'requests', {
        requests: requests.map(({ from, sessionId, digests }) => ({
          installationId: from.id,
          address: from.address,
          sessionId,
          digests: [...digests],
        })),
      })
