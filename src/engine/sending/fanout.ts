/**
 * Turns messages into one envelope for each installation that gets them. Which messages, for whom
 * and when is decided by the caller, and so is saving what comes out.
 */

import { PadlockError } from '../../errors.ts'
import { equalBytes } from '../../protocol/bytes.ts'
import { buildMetadataPart } from '../../protocol/envelope.ts'
import type { Address, InstallationId } from '../../protocol/ids.ts'
import { headerSigningFields } from '../../protocol/signing-bytes.ts'
import { messageTopic } from '../../protocol/topics.ts'
import type { KnownInstallation } from '../membership/directory.ts'
import type { Heads } from '../membership/heads.ts'
import { type Change, joinChanges } from '../runtime/change.ts'
import type { Context } from '../runtime/context.ts'
import { Mutex } from '../runtime/mutex.ts'
import { chooseSession, type Session, sendsLeft } from '../sessions/session-rules.ts'
import type { Sessions } from '../sessions/sessions.ts'
import { PayloadBuilder, type PayloadContent } from './payload-builder.ts'
import { PrekeyClaims } from './prekey-claims.ts'

/** Installations that cannot be encrypted to now are remembered up to this many. */
const maxRemembered = 10_000

export interface FanoutMessage extends PayloadContent {
  readonly recipients: readonly KnownInstallation[]
}

export interface FanoutRow {
  readonly topic: string
  readonly message: Uint8Array
  /** SHA-256 of the message. */
  readonly digest: Uint8Array
  readonly address: Address
  readonly recipient: InstallationId
}

export interface SealedFanout {
  /** The next states of all sessions that were used; to be saved before the envelopes leave. */
  readonly change: Change
  /** For each message its envelopes. */
  readonly rows: readonly (readonly FanoutRow[])[]
}

export class Fanout {
  readonly #context: Context
  readonly #sessions: Sessions
  readonly #heads: Heads
  readonly #claims: PrekeyClaims
  readonly #sends = new Mutex()
  /** Those that the node never had. */
  readonly #unreachable = new Map<InstallationId, Address>()
  /** Sealing keys that nobody can encrypt to: whose they are is passed over until there is another. */
  readonly #unusableKeys = new Map<InstallationId, Uint8Array>()

  constructor(context: Context, sessions: Sessions, heads: Heads) {
    this.#context = context
    this.#sessions = sessions
    this.#heads = heads
    this.#claims = new PrekeyClaims(context, sessions)
  }

  /**
   * Runs what prepares, seals and saves: one after the other, as two that claim for an installation at
   * once would be given the same key, and the second session made with it decrypts nowhere.
   */
  runExclusive<Result>(send: () => Promise<Result>): Promise<Result> {
    return this.#sends.runExclusive(send)
  }

  /** Something came from this installation, so it is there. */
  markReachable({ id }: KnownInstallation): void {
    this.#unreachable.delete(id)
  }

