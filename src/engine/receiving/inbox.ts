/**
 * Processes received envelopes (docs/protocol.md section 8, In) in batches: opens and checks them
 * with nothing stored, authenticates and decrypts them, then saves ratchets, used prekeys, messages
 * and cursor in one transaction. One bad envelope never stops the ones behind it: outcomes are
 * values.
 */

import type { Address, ConversationId } from '../../protocol/ids.ts'
import { messageTopic } from '../../protocol/topics.ts'
import { tables } from '../../store/tables.ts'
import { Admission } from '../consent/admission.ts'
import type { Consents } from '../consent/consents.ts'
import type { KnownInstallation } from '../membership/directory.ts'
import type { HeadsClaim } from '../membership/heads.ts'
import { audienceOf } from '../messages/audience.ts'
import type { Conversations } from '../messages/conversations.ts'
import type { NewMessage } from '../messages/message-records.ts'
import type { Requester, UndecryptableEnvelope } from '../retransmission/requester.ts'
import type { RetransmitRequest } from '../retransmission/responder.ts'
import { type Change, commit, joinChanges } from '../runtime/change.ts'
import type { Context } from '../runtime/context.ts'
import type { Cursors } from '../runtime/cursors.ts'
import type { Authentication } from './authentication.ts'
import type { Decryption } from './decryption.ts'
import type { Addressed, Authentic, InboxEnvelope, Prepared } from './envelope-stages.ts'
import type { NewlyParked, Parking } from './parking.ts'
import type { PayloadReader } from './payloads.ts'
import type { RejectionCounts } from './rejection-counts.ts'
import type { SenderLookup } from './sender-lookup.ts'
import type { SetAside } from './set-aside.ts'
import type { Unsealing } from './unsealing.ts'

/** Receives what the inbox learns. */
export interface InboxListener {
  /** Envelopes claim to be from accounts whose chains have to confirm an installation. */
  onUnverified(addresses: readonly Address[]): void
  /** Envelopes of senders that are not known were parked. */
  onParked(): void
  /** An authentic envelope came from this installation. */
  onAuthentic(sender: KnownInstallation): void
  /** Authentic payloads carried heads. */
  onHeads(claims: readonly HeadsClaim[]): void
  /** Requests from others for what they could not decrypt, to be saved with the batch. */
  requestsChange(requests: readonly RetransmitRequest[]): Change
}

export interface InboxParts {
  readonly cursors: Cursors
  readonly consents: Consents
  readonly conversations: Conversations
  readonly unsealing: Unsealing
  readonly lookup: SenderLookup
  readonly authentication: Authentication
  readonly decryption: Decryption
  readonly payloads: PayloadReader
  readonly parking: Parking
  readonly setAside: SetAside
  readonly requester: Requester
  readonly rejections: RejectionCounts
}

export class Inbox {
  readonly #context: Context
  readonly #parts: InboxParts
  readonly #listener: InboxListener
  readonly #topic: string
  /** The sequence number expected of the next envelope; undefined before a subscription. */
  #next: bigint | undefined
  /** Sequence numbers that are prepared but not committed. */
  readonly #underWay = new Set<bigint>()
  /** Everything up to this node time was already processed at other nodes (section 5). */
  #readBeforeNs = 0n

  constructor(context: Context, parts: InboxParts, listener: InboxListener) {
    this.#context = context
    this.#parts = parts
    this.#listener = listener
    this.#topic = messageTopic(context.account.installationId)
  }

  /** Call this when a subscription begins, after the cursor. */
  async begin(): Promise<void> {
    const { cursors, rejections } = this.#parts
    rejections.begin()
    this.#underWay.clear()
    this.#next = (await cursors.load(this.#topic)) + 1n
    const identity = await this.#context.store.get(tables.identity, 'identity')
    this.#readBeforeNs = identity?.value.readBeforeNs ?? 0n
  }

