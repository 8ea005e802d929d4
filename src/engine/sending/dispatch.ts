/**
 * The one way from messages to bytes that leave: seals them, saves the ratchets, the envelopes and
 * what belongs to them in one transaction that waits for the disk, then hands the envelopes to the
 * outbox's queue. So bytes leave only after the ratchet that made them is saved; else a restart would
 * encrypt again under the same message key (Olm specification, "Chain keys and message keys").
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
  /** The composed entry that it fills; absent: it gets one of its own, which stands for no message. */
  readonly entry?: OutboxEntry
  /** The message that its envelopes can be asked for again by; absent: they cannot. */
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
   * Holds `ratchetLock` while it runs: the caller must. All recipients must be reachable and loaded.
   *
   * @param alongside what is saved in the same transaction.
   * @returns whether it is done; not if an installation turned out to be unusable, which the fan-out
   * remembers. Nothing is saved then: plan again without it.
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

  /** What installations say to each other goes by the account that it is for. */
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
    const ids = messages.flatMap(({ messageId }) => messageId ?? [])
    return ids.length > 0 ? { writes: [sentWrite(this.#context, rows, ids)] } : undefined
  }
}