  /** The node never had this installation: nothing is sent to it until it may be there. */
  markUnreachable({ id, address }: KnownInstallation): void {
    if (this.#unreachable.size >= maxRemembered) this.#unreachable.clear()
    this.#unreachable.set(id, address)
  }

  /** An account's topics grew: who was not there may have come. */
  markAccountReachable(address: Address): void {
    for (const [id, one] of this.#unreachable) if (one === address) this.#unreachable.delete(id)
  }

  /**
   * New sessions for those recipients that have none to send on, by claimed prekeys; not saved, and
   * missing for installations that cannot be encrypted to now.
   */
  async prepare(
    recipients: readonly KnownInstallation[],
  ): Promise<ReadonlyMap<InstallationId, Session>> {
    await this.#sessions.load(recipients.map(({ id }) => id))
    await this.#heads.loadPositions(recipients.map(({ address }) => address))
    const needing = recipients.filter(
      (one) =>
        !chooseSession(this.#sessions.of(one.id)) &&
        !this.#claims.isPaused(one.id) &&
        !this.#unreachable.has(one.id) &&
        !this.#hasUnusableKey(one),
    )
    const made = needing.length > 0 ? await this.#claims.makeSessions('claim', needing) : []
    return new Map(made.map((session) => [session.installationId, session]))
  }

  /** A new session whatever there is already; undefined if the installation gives no usable key. */
  async prepareNew(recipient: KnownInstallation): Promise<Session | undefined> {
    await this.#sessions.load([recipient.id])
    if (this.#claims.isPaused(recipient.id)) return undefined
    // A claim of its own: the other may be about to become another session.
    const [session] = await this.#claims.makeSessions('claim of one', [recipient])
    return session
  }

  /** To be saved with the session that `prepareNew` gave: its key is used up. */
  claimOfOneUsed(): Change {
    return this.#claims.usedChange('claim of one')
  }

  #hasUnusableKey({ id, sealingKey }: KnownInstallation): boolean {
    const unusable = this.#unusableKeys.get(id)
    return unusable !== undefined && equalBytes(unusable, sealingKey)
  }

  /** Who of these can be encrypted to with what there is. */
  reachable(
    recipients: readonly KnownInstallation[],
    fresh: ReadonlyMap<InstallationId, Session>,
  ): readonly KnownInstallation[] {
    return recipients.filter(
      (one) =>
        !this.#unreachable.has(one.id) &&
        !this.#hasUnusableKey(one) &&
        this.#sessionFor(one.id, fresh) !== undefined,
    )
  }

  /** How many messages an installation can get now, before the session to it is spent. */
  sendsLeft({ id }: KnownInstallation, fresh: ReadonlyMap<InstallationId, Session>): number {
    const session = this.#sessionFor(id, fresh)
    return session ? sendsLeft(session) : 0
  }

  #sessionFor(id: InstallationId, fresh: ReadonlyMap<InstallationId, Session>) {
    return chooseSession(this.#sessions.of(id)) ?? fresh.get(id)
  }

  /**
   * Encrypts and seals; all recipients must be reachable and loaded. Saves nothing; undefined if an
   * installation turned out to be unusable, which is remembered: plan again without it.
   *
   * @param on sessions to send on instead of those that would be chosen.
   */
  seal(
    messages: readonly FanoutMessage[],
    fresh: ReadonlyMap<InstallationId, Session>,
    on: ReadonlyMap<InstallationId, Session> = new Map(),
  ): SealedFanout | undefined {
    const { crypto, account } = this.#context
    const plans = new Map<InstallationId, { recipient: KnownInstallation; messages: number[] }>()
    for (const [at, message] of messages.entries()) {
      for (const recipient of message.recipients) {
        const plan = plans.get(recipient.id) ?? { recipient, messages: [] }
        plan.messages.push(at)
        plans.set(recipient.id, plan)
      }
    }
    const payloads = new PayloadBuilder(messages, this.#heads, account.address)
    const requests = [...plans.values()].map(({ recipient, messages: indexes }) => {
      const session = on.get(recipient.id) ?? this.#sessionFor(recipient.id, fresh)
      if (!session) throw new PadlockError('internal')
      const fields = {
        senderAddress: account.address,
        senderInstallationId: account.installationId,
        recipientAddress: recipient.address,
        recipientInstallationId: recipient.id,
      }
      const { headsTold, built } = payloads.of(indexes, session.headsTold)
      return {
        recipient,
        indexes,
        session: { ...session, headsTold },
        request: {
          state: session.state,
          sealingKey: recipient.sealingKey,
          recipientInstallationId: recipient.id,
          metadata: buildMetadataPart(fields),
          signingFields: headerSigningFields(fields),
          payloads: built,
        },
      }
    })
    const results = crypto.seal(
      account.identity,
      requests.map(({ request }) => request),
    )
    const rows: FanoutRow[][] = messages.map(() => [])
    const sessions: Session[] = []
    for (const [at, { recipient, indexes, session }] of requests.entries()) {
      const sealed = results[at]
      // Such as a sealing key of small order: nobody can encrypt to it (section 1).
      if (!sealed?.ok) {
        if (this.#unusableKeys.size >= maxRemembered) this.#unusableKeys.clear()
        this.#unusableKeys.set(recipient.id, recipient.sealingKey)
        return undefined
      }
      sessions.push({
        ...session,
        state: sealed.state,
        sentSince: session.sentSince + indexes.length,
      })
      for (const [nth, message] of indexes.entries()) {
        const envelope = sealed.envelopes[nth]
        if (!envelope) throw new PadlockError('internal')
        rows[message]?.push({
          topic: messageTopic(recipient.id),
          message: envelope.message,
          digest: envelope.digest,
          address: recipient.address,
          recipient: recipient.id,
        })
      }
    }
    const claimUsed = fresh.size > 0 ? this.#claims.usedChange('claim') : undefined
    return { change: joinChanges(this.#sessions.statesChange(sessions), claimUsed), rows }
  }
}