  /**
   * Opens envelopes and looks up their senders; stores nothing, so the next batch may be prepared
   * while this one is committed. Call this in order of arrival.
   */
  async prepare(envelopes: readonly InboxEnvelope[]): Promise<Prepared> {
    const position = await this.#parts.cursors.load(this.#topic)
    // Two streams may deliver the same envelope, and a node may repeat one that is not committed
    // yet.
    const news = envelopes.filter(({ sequence }) => {
      if (sequence <= position || this.#underWay.has(sequence)) return false
      this.#underWay.add(sequence)
      return true
    })
    this.#reportGap(news)
    const addressed = await this.#wanted(await this.#parts.unsealing.open(news))
    const senders = new Set(addressed.map(({ metadata }) => metadata.senderAddress))
    const unsure = await this.#parts.lookup.lookUp(senders)
    return { addressed, unsure, last: greatest(news.map(({ sequence }) => sequence)) }
  }

  /** What claims to be of a denied account is dropped, whoever wrote it: nobody is looked up for it. */
  async #wanted<One extends Addressed>(addressed: readonly One[]): Promise<readonly One[]> {
    const { consents, rejections } = this.#parts
    const denied = await consents.denied(addressed.map(({ metadata }) => metadata.senderAddress))
    return addressed.filter(({ metadata }) => {
      const isDenied = denied.has(metadata.senderAddress)
      if (isDenied) rejections.count('sender_denied')
      return !isDenied
    })
  }

