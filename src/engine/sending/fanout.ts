/**
 * Turns messages into one envelope for each installation that gets them. Which messages, for whom
 * and when is decided by the caller, and so is saving what comes out.
 */

import { PadlockError } from '../../errors.ts'
import { equalBytes } from '../../protocol/bytes.ts'
import { buildMetadataPart } from '../../protocol/envelope.ts'
import type { Address, ConversationId, InstallationId } from '../../protocol/ids.ts'
import { claimIdBytes, claimLimitInstallations } from '../../protocol/limits.ts'
import { buildPayload } from '../../protocol/payload.ts'
import { prekeySignature } from '../../protocol/prekey.ts'
import { headerSigningFields } from '../../protocol/signing-bytes.ts'
import { messageTopic } from '../../protocol/topics.ts'
import type { Write } from '../../store/store.ts'
import { put, remove, tables } from '../../store/tables.ts'
import type { KnownInstallation } from '../membership/directory.ts'
import { addTold, type Heads, type OwnHeads, wasTold } from '../membership/heads.ts'
import type { Context } from '../runtime/context.ts'
import { Mutex } from '../runtime/mutex.ts'
import { chooseSession, type Session, sendsLeft } from '../sessions/session-rules.ts'
import type { Sessions } from '../sessions/sessions.ts'

/** After a claim that gave no usable key an installation is left alone for this long (section 6). */
const claimPauseMs = 3_600_000
const maxPauses = 10_000
/** A node remembers a claim for ten minutes (section 5); a little less is safe. */
const claimMemoryMs = 9 * 60_000

export interface FanoutMessage {
  readonly conversationId: ConversationId
  readonly content: Uint8Array
  readonly composedNs: bigint
  /** The digest of the envelope that this one stands for. */
  readonly retransmits?: Uint8Array
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
  /** The next states of all sessions that were used. */
  readonly sessions: readonly Session[]
  /** Further records to save with them. */
  readonly writes: readonly Write[]
  /** For each message its envelopes. */
  readonly rows: readonly (readonly FanoutRow[])[]
}

export class Fanout {
  readonly #context: Context
  readonly #sessions: Sessions
  readonly #heads: Heads
  readonly #sends = new Mutex()
  readonly #pausedUntilMs = new Map<InstallationId, number>()
  /** Those that the node never heard of. */
  readonly #away = new Map<InstallationId, Address>()
  /** Sealing keys that nobody can encrypt to: whose they are is passed over until there is another. */
  readonly #unusableKeys = new Map<InstallationId, Uint8Array>()

  constructor(context: Context, sessions: Sessions, heads: Heads) {
    this.#context = context
    this.#sessions = sessions
    this.#heads = heads
  }

  /**
   * Runs what prepares, seals and saves: one after the other, as two that claim for an installation at
   * once would be given the same key, and the second session made with it decrypts nowhere.
   */
  runExclusive<Result>(send: () => Promise<Result>): Promise<Result> {
    return this.#sends.runExclusive(send)
  }

  /** Something came from this installation. */
  markReachable({ id }: KnownInstallation): void {
    this.#away.delete(id)
  }

