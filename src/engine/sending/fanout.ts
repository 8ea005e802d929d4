/**
 * Turns messages into one envelope for each recipient installation. The caller decides which
 * messages, for whom and when, and saves the result.
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

/** How many installations that cannot be encrypted to now are remembered. */
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
  /** The next states of all used sessions. Commit this before the envelopes are sent. */
  readonly change: Change
  /** The envelopes of each message. */
  readonly rows: readonly (readonly FanoutRow[])[]
}

export class Fanout {
  readonly #context: Context
  readonly #sessions: Sessions
  readonly #heads: Heads
  readonly #claims: PrekeyClaims
  readonly #sends = new Mutex()
  /** Installations that the node never had. */
  readonly #unreachable = new Map<InstallationId, Address>()
  /** Sealing keys that nobody can encrypt to: their installations are skipped until they change. */
  readonly #unusableKeys = new Map<InstallationId, Uint8Array>()

  constructor(context: Context, sessions: Sessions, heads: Heads) {
    this.#context = context
    this.#sessions = sessions
    this.#heads = heads
    this.#claims = new PrekeyClaims(context, sessions)
  }

  /**
   * Runs sends (prepare, seal, save) one after the other: two that claim for an installation at
   * once would get the same key, and the second session made with it would decrypt nowhere.
   */
  runExclusive<Result>(send: () => Promise<Result>): Promise<Result> {
    return this.#sends.runExclusive(send)
  }

  /** An envelope came from this installation, so it exists. */
  markReachable({ id }: KnownInstallation): void {
    this.#unreachable.delete(id)
  }

  /** The node never had this installation: nothing is sent to it until it may be back. */
  markUnreachable({ id, address }: KnownInstallation): void {
    if (this.#unreachable.size >= maxRemembered) this.#unreachable.clear()
    this.#unreachable.set(id, address)
  }

  /** An account's topics grew: its unreachable installations may be back. */
  markAccountReachable(address: Address): void {
    for (const [id, one] of this.#unreachable) if (one === address) this.#unreachable.delete(id)
  }

  /**
   * New sessions, by claimed prekeys, for the recipients that have none to send on; not saved, and
   * missing for installations that cannot be encrypted to now.
   */
  async prepare(
    recipients: readonly KnownInstallation[],
  ): Promise<ReadonlyMap<InstallationId, Session>> {
    await this.#sessions.load(recipients.map(({ id }) => id))
    await this.#heads.loadPositions(recipients.map(({ address }) => address))
    const needing = recipients.filter((one) => this.needsSession(one))
    const made = needing.length > 0 ? await this.#claims.makeSessions('claim', needing) : []
    return new Map(made.map((session) => [session.installationId, session]))
  }

  /** Whether a prekey has to be claimed for an installation, which must have been loaded. */
  needsSession(one: KnownInstallation): boolean {
    return (
      !chooseSession(this.#sessions.of(one.id)) &&
      !this.#claims.isPaused(one.id) &&
      !this.#unreachable.has(one.id) &&
      !this.#hasUnusableKey(one)
    )
  }

  /** A new session even if there is one; undefined if the installation provides no usable key. */
  async prepareNew(recipient: KnownInstallation): Promise<Session | undefined> {
    await this.#sessions.load([recipient.id])
    if (this.#claims.isPaused(recipient.id)) return undefined
    // A separate claim: the keys of the other claim may be about to become sessions.
    const [session] = await this.#claims.makeSessions('claim of one', [recipient])
    return session
  }

  /** Commit this with the session that `prepareNew` returned: its key is used up. */
  claimOfOneUsed(): Change {
    return this.#claims.usedChange('claim of one')
  }

  #hasUnusableKey({ id, sealingKey }: KnownInstallation): boolean {
    const unusable = this.#unusableKeys.get(id)
    return unusable !== undefined && equalBytes(unusable, sealingKey)
  }

  /** The recipients that can be encrypted to with existing or fresh sessions. */
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

  /** How many messages an installation can get before the session to it is spent. */
  sendsLeft({ id }: KnownInstallation, fresh: ReadonlyMap<InstallationId, Session>): number {
    const session = this.#sessionFor(id, fresh)
    return session ? sendsLeft(session) : 0
  }

  #sessionFor(id: InstallationId, fresh: ReadonlyMap<InstallationId, Session>) {
    return chooseSession(this.#sessions.of(id)) ?? fresh.get(id)
  }

  /**
   * Encrypts and seals; all recipients must be reachable and loaded. Saves nothing. Undefined if an
   * installation turned out to be unusable, which is remembered: plan again without it.
   *
   * @param on sessions to send on instead of those that would be chosen
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
