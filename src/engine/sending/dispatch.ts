/**
 * The only way from messages to bytes on the wire: seals messages, saves the ratchets, the
 * envelopes and what belongs to them in one transaction that waits for the disk, then hands the
 * envelopes to the outbox's queue. So bytes leave only after the ratchet that made them is saved;
 * otherwise a restart would reuse the same message key (Olm specification, "Chain keys and message
 * keys").
 */

import type { InstallationId } from '../../protocol/ids.ts'
import { directConversation } from '../messages/audience.ts'
import { type Change, commit, joinChanges } from '../runtime/change.ts'
import type { Context } from '../runtime/context.ts'
import type { Session } from '../sessions/session-rules.ts'
import type { Fanout, FanoutMessage, FanoutRow } from './fanout.ts'
import { type OutboxEntry, sealedEntry } from './outbox-entry.ts'
import type { OutboxQueue } from './outbox-queue.ts'
import { sentWrite } from './sent-records.ts'

export interface Outgoing extends FanoutMessage {
  /** The composed entry that it fills; if absent, a new entry that stands for no message. */
  readonly entry?: OutboxEntry
  /** The message to resend if its envelopes are requested again; if absent, they cannot be. */
  readonly messageId?: string
}

export interface SessionChoice {
  /** Sessions that `Fanout.prepare` made. */
  readonly fresh?: ReadonlyMap<InstallationId, Session>
  /** Sessions to send on instead of those that would be chosen. */
  readonly on?: ReadonlyMap<InstallationId, Session>
}

export class Dispatch {
  readonly #context: Context
  readonly #fanout: Fanout
  readonly #queue: OutboxQueue

  constructor(context: Context, fanout: Fanout, queue: OutboxQueue) {
    this.#context = context
    this.#fanout = fanout
    this.#queue = queue
  }

  /**
   * Call this while holding `ratchetLock`. All recipients must be reachable and loaded.
   *
   * @param alongside what to save in the same transaction
   * @returns false if an installation turned out to be unusable, which the fan-out remembers. Then
   * nothing is saved: plan again without it.
   * @throws PadlockError storage_*
   */
  async send(
    messages: readonly Outgoing[],
    { fresh = new Map(), on = new Map() }: SessionChoice,
    alongside: Change,
  ): Promise<boolean> {
    const sealed = this.#fanout.seal(messages, fresh, on)
    if (!sealed) return false
    const sealedMs = this.#context.time.stampMs()
    const entries = messages.map((message, at) =>
      sealedEntry(message.entry ?? this.#newEntry(message), sealed.rows[at] ?? [], sealedMs),
    )
    const change = joinChanges(
      sealed.change,
      alongside,
      this.#recordChange(messages, sealed.rows),
      this.#queue.entriesChange(entries),
    )
    await commit(this.#context.store, change, 'strict')
    return true
  }

  /** An entry for payloads between installations, named by the account that they are for. */
  #newEntry({ recipients }: Outgoing): OutboxEntry {
    const own = this.#context.account.address
    const conversationId = directConversation(own, recipients[0]?.address ?? own)
    return {
      number: this.#queue.nextNumber(),
      record: {
        messageId: '',
        conversationId,
        composedNs: 0n,
        rows: [],
        sealed: false,
        sealedMs: 0n,
      },
    }
  }

  #recordChange(
    messages: readonly Outgoing[],
    rows: readonly (readonly FanoutRow[])[],
  ): Change | undefined {
    const sent = messages.flatMap(({ messageId }, at) =>
      messageId === undefined ? [] : { messageId, rows: rows[at] ?? [] },
    )
    return sent.length > 0 ? { writes: [sentWrite(this.#context, sent)] } : undefined
  }
}
