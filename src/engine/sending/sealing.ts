/**
 * Turns the next messages of the outbox into the exact bytes to publish: who gets them, in which
 * sessions, how many fit one request. Ratchets and bytes are saved together.
 */

import { PadlockError } from '../../errors.ts'
import type { Address, ConversationId, InstallationId } from '../../protocol/ids.ts'
import { requestLimitBytes, requestLimitEnvelopes } from '../../protocol/limits.ts'
import { put, tables } from '../../store/tables.ts'
import type { Directory, KnownInstallation } from '../membership/directory.ts'
import { peerOf } from '../messages/conversations.ts'
import type { Context } from '../runtime/context.ts'
import type { Session } from '../sessions/session-rules.ts'
import type { Sessions } from '../sessions/sessions.ts'
import type { Fanout, FanoutMessage } from './fanout.ts'
import { type OutboxEntry, toOutboxRow } from './outbox-entry.ts'
import { sentWrite } from './sent-records.ts'

/** What an envelope adds to its content at most: metadata, header, seals, Olm, protobuf. */
const envelopeOverheadBytes = 2_048
/** Padmé adds up to 6.25 % (docs/protocol.md section 8). */
const paddingFactor = 1.0625

/** What became of the messages; those in none of the three were not looked at. */
export interface SealedEntries {
  readonly sealed: readonly OutboxEntry[]
  /** Nobody of the peer can be encrypted to now. */
  readonly unreachable: readonly OutboxEntry[]
  /** No request could ever hold its envelopes. */
  readonly tooLarge: readonly OutboxEntry[]
}

export class Sealing {
  readonly #context: Context
  readonly #directory: Directory
  readonly #sessions: Sessions
  readonly #fanout: Fanout

  constructor(context: Context, directory: Directory, sessions: Sessions, fanout: Fanout) {
    this.#context = context
    this.#directory = directory
    this.#sessions = sessions
    this.#fanout = fanout
  }

  /** Seals the first of these, as many as fit one request, and saves what comes out. */
  async seal(entries: readonly OutboxEntry[]): Promise<SealedEntries> {
    const { account } = this.#context
    const peers = new Set(entries.map((entry) => this.#peerOf(entry)))
    const addresses = [...new Set([...peers, account.address])]
    await this.#directory.refresh(addresses)
    const recipients = new Map<Address, readonly KnownInstallation[]>()
    for (const address of addresses) {
      recipients.set(address, await this.#directory.recipients(address))
    }
    return this.#fanout.runExclusive(() => this.#sealFor(entries, recipients))
  }

  async #sealFor(
    entries: readonly OutboxEntry[],
    recipients: ReadonlyMap<Address, readonly KnownInstallation[]>,
  ): Promise<SealedEntries> {
    const fresh = await this.#fanout.prepare([...recipients.values()].flat())
    return this.#context.ratchetLock.runExclusive(async () => {
      const reachable = new Map<Address, readonly KnownInstallation[]>()
      for (const [address, all] of recipients) {
        reachable.set(address, this.#fanout.reachable(all, fresh))
      }
      const plan = await this.#plan(entries, reachable, fresh)
      const sealed = this.#fanout.seal(
        plan.chosen.map(({ message }) => message),
        fresh,
      )
      // Someone's key is unusable, which the fan-out remembers: nothing is saved, the next turn
      // plans without them.
      if (!sealed) return { ...plan, sealed: [] }
      const next = plan.chosen.map(
        ({ entry }, at): OutboxEntry => ({
          number: entry.number,
          record: {
            ...entry.record,
            sealed: true,
            sealedMs: BigInt(this.#context.time.stampMs()),
            rows: (sealed.rows[at] ?? []).map(toOutboxRow),
          },
        }),
      )
      const ids = plan.chosen.map(({ entry }) => entry.record.messageId)
      if (next.length > 0) {
        await this.#context.store.transaction(
          [],
          () => ({
            writes: [
              ...this.#sessions.writes(sealed.sessions),
              ...sealed.writes,
              ...next.map((entry) => put(tables.outbox, entry.number, entry.record)),
              sentWrite(this.#context, sealed.rows, ids),
            ],
            result: undefined,
            // A ratchet that fell behind bytes already published would use a message key twice.
          }),
          'strict',
        )
        this.#sessions.committed(sealed.sessions)
      }
      return { ...plan, sealed: next }
    })
  }

  /** Which of the entries go together in one request, and to whom. */
  async #plan(
    entries: readonly OutboxEntry[],
    reachable: ReadonlyMap<Address, readonly KnownInstallation[]>,
    fresh: ReadonlyMap<InstallationId, Session>,
  ) {
    const { account, store } = this.#context
    const own = reachable.get(account.address) ?? []
    const chosen: { readonly entry: OutboxEntry; readonly message: FanoutMessage }[] = []
    const unreachable: OutboxEntry[] = []
    const tooLarge: OutboxEntry[] = []
    const counts = new Map<InstallationId, number>()
    let envelopes = 0
    let bytes = 0
    for (const entry of entries) {
      const peer = this.#peerOf(entry)
      const isNote = peer === account.address
      const theirs = isNote ? [] : (reachable.get(peer) ?? [])
      if (!isNote && theirs.length === 0) {
        unreachable.push(entry)
        continue
      }
      const row = await store.get(tables.messages, entry.record.messageId)
      if (!row) throw new PadlockError('storage_damaged')
      const recipients = [...theirs, ...own]
      const one = (row.value.content.length + envelopeOverheadBytes) * paddingFactor
      const size = recipients.length * one
      if (size > requestLimitBytes || recipients.length > requestLimitEnvelopes) {
        tooLarge.push(entry)
        continue
      }
      envelopes += recipients.length
      bytes += size
      for (const { id } of recipients) counts.set(id, (counts.get(id) ?? 0) + 1)
      const isFull =
        envelopes > requestLimitEnvelopes ||
        bytes > requestLimitBytes ||
        // The rest goes on another session (section 7).
        recipients.some((one) => (counts.get(one.id) ?? 0) > this.#fanout.sendsLeft(one, fresh))
      if (chosen.length > 0 && isFull) break
      chosen.push({
        entry,
        message: {
          conversationId: entry.record.conversationId as ConversationId,
          content: row.value.content,
          composedNs: entry.record.composedNs,
          recipients,
        },
      })
    }
    return { chosen, unreachable, tooLarge }
  }

  #peerOf({ record }: OutboxEntry): Address {
    return peerOf(record.conversationId as ConversationId, this.#context.account.address)
  }
}
