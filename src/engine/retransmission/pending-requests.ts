/**
 * What other installations asked for and was not answered yet (docs/protocol.md section 10): stored in
 * the transaction that used up the request's ratchet step, so that neither a crash nor a failing store
 * loses it, and gone in the one that stores the answer.
 */

import type { Address, InstallationId } from '../../protocol/ids.ts'
import type { Write } from '../../store/store.ts'
import { put, remove, tables } from '../../store/tables.ts'
import { Backoff } from '../runtime/backoff.ts'
import type { Context } from '../runtime/context.ts'
import type { Responder, RetransmitRequest } from './responder.ts'

/** What goes beyond is not answered; whoever asked asks once more. */
const maxWaiting = 50
const idleMs = 3_600_000

/** Requests to be written with the batch that brought them. */
export interface NotedRequests {
  readonly writes: readonly Write[]
  /** To be called when they are committed. */
  committed(): void
}

export class PendingRequests {
  readonly #context: Context
  readonly #answering: Responder
  readonly #backoff: Backoff
  /** Oldest first. */
  #waiting: readonly RetransmitRequest[] = []
  #pause = new AbortController()

  constructor(context: Context, answering: Responder) {
    this.#context = context
    this.#answering = answering
    this.#backoff = new Backoff(context.platform)
  }

  async load(): Promise<void> {
    const stored = await this.#context.store.get(tables.requests, 'requests')
    this.#waiting = (stored?.value.requests ?? []).map((one) => ({
      from: { id: one.installationId as InstallationId, address: one.address as Address },
      sessionId: one.sessionId,
      digests: one.digests,
    }))
  }

  /** To be called within the ratchets' queue, as is whatever else changes the stored list. */
  note(requests: readonly RetransmitRequest[]): NotedRequests {
    if (requests.length === 0) return { writes: [], committed: () => undefined }
    const next = [...this.#waiting, ...requests].slice(0, maxWaiting)
    return {
      writes: [write(next)],
      committed: () => {
        this.#waiting = next
        this.#pause.abort()
      },
    }
  }

  /** Works until the client closes. */
  async run(): Promise<void> {
    const { closing, platform, status } = this.#context
    const end = () => this.#pause.abort()
    closing.addEventListener('abort', end, { once: true })
    while (!closing.aborted) {
      this.#pause = new AbortController()
      const [request] = this.#waiting
      let waitMs = idleMs
      if (request) {
        try {
          await this.#settle(request)
          this.#backoff.reset()
          continue
        } catch (error) {
          if (closing.aborted) return
          status.warnOf(error)
          waitMs = this.#backoff.next()
        }
      }
      await platform.wait(waitMs, this.#pause.signal)
    }
  }

  async #settle(request: RetransmitRequest): Promise<void> {
    const { ratchetLock, store } = this.#context
    const settle = (): NotedRequests => {
      const left = this.#waiting.filter((one) => one !== request)
      return {
        writes: [write(left)],
        committed: () => {
          this.#waiting = left
        },
      }
    }
    if (await this.#answering.answer(request, settle)) return
    await ratchetLock.runExclusive(async () => {
      const { writes, committed } = settle()
      await store.transaction([], () => ({ writes, result: undefined }))
      committed()
    })
  }
}

const write = (requests: readonly RetransmitRequest[]): Write =>
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
