/**
 * Plans which of the composed messages go together in one request, and to whom; `dispatch` creates
 * the bytes and saves them.
 */

import { PadlockError, type PadlockErrorCode } from '../../errors.ts'
import type { Address, InstallationId } from '../../protocol/ids.ts'
import { requestLimitBytes, requestLimitEnvelopes } from '../../protocol/limits.ts'
import { tables } from '../../store/tables.ts'
import type { Directory, KnownInstallation } from '../membership/directory.ts'
import { isUsable } from '../membership/known-installations.ts'
import { type Audience, audienceOf } from '../messages/audience.ts'
import type { Context } from '../runtime/context.ts'
import type { Session } from '../sessions/session-rules.ts'
import type { Dispatch, Outgoing } from './dispatch.ts'
import type { Fanout } from './fanout.ts'
import { conversationOf, type OutboxEntry } from './outbox-entry.ts'

/** The most that an envelope adds to its content: metadata, header, seals, Olm, protobuf. */
const envelopeOverheadBytes = 2_048
/** Padmé adds up to 6.25 % (docs/protocol.md section 8). */
const paddingFactor = 1.0625

/** Entries that were not sealed, and will not be until something changes. */
export interface LeftUnsealed {
  /** No installation of an account can be encrypted to now, for this reason. */
  readonly unreachable: readonly {
    readonly entry: OutboxEntry
    readonly reason: PadlockErrorCode
  }[]
  /** No request could ever hold its envelopes. */
  readonly tooLarge: readonly OutboxEntry[]
  /** Their messages were deleted. */
  readonly gone: readonly OutboxEntry[]
  /** A look-up or a claim failed that these need. */
  readonly held: readonly { readonly entry: OutboxEntry; readonly error: PadlockError }[]
}

interface Plan extends Omit<LeftUnsealed, 'held'> {
  readonly chosen: readonly Outgoing[]
}

/** Which entries go on although something failed. @throws what failed, if trying again cannot help */
const sortOut = (
  entries: readonly OutboxEntry[],
  error: unknown,
  isReady: (entry: OutboxEntry) => boolean,
) => {
  if (!(error instanceof PadlockError) || !error.retryable) throw error
  const ready = entries.filter(isReady)
  const held = entries.flatMap((entry) => (ready.includes(entry) ? [] : [{ entry, error }]))
  return { ready, held }
}

type Recipients = ReadonlyMap<Address, readonly KnownInstallation[]>

export class Sealing {
  readonly #context: Context
  readonly #directory: Directory
  readonly #fanout: Fanout
  readonly #dispatch: Dispatch
  readonly #whyUnverified: (address: Address) => PadlockErrorCode

  /** @param whyUnverified why the devices of a contract account are not confirmed */
  constructor(
    context: Context,
    directory: Directory,
    fanout: Fanout,
    dispatch: Dispatch,
    whyUnverified: (address: Address) => PadlockErrorCode,
  ) {
    this.#context = context
    this.#directory = directory
    this.#fanout = fanout
    this.#dispatch = dispatch
    this.#whyUnverified = whyUnverified
  }

  /**
   * Seals the first of these entries, as many as fit one request. A look-up or a claim that fails holds
   * up only those that need it.
   */
  async seal(entries: readonly OutboxEntry[]): Promise<LeftUnsealed> {
    const lookedUp = await this.#lookUp(entries)
    const recipients = new Map<Address, readonly KnownInstallation[]>()
    for (const address of this.#addressesOf(lookedUp.ready)) {
      recipients.set(address, await this.#directory.recipients(address))
    }
    return this.#fanout.runExclusive(async () => {
      const { fresh, ready, held } = await this.#prepare(lookedUp.ready, recipients)
      return this.#context.ratchetLock.runExclusive(async () => {
        const plan = await this.#plan(ready, this.#reachable(recipients, fresh), fresh)
        if (plan.chosen.length > 0)
          await this.#dispatch.send(plan.chosen, { fresh }, { writes: [] })
        return { ...plan, held: [...lookedUp.held, ...held] }
      })
    })
  }

  async #lookUp(entries: readonly OutboxEntry[]) {
    const addresses = this.#addressesOf(entries)
    try {
      await this.#directory.refresh([...addresses])
      return { ready: entries, held: [] }
    } catch (error) {
      const { coverage } = this.#directory
      return sortOut(entries, error, (entry) =>
        this.#audienceOf(entry).participants.every((one) => coverage.isCovered(one)),
      )
    }
  }

  async #prepare(entries: readonly OutboxEntry[], recipients: Recipients) {
    try {
      const fresh = await this.#fanout.prepare([...recipients.values()].flat())
      return { fresh, ready: entries, held: [] }
    } catch (error) {
      const fresh: ReadonlyMap<InstallationId, Session> = new Map()
      // All devices in one request, as far as it is possible: so all show the same order.
      const isReady = (entry: OutboxEntry) =>
        this.#audienceOf(entry).participants.every((address) =>
          (recipients.get(address) ?? []).every((one) => !this.#fanout.needsSession(one)),
        )
      return { fresh, ...sortOut(entries, error, isReady) }
    }
  }

  #addressesOf(entries: readonly OutboxEntry[]): ReadonlySet<Address> {
    return new Set(entries.flatMap((entry) => this.#audienceOf(entry).participants))
  }

  #reachable(recipients: Recipients, fresh: ReadonlyMap<InstallationId, Session>): Recipients {
    return new Map(
      Array.from(recipients, ([address, all]) => [address, this.#fanout.reachable(all, fresh)]),
    )
  }

  /** Which of the entries go together in one request, and to whom. */
  async #plan(
    entries: readonly OutboxEntry[],
    reachable: Recipients,
    fresh: ReadonlyMap<InstallationId, Session>,
  ): Promise<Plan> {
    const chosen: Outgoing[] = []
    const unreachable: LeftUnsealed['unreachable'][number][] = []
    const tooLarge: OutboxEntry[] = []
    const gone: OutboxEntry[] = []
    const counts = new Map<InstallationId, number>()
    let envelopes = 0
    let bytes = 0
    for (const entry of entries) {
      const { participants, others } = this.#audienceOf(entry)
      const missing = others.find((address) => (reachable.get(address) ?? []).length === 0)
      if (missing !== undefined) {
        unreachable.push({ entry, reason: await this.#whyUnreachable(missing) })
        continue
      }
      const { messageId, composedNs } = entry.record
      const row = await this.#context.store.get(tables.messages, messageId)
      if (!row || row.value.deleted) {
        gone.push(entry)
        continue
      }
      const { content } = row.value
      const recipients = participants.flatMap((address) => reachable.get(address) ?? [])
      const size = recipients.length * (content.length + envelopeOverheadBytes) * paddingFactor
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
      const conversationId = conversationOf(entry)
      chosen.push({ entry, messageId, conversationId, content, composedNs, recipients })
    }
    return { chosen, unreachable, tooLarge, gone }
  }

  async #whyUnreachable(address: Address): Promise<PadlockErrorCode> {
    const account = [...(await this.#directory.account(address)).values()]
    const left = account.filter(({ revokedNs, state }) => revokedNs === 0n && state !== 'unknown')
    if (left.some(isUsable)) return 'no_prekeys'
    return left.length > 0 ? this.#whyUnverified(address) : 'no_installation'
  }

  #audienceOf(entry: OutboxEntry): Audience {
    return audienceOf(conversationOf(entry), this.#context.account.address)
  }
}