  /** The node never heard of this installation: it is left alone until it may be there. */
  markUnreachable({ id, address }: KnownInstallation): void {
    if (this.#away.size >= maxPauses) this.#away.clear()
    this.#away.set(id, address)
  }

  /** An account's topics grew: who was not there may have come. */
  markAccountReachable(address: Address): void {
    for (const [id, one] of this.#away) if (one === address) this.#away.delete(id)
  }

  /**
   * New sessions for those recipients that have none to send on, by claimed prekeys; not saved, and
   * missing for installations that cannot be encrypted to now.
   */
  async prepare(
    recipients: readonly KnownInstallation[],
  ): Promise<ReadonlyMap<InstallationId, Session>> {
    await this.#sessions.load(recipients.map(({ id }) => id))
    await this.#heads.load(recipients.map(({ address }) => address))
    const needing = recipients.filter(
      (one) =>
        !chooseSession(this.#sessions.of(one.id)) &&
        !this.#isPaused(one.id) &&
        !this.#away.has(one.id) &&
        !this.#hasUnusableKey(one),
    )
    const fresh = new Map<InstallationId, Session>()
    if (needing.length === 0) return fresh
    // One id for all: a node remembers it with each installation that was asked for (section 5).
    const claimId = await this.#claimId(needing.map(({ id }) => id))
    for (let at = 0; at < needing.length; at += claimLimitInstallations) {
      const some = needing.slice(at, at + claimLimitInstallations)
      for (const session of await this.#claimWith(claimId, some)) {
        fresh.set(session.installationId, session)
      }
    }
    return fresh
  }

  /** A new session whatever there is already; undefined if the installation gives no usable key. */
  async prepareNew(recipient: KnownInstallation): Promise<Session | undefined> {
    await this.#sessions.load([recipient.id])
    if (this.#isPaused(recipient.id)) return undefined
    // An id of its own: the other may be about to become another session.
    const claimId = await this.#claimId([recipient.id], 'claim of one')
    const [session] = await this.#claimWith(claimId, [recipient])
    return session
  }

  /** To be written with the session that `prepareNew` gave: its key is used up. */
  forgetClaimWrite(): Write {
    return remove(tables.claim, 'claim of one')
  }

  async #claimWith(
    claimId: Uint8Array,
    recipients: readonly KnownInstallation[],
  ): Promise<readonly Session[]> {
    const { crypto, network, platform, account, closing } = this.#context
    const ids = recipients.map(({ id }) => id)
    const claimed = await network.claimPrekeys(claimId, ids, closing)
    const byId = new Map(claimed.map(({ installationId, prekey }) => [installationId, prekey]))
    const usable = recipients.flatMap((recipient) => {
      const prekey = byId.get(recipient.id)
      // The node is not trusted with keys: each must be signed by its installation (section 6).
      const [verified] = prekey
        ? crypto.verify([prekeySignature(prekey, recipient.id, recipient.keys.ed25519)])
        : []
      if (!prekey || !verified) {
        // Reported once: nothing is claimed there again for an hour (section 6).
        if (prekey) this.#context.status.warn('bad_signature')
        this.#pause(recipient.id)
        return []
      }
      return [{ recipient, prekey }]
    })
    const made = crypto.createOutboundSessions(
      account.identity,
      usable.map(({ recipient, prekey }) => ({
        identityKey: recipient.keys.curve25519,
        prekey: prekey.key,
      })),
    )
    return usable.flatMap(({ recipient }, at) => {
      const session = made[at]
      if (!session?.ok) {
        this.#pause(recipient.id)
        return []
      }
      return [
        {
          installationId: recipient.id,
          sessionId: session.sessionId,
          state: session.state,
          createdMs: Math.max(platform.nowMs(), this.#sessions.latestMs(recipient.id) + 1),
          lastDecryptedMs: 0,
          firstDecryptedMs: 0,
          isClosed: false,
          sentSince: 0,
        },
      ]
    })
  }

  /**
   * The id to claim with, saved before asking: one whose answer was lost is asked with again, so
   * that no second key is burnt (section 5). `seal` forgets it with the sessions made from it.
   */
  async #claimId(
    ids: readonly InstallationId[],
    name: 'claim' | 'claim of one' = 'claim',
  ): Promise<Uint8Array> {
    const { platform, store } = this.#context
    const now = platform.nowMs()
    const saved = (await store.get(tables.claim, name))?.value
    const isFresh = saved && now - Number(saved.askedMs) < claimMemoryMs
    if (isFresh && ids.every((id) => saved.installationIds.includes(id))) return saved.claimId
    const claimId = platform.randomBytes(claimIdBytes)
    const record = { claimId, installationIds: [...ids], askedMs: BigInt(now) }
    await store.transaction([], () => ({
      writes: [put(tables.claim, name, record)],
      result: undefined,
    }))
    return claimId
  }

  #isPaused(id: InstallationId): boolean {
    return (this.#pausedUntilMs.get(id) ?? 0) > this.#context.platform.monotonicMs()
  }

  #pause(id: InstallationId): void {
    if (this.#pausedUntilMs.size >= maxPauses) this.#pausedUntilMs.clear()
    this.#pausedUntilMs.set(id, this.#context.platform.monotonicMs() + claimPauseMs)
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
        !this.#away.has(one.id) &&
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
    const payloads = new PayloadBuilder(messages, this.#heads)
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
        if (this.#unusableKeys.size >= maxPauses) this.#unusableKeys.clear()
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
    const writes = fresh.size > 0 ? [remove(tables.claim, 'claim')] : []
    return { sessions, writes, rows }
  }
}

/** The payloads of messages: with heads where a session has not told them yet, without elsewhere. */
class PayloadBuilder {
  readonly #messages: readonly FanoutMessage[]
  readonly #heads: Heads
  readonly #current = new Map<ConversationId, OwnHeads | undefined>()
  /** By message and whether it tells heads; content may be large, so each is built once. */
  readonly #built = new Map<string, Uint8Array>()

  constructor(messages: readonly FanoutMessage[], heads: Heads) {
    this.#messages = messages
    this.#heads = heads
  }

  /** Those of one session, in order, and what it has told then. */
  of(indexes: readonly number[], toldBefore: Uint8Array | undefined) {
    let headsTold = toldBefore
    const built = indexes.flatMap((at) => {
      const message = this.#messages[at]
      if (!message) return []
      const heads = this.#headsOf(message.conversationId)
      if (!heads || wasTold(headsTold, heads.digest)) return [this.#build(at, message, undefined)]
      headsTold = addTold(headsTold, heads.digest)
      return [this.#build(at, message, heads)]
    })
    return { headsTold, built }
  }

  #headsOf(id: ConversationId): OwnHeads | undefined {
    if (!this.#current.has(id)) this.#current.set(id, this.#heads.of(id))
    return this.#current.get(id)
  }

  #build(at: number, message: FanoutMessage, heads: OwnHeads | undefined): Uint8Array {
    const name = `${at} ${heads !== undefined}`
    const payload =
      this.#built.get(name) ??
      buildPayload({
        convoId: message.conversationId,
        contentBytes: message.content,
        composedNs: message.composedNs,
        retransmits: message.retransmits,
        heads: heads?.heads,
        nodeId: heads?.nodeId,
      })
    this.#built.set(name, payload)
    return payload
  }
}