  /** Decrypts and saves a prepared batch. Throws only if the store does; then nothing is saved. */
  async commit({ addressed, unsure, last }: Prepared): Promise<void> {
    if (last === undefined) return
    const { authentication, cursors, rejections } = this.#parts
    try {
      const { authentic, toPark } = await authentication.authenticate(addressed, unsure, false)
      await this.save(authentic, toPark, cursors.positionChange(this.#topic, last))
    } finally {
      for (const sequence of this.#underWay) if (sequence <= last) this.#underWay.delete(sequence)
    }
    rejections.report()
  }

  /** Envelopes are numbered without gaps: a missing one was dropped by retention, or withheld. */
  #reportGap(news: readonly InboxEnvelope[]): void {
    let missing = 0n
    for (const { sequence } of news) {
      if (this.#next !== undefined && sequence < this.#next) continue
      if (this.#next !== undefined) missing += sequence - this.#next
      this.#next = sequence + 1n
    }
    if (missing > 0n) this.#context.status.warn('gap', Number(missing))
  }

  /** Steps 4 to 6, and `toPark` with them. `ratchetLock` is held from decrypting to saving. */
  async save(
    authentic: readonly Authentic[],
    toPark: readonly NewlyParked[],
    alongside: Change,
  ): Promise<void> {
    const claims = await this.#context.ratchetLock.runExclusive(() =>
      this.#decryptAndSave(authentic, toPark, alongside),
    )
    if (claims.length > 0) this.#listener.onHeads(claims)
    // After `ratchetLock` is released, as the listeners may take it.
    for (const sender of new Set(authentic.map(({ sender }) => sender))) {
      this.#listener.onAuthentic(sender)
    }
  }

  async #decryptAndSave(
    authentic: readonly Authentic[],
    toPark: readonly NewlyParked[],
    alongside: Change,
  ): Promise<readonly HeadsClaim[]> {
    const { conversations, decryption, parking, payloads, requester } = this.#parts
    const { rejections, setAside, consents } = this.#parts
    const { store, status, platform } = this.#context
    // They may have been denied since they were prepared.
    const undenied = await this.#wanted(authentic)
    const senders = await Admission.of(consents, addressesOf(undenied))
    const { open: wanted, full } = senders.withoutRoom(undenied)
    const isAccepted = (address: Address) => senders.isAllowed(address)
    const decrypted = await decryption.decrypt(wanted, isAccepted)
    const batch = payloads.read(decrypted.results)
    await this.#countUnexpected(batch.unexpected)
    for (const { conversationId } of batch.messages) await conversations.load(conversationId)

    const flips = await this.#acceptWhoWasWrittenTo(batch.messages)
    const admission = await this.#admissionOf(undenied, batch.messages, flips.accepted)
    admission.withoutRoom(full)
    const { kept, leftOut } = admission.admit(batch.messages)
    // At another node, envelopes are read again from the start and old ones fail: not asked for
    // again. What found no room is asked for when its account is accepted.
    const noted = [...leftOut.map(({ envelope }) => envelope), ...this.#digestsOf(full)]
    const failed = [...batch.failed, ...noted].filter(({ nodeNs }) => nodeNs > this.#readBeforeNs)
    const accepted = new Set([...addressesOf(undenied)].filter((one) => admission.isAllowed(one)))
    const requests = batch.requests.filter(({ from }) => accepted.has(from.address))
    const parked = toPark.length > 0 ? parking.parkChange(toPark, platform.nowMs()) : undefined
    const added = conversations.additionChange(kept, admission)
    const change = joinChanges(
      alongside,
      flips.change,
      ...decrypted.changes,
      batch.newer.length > 0 ? await setAside.additionChange(batch.newer, accepted) : undefined,
      failed.length + batch.came.length > 0
        ? requester.failuresChange(failed, batch.came, accepted)
        : undefined,
      requests.length > 0 ? this.#listener.requestsChange(requests) : undefined,
      parked,
      added,
      kept.length === 0 ? admission.sumsChange([]) : undefined,
    )
    // What our own messages change in the same conversations is planned before or after.
    await consents.exclusively(() => commit(store, change))
    const duplicates = kept.length - added.added()
    for (let nth = 0; nth < duplicates; nth += 1) rejections.count('duplicate_message')
    // A stranger's accusations would take the place of what the person must hear.
    const claims = batch.claims.filter(({ claimant }) => accepted.has(claimant.address))
    if (noted.length > 0) status.warn('requests_full', noted.length)
    if (parked && parked.dropped > 0) status.warn('parking_full', parked.dropped)
    if (parked) this.#listener.onParked()
    return claims
  }

  #digestsOf(envelopes: readonly Authentic[]): readonly UndecryptableEnvelope[] {
    const digests = this.#context.crypto.digest(envelopes.map(({ envelope }) => envelope.message))
    return envelopes.flatMap(({ sender, envelope }, at) => {
      const digest = digests[at]
      return digest ? [{ from: sender, digest, nodeNs: envelope.nodeNs }] : []
    })
  }

  /** Another device of ours wrote to these accounts after anything was said of them here. */
  async #acceptWhoWasWrittenTo(messages: readonly NewMessage[]) {
    const { consents } = this.#parts
    const own = this.#context.account.address
    const writtenNs = new Map<Address, bigint>()
    for (const { sender, conversationId, nodeNs, composedNs } of messages) {
      if (sender !== own) continue
      // A late copy comes at a new time: what counts is when it was written.
      const atNs = composedNs < nodeNs ? composedNs : nodeNs
      for (const other of othersOf(conversationId, own)) {
        const before = writtenNs.get(other) ?? 0n
        writtenNs.set(other, atNs > before ? atNs : before)
      }
    }
    const accepted = new Set<Address>()
    for (const [address, state] of await consents.states(writtenNs.keys())) {
      if ((writtenNs.get(address) ?? 0n) > state.changedNs) accepted.add(address)
    }
    return { accepted, change: await consents.flipChange(accepted, 'allowed') }
  }

  #admissionOf(
    authentic: readonly Authentic[],
    messages: readonly NewMessage[],
    accepted: ReadonlySet<Address>,
  ): Promise<Admission> {
    const own = this.#context.account.address
    const others = messages.flatMap(({ conversationId }) => othersOf(conversationId, own))
    const all = [...addressesOf(authentic), ...others, own]
    return Admission.of(this.#parts.consents, all, accepted)
  }

  /** Two requests for one envelope may both be answered: the second answer breaks no rule. */
  async #countUnexpected(messages: readonly NewMessage[]): Promise<void> {
    for (const { id } of messages) {
      const known = await this.#context.store.get(tables.messages, id)
      this.#parts.rejections.count(known ? 'duplicate_message' : 'bad_payload')
    }
  }
}

const addressesOf = (addressed: readonly Addressed[]): ReadonlySet<Address> =>
  new Set(addressed.map(({ metadata }) => metadata.senderAddress))

const othersOf = (id: ConversationId, own: Address): readonly Address[] =>
  audienceOf(id, own).others

const greatest = (sequences: readonly bigint[]): bigint | undefined => {
  let most: bigint | undefined
  for (const sequence of sequences) if (most === undefined || sequence > most) most = sequence
  return most
}
