/**
 * Sends the outbox's messages (docs/protocol.md section 8, Out): seals them in order when the
 * recipients are known, publishes one request at a time, and retries forever with the same bytes.
 */

import { PadlockError, type PadlockErrorCode } from '../../errors.ts'
import type { Address, ConversationId } from '../../protocol/ids.ts'
import { hourMs, redeliveryMs } from '../../protocol/limits.ts'
import { isParticipant } from '../messages/audience.ts'
import type { MessageStates } from '../messages/message-states.ts'
import type { Message } from '../model.ts'
import { Backoff } from '../runtime/backoff.ts'
import { commit } from '../runtime/change.ts'
import type { Context } from '../runtime/context.ts'
import { TaskLoop } from '../runtime/task-loop.ts'
import type { Composer } from './composer.ts'
import { conversationOf, isMessage, type OutboxEntry, unsealedEntry } from './outbox-entry.ts'
import type { OutboxQueue } from './outbox-queue.ts'
import type { Publishing } from './publishing.ts'
import type { LeftUnsealed, Sealing } from './sealing.ts'

/** Messages considered for one request. */
const maxSealed = 50

export interface OutboxParts {
  readonly queue: OutboxQueue
  readonly composer: Composer
  readonly states: MessageStates
  readonly sealing: Sealing
  readonly publishing: Publishing
}

export class Outbox {
  readonly #context: Context
  readonly #parts: OutboxParts
  readonly #backoff: Backoff
  /** Of entries that need a look-up or a claim which failed. */
  readonly #heldBackoff: Backoff
  readonly #loop: TaskLoop
  /** Accounts that were heard of during an attempt; everybody, if the connection came. */
  readonly #heard = new Set<Address>()
  #isConnectedAnew = false
  #isSealing = false
  #isLive = false

  constructor(context: Context, parts: OutboxParts) {
    this.#context = context
    this.#parts = parts
    this.#backoff = new Backoff(context.platform)
    this.#heldBackoff = new Backoff(context.platform)
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
    // A revoked client is not live, and gives up what waits.
    if (isLive) {
      this.#isConnectedAnew = true
      this.#parts.queue.resumeAll()
      this.#backoff.reset()
      this.#heldBackoff.reset()
    }
    this.#loop.retryNow()
  }

  /** An account's installations changed, or one wrote: entries waiting for it may resume. */
  retry(address: Address): void {
    if (this.#isSealing) this.#heard.add(address)
    this.#parts.queue.resume(address)
  }

  /**
   * Stores a message as pending; it is sent when possible.
   *
   * @throws PadlockError revoked, message_too_large, invalid_argument, storage_*
   */
  async send(conversationId: ConversationId, content: string): Promise<Message> {
    if (this.#isRevoked()) throw new PadlockError('revoked')
    return this.#parts.composer.compose(conversationId, content)
  }

  /** Nothing more goes into this conversation: what waits there stays pending, for this reason. */
  async giveUp(id: ConversationId, reason: PadlockErrorCode): Promise<void> {
    const { queue, publishing } = this.#parts
    const left = queue.all().filter((entry) => conversationOf(entry) === id)
    if (left.length > 0) await publishing.giveUp(left, reason)
  }

  /** The message once it is no longer pending, or as it is after `waitMs`. */
  whenSent(id: string, waitMs: number, signal: AbortSignal): Promise<Message> {
    const { states, queue } = this.#parts
    return states.whenSent(id, () => queue.has(id), waitMs, signal)
  }

  /** Nothing of a revoked installation is accepted (section 9). */
  #isRevoked(): boolean {
    return this.#context.status.current.state === 'revoked'
  }

  /** @returns how long to rest, in milliseconds; 0 after something was done */
  async #step(): Promise<number> {
    const { queue, publishing } = this.#parts
    if (this.#isRevoked()) {
      const left = queue.all()
      if (left.length > 0) await publishing.giveUp(left, 'revoked')
      return hourMs
    }
    const restMs = queue.resumeRested()
    if (!this.#isLive) return restMs
    await this.#unsealStale()
    const ready = queue.ready()
    const sealed = ready.filter(({ record }) => record.sealed)
    if (sealed.length > 0) await publishing.publish(sealed)
    else if (ready.length > 0) await this.#seal(ready.slice(0, maxSealed))
    else return restMs
    this.#backoff.reset()
    return 0
  }

  async #seal(entries: readonly OutboxEntry[]): Promise<void> {
    this.#heard.clear()
    this.#isConnectedAnew = false
    this.#isSealing = true
    try {
      await this.#sealOrRest(entries)
    } finally {
      this.#isSealing = false
    }
  }

  async #sealOrRest(entries: readonly OutboxEntry[]): Promise<void> {
    const { queue, sealing, states, publishing } = this.#parts
    const left = await sealing.seal(entries)
    await publishing.giveUp(left.tooLarge, 'message_too_large')
    if (left.gone.length > 0) await commit(this.#context.store, queue.removalChange(left.gone))
    this.#holdBack(left.held)
    for (const { entry, reason } of left.unreachable) {
      // If the event that it waits for came meanwhile, it is tried again at once.
      if (!this.#isNewsFor(entry)) queue.rest(entry)
      await states.setReason([entry.record.messageId], reason)
    }
  }

  /** The others go on. Each time it fails again, the entries rest longer. */
  #holdBack(held: LeftUnsealed['held']): void {
    if (held.length === 0) {
      this.#heldBackoff.reset()
      return
    }
    const errors = new Set(held.map(({ error }) => error))
    for (const error of errors) this.#context.status.warnOf(error)
    const asked = Array.from(errors, ({ details }) => Number(details?.retryAfterMs ?? 0))
    const restMs = this.#heldBackoff.next(Math.max(...asked))
    for (const { entry } of held) this.#parts.queue.hold(entry, restMs)
  }

  #isNewsFor(entry: OutboxEntry): boolean {
    const id = conversationOf(entry)
    return this.#isConnectedAnew || [...this.#heard].some((one) => isParticipant(id, one))
  }

  /** Encrypts anew what no node accepted for two weeks: no session bridges that (section 8). */
  async #unsealStale(): Promise<void> {
    const { queue, publishing } = this.#parts
    const { store, time } = this.#context
    const oldestMs = BigInt(time.passedMs() - redeliveryMs)
    for (const entry of queue.all()) {
      const { number, record } = entry
      if (!record.sealed) continue
      if (time.isStartAhead(Number(record.sealedMs))) {
        const dated = { number, record: { ...record, sealedMs: BigInt(time.stampMs()) } }
        await commit(store, queue.entriesChange([dated]))
      } else if (record.sealedMs < oldestMs) {
        if (!isMessage(entry)) await publishing.giveUp([entry], 'unavailable')
        else await commit(store, queue.entriesChange([unsealedEntry(entry)]))
      }
    }
  }
}
