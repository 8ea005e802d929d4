/**
 * What arrives (docs/protocol.md section 8, In), in batches: opened and checked with nothing stored,
 * decrypted, then ratchets, used prekeys, messages and cursor saved in one transaction. One bad
 * envelope never stops the ones behind it: outcomes are values.
 */

import { headerSignature, parseInboxMessage } from '../../protocol/envelope.ts'
import type { Address, ConversationId } from '../../protocol/ids.ts'
import { envelopeLimitBytes } from '../../protocol/limits.ts'
import { messageTopic } from '../../protocol/topics.ts'
import { checkMetadata } from '../../protocol/validation.ts'
import type { Write } from '../../store/store.ts'
import { add, type ParkedRecord, put, tables } from '../../store/tables.ts'
import type { Directory, KnownInstallation } from '../membership/directory.ts'
import type { HeadsClaim } from '../membership/heads.ts'
import {
  type Conversations,
  type NewMessage,
  peerOf,
  toMessageRecord,
} from '../messages/conversations.ts'
import type { NotedRequests } from '../retransmission/pending-requests.ts'
import type { Requester } from '../retransmission/requester.ts'
import type { RetransmitRequest } from '../retransmission/responder.ts'
import type { Context } from '../runtime/context.ts'
import type { Cursors } from '../runtime/cursors.ts'
import { Mutex } from '../runtime/mutex.ts'
import { nsToMs } from '../runtime/node-time.ts'
import type { Decryption } from './decryption.ts'
import type { Addressed, Authentic, Decrypted, InboxEnvelope, Prepared } from './envelope-stages.ts'
import { LookupLimiter } from './lookup-limiter.ts'
import { type Claimed, type NewlyParked, nameOfClaimed, type Parking } from './parking.ts'
import { PayloadReader, type ReadBatch } from './payloads.ts'
import { RejectionCounts } from './rejection-counts.ts'
import { SetAside } from './set-aside.ts'
import type { Unsealing } from './unsealing.ts'

/** Peers who may go before others when there are too many to look up. */
const maxPeersFirst = 5_000
/** How long an envelope waits for the chain of a contract account (section 8, step 3). */
const parkedMemoryMs = 14 * 86_400_000

export class Inbox {
  readonly #context: Context
  readonly #directory: Directory
  readonly #conversations: Conversations
  readonly #cursors: Cursors
  readonly #unsealing: Unsealing
  readonly #decryption: Decryption
  readonly #topic: string
  readonly #parking: Parking
  readonly #lookups: LookupLimiter
  readonly #setAside: SetAside
  readonly #recovery: Requester
  readonly #reading: PayloadReader
  readonly #tally: RejectionCounts
  readonly #workingOff = new Mutex()
  /** The sequence number that the next envelope must have; undefined at a new subscription. */
  #next: bigint | undefined
  /** Sequence numbers that are prepared and not committed. */
  readonly #underWay = new Set<bigint>()
  /** Something authentic came from this installation. */
  onHeard: (sender: KnownInstallation) => void = () => undefined
  /** Authentic payloads told heads. */
  onHeads: (claims: readonly HeadsClaim[]) => void = () => undefined
  /** Somebody could not decrypt what was sent from here: what to write with the batch. */
  noteRequests: (requests: readonly RetransmitRequest[]) => NotedRequests = () => ({
    writes: [],
    committed: () => undefined,
  })
  /** Up to this node time everything was processed at other nodes before (section 5). */
  readBeforeNs = 0n

  constructor(
    context: Context,
    directory: Directory,
    conversations: Conversations,
    cursors: Cursors,
    unsealing: Unsealing,
    decryption: Decryption,
    parking: Parking,
    recovery: Requester,
  ) {
    this.#context = context
    this.#directory = directory
    this.#conversations = conversations
    this.#cursors = cursors
    this.#unsealing = unsealing
    this.#decryption = decryption
    this.#topic = messageTopic(context.account.installationId)
    this.#parking = parking
    this.#lookups = new LookupLimiter(context.platform)
    this.#setAside = new SetAside(context.store)
    this.#tally = new RejectionCounts(context)
    this.#recovery = recovery
    this.#reading = new PayloadReader(context, this.#setAside, this.#tally, recovery)
  }

  async load(): Promise<void> {
    await this.#parking.load()
    await this.#setAside.load()
  }

  /** A subscription begins after the cursor. */
  async begin(): Promise<void> {
    this.#tally.begin()
    this.#underWay.clear()
    this.#next = (await this.#cursors.load(this.#topic)) + 1n
  }

  /** Envelopes of this subscription that no sealing key here opened. */
  get unopened(): number {
    return this.#tally.unopened
  }

  /**
   * Opens what arrived and looks up its senders; stores nothing, so the next batch may be prepared
   * while this one is committed. To be called in order of arrival.
   */
  async prepare(envelopes: readonly InboxEnvelope[]): Promise<Prepared> {
    const position = await this.#cursors.load(this.#topic)
    // Two streams may bring the same, and a node may repeat what is not committed yet.
    const news = envelopes.filter(({ sequence }) => {
      if (sequence <= position || this.#underWay.has(sequence)) return false
      this.#underWay.add(sequence)
      return true
    })
    this.#reportGap(news)
    const addressed = await this.#open(news)
    const unsure = await this.#lookUpSenders(addressed)
    return { addressed, unsure, last: greatest(news.map(({ sequence }) => sequence)) }
  }

  /** Envelopes are numbered without gaps: what is missing was dropped by retention, or withheld. */
  #reportGap(news: readonly InboxEnvelope[]): void {
    let missing = 0n
    for (const { sequence } of news) {
      if (this.#next !== undefined && sequence < this.#next) continue
      if (this.#next !== undefined) missing += sequence - this.#next
      this.#next = sequence + 1n
    }
    if (missing > 0n) this.#context.status.warn('gap', Number(missing))
  }

  /** Decrypts and saves a prepared batch. Throws only if the store does; nothing is saved then. */
  async commit({ addressed, unsure, last }: Prepared): Promise<void> {
    if (last === undefined) return
    try {
      await this.#process(addressed, unsure, [this.#cursors.write(this.#topic, last)], [])
      this.#cursors.committed(this.#topic, last)
    } finally {
      for (const sequence of this.#underWay) if (sequence <= last) this.#underWay.delete(sequence)
    }
    this.#tally.report()
  }

  /** Looks up who is parked, and works off what can be. @returns whether more are waiting. */
  workOffParked(): Promise<boolean> {
    return this.#workingOff.runExclusive(async () => {
      const waiting = [...this.#parking.addresses()]
      if (waiting.length === 0) return false
      const now = await this.#mayLookUp(waiting)
      await this.#directory.refresh(now)
      for (const one of this.#parking.installations(new Set(now))) await this.#workOff(one)
      this.#tally.report()
      return now.length < waiting.length
    })
  }

  /** Works off those installations of an account that are known now to be valid. */
  workOffKnown(address: Address): Promise<void> {
    return this.#workingOff.runExclusive(async () => {
      const account = await this.#directory.account(address)
      for (const one of this.#parking.installations(new Set([address]))) {
        if (account.get(one.installationId)?.state === 'valid') await this.#workOff(one)
      }
      this.#tally.report()
    })
  }

  async #workOff(claimed: Claimed): Promise<void> {
    const rows = await this.#parking.of(claimed)
    const addressed = await this.#open(rows.map(({ value }) => value))
    const account = await this.#directory.account(claimed.address)
    // A contract account's installation waits until its chain can be asked, for two weeks.
    const isWaiting = account.get(claimed.installationId)?.state === 'unverified'
    const done = isWaiting ? rows.filter(({ value }) => this.#isForgotten(value)) : rows
    if (done.length === 0) return
    const numbers = done.map(({ number }) => number)
    const envelopes = new Set<InboxEnvelope>(done.map(({ value }) => value))
    await this.#process(
      addressed.filter(({ envelope }) => envelopes.has(envelope)),
      new Set(),
      this.#parking.removalWrites(numbers),
      numbers,
    )
  }

  /** Where there are too many, those go first who were written with before (section 8, step 3). */
  async #mayLookUp(addresses: readonly Address[]): Promise<readonly Address[]> {
    if (addresses.length <= this.#lookups.left) return this.#lookups.take(addresses)
    return this.#lookups.take(addresses, await this.#conversations.peers(maxPeersFirst))
  }

  /** An age has passed only when the own clock and node time both say so (section 1). */
  #isForgotten({ parkedMs, nodeNs }: ParkedRecord): boolean {
    const { platform, time } = this.#context
    const nowNs = time.nodeNs() ?? 0n
    return (
      Number(parkedMs) < platform.nowMs() - parkedMemoryMs &&
      nodeNs < nowNs - BigInt(parkedMemoryMs) * 1_000_000n
    )
  }

  /** Steps 1 and 2. */
  async #open(envelopes: readonly InboxEnvelope[]): Promise<readonly Addressed[]> {
    const { account } = this.#context
    const parsed = envelopes.flatMap((envelope) => {
      // A node refuses these; one that does not is not followed.
      if (envelope.message.length > envelopeLimitBytes) {
        this.#tally.count('too_large')
        return []
      }
      const parts = parseInboxMessage(envelope.message)
      if (parts.ok) return [{ envelope, parts: parts.value }]
      this.#tally.count(parts.code)
      return []
    })
    const opened = await this.#unsealing.open(parsed.map(({ parts }) => parts))
    return parsed.flatMap(({ envelope }, at) => {
      const result = opened[at]
      if (!result?.ok) {
        this.#tally.count('unsealing_failed')
        return []
      }
      const metadata = checkMetadata(result.metadata, account)
      if (!metadata.ok) {
        this.#tally.count(metadata.code)
        return []
      }
      return [{ envelope, opened: result, metadata: metadata.value }]
    })
  }

  /**
   * One query for all senders that the subscription does not cover.
   *
   * @returns those that could not be asked about: who was revoked meanwhile must not get in because
   * somebody else used up the look-ups, or because the query failed.
   */
  async #lookUpSenders(addressed: readonly Addressed[]): Promise<ReadonlySet<Address>> {
    const addresses = new Set(addressed.map(({ metadata }) => metadata.senderAddress))
    this.#directory.onNeed([...addresses])
    const uncovered = [...addresses].filter((address) => !this.#directory.isFollowed(address))
    const now = await this.#mayLookUp(uncovered)
    const unsure = new Set(uncovered)
    if (now.length === 0) return unsure
    try {
      await this.#directory.refresh(now)
      for (const address of now) unsure.delete(address)
    } catch {
      // They are parked and looked up again: nothing waits here for the network.
    }
    return unsure
  }

  /** Steps 3 to 6. */
  async #process(
    addressed: readonly Addressed[],
    unsure: ReadonlySet<Address>,
    more: readonly Write[],
    workedOff: readonly number[],
  ): Promise<void> {
    const areParked = workedOff.length > 0
    const { authentic, parked } = await this.#authenticate(addressed, unsure, areParked)
    const { claims } = await this.#context.ratchetLock.runExclusive(async () => {
      const kept = await this.#save(authentic, parked, more)
      this.#parking.removed(workedOff)
      return kept
    })
    if (claims.length > 0) this.onHeads(claims)
    // Outside of the ratchets' queue, as these may want to enter it.
    for (const sender of new Set(authentic.map(({ sender }) => sender))) this.onHeard(sender)
  }

  /** Steps 4 to 6. */
  async #save(
    authentic: readonly Authentic[],
    parked: readonly NewlyParked[],
    more: readonly Write[],
  ): Promise<ReadBatch> {
    const { store, platform, time } = this.#context
    const decrypted = await this.#decryption.decrypt(authentic)
    // Read again from the start at another node, old envelopes fail: nobody is asked for those.
    const isNews = ({ from }: Decrypted) => from.envelope.nodeNs > this.readBeforeNs
    const kept = this.#reading.read(decrypted.results, isNews)
    const noted = this.#recovery.note(kept.failed, kept.came)
    const asked = this.noteRequests(kept.requests)
    for (const message of kept.messages) await this.#conversations.load(message.conversationId)

    const parking = this.#parking.plan(parked, platform.nowMs())
    const last = authentic.at(-1)
    const outcome = await store.transaction([], (rows) => {
      const messages = kept.messages.map((message) => ({
        message,
        isNew: !rows.exists(tables.messages, message.id),
        number: this.#conversations.nextArrival(),
      }))
      const touched = this.#touch(
        messages.filter(({ isNew }) => isNew).map(({ message }) => message),
      )
      const writes: Write[] = [
        ...more,
        ...decrypted.writes,
        ...parking.writes,
        ...kept.writes,
        ...noted.writes,
        ...asked.writes,
        ...touched.map(({ write }) => write),
      ]
      for (const { message, isNew, number } of messages) {
        if (isNew) writes.push(add(tables.messages, message.id, toMessageRecord(message), number))
      }
      if (last && decrypted.seen.length > 0) {
        writes.push(
          put(tables.seen, store.nextNumber(tables.seen), {
            prefixes: decrypted.seen,
            // A node that misdates into the future makes nothing stay for ever.
            nodeNs: time.notAhead(last.envelope.nodeNs),
          }),
        )
      }
      return { writes, result: { messages, touched } }
    })

    decrypted.committed()
    this.#recovery.committed(noted)
    asked.committed()
    this.#parking.committed(parking.kept)
    for (const { record } of outcome.touched) this.#conversations.committed(record)
    for (const { isNew } of outcome.messages) if (!isNew) this.#tally.count('duplicate_message')
    if (parking.dropped > 0) this.#context.status.warn('parking_full', parking.dropped)
    const newest = outcome.messages.at(-1)
    if (newest) this.#conversations.arrived(newest.number)
    return kept
  }

  /** Step 3: who sent it, and did they sign it; who is not known is parked. */
  async #authenticate(
    addressed: readonly Addressed[],
    unsure: ReadonlySet<Address>,
    areParked: boolean,
  ) {
    const { crypto, curves } = this.#context
    const candidates: Authentic[] = []
    const parked: NewlyParked[] = []
    const parkedNow = new Set<string>()
    for (const one of addressed) {
      const { senderAddress, senderInstallationId } = one.metadata
      const account = await this.#directory.account(senderAddress)
      const sender = account.get(senderInstallationId)
      const claimed = { address: senderAddress, installationId: senderInstallationId }
      const name = nameOfClaimed(claimed)
      const isBehind = parkedNow.has(name) || (!areParked && this.#parking.has(claimed))
      const isUnknown =
        !sender ||
        sender.state === 'unknown' ||
        sender.state === 'unverified' ||
        unsure.has(senderAddress)
      if (!isBehind && sender && this.#isRevoked(sender, one)) this.#tally.count('sender_revoked')
      else if (!isBehind && areParked && isUnknown) this.#tally.count('unknown_sender')
      else if (isBehind || isUnknown) {
        parkedNow.add(name)
        parked.push({ ...one.envelope, ...claimed })
      } else candidates.push({ ...one, sender })
    }
    const signatures = candidates.map(({ opened, metadata, sender }) =>
      headerSignature(opened.enc, metadata, sender.keys.ed25519),
    )
    // The directory took these keys by the strict rule; any RFC 8032 verifier may do the rest.
    const verified = (await curves?.verify(signatures)) ?? crypto.verify(signatures)
    const authentic = candidates.filter((_, at) => {
      if (verified[at]) return true
      this.#tally.count('bad_header_signature')
      return false
    })
    return { authentic, parked }
  }

  /**
   * Whether the sender was revoked when the node received this. Once live, whatever time the node
   * gives an envelope: who was revoked gets nothing in any more.
   */
  #isRevoked({ revokedNs, isPast }: KnownInstallation, { envelope }: Addressed): boolean {
    if (revokedNs === 0n) return false
    const isLive = this.#context.status.current.state === 'live'
    return isPast || isLive || envelope.nodeNs >= revokedNs
  }

  #touch(messages: readonly NewMessage[]) {
    const newest = new Map<ConversationId, number>()
    for (const { conversationId, nodeNs } of messages) {
      newest.set(conversationId, Math.max(newest.get(conversationId) ?? 0, nsToMs(nodeNs)))
    }
    return [...newest].map(([id, ms]) =>
      this.#conversations.touch(id, peerOf(id, this.#context.account.address), ms),
    )
  }
}

const greatest = (sequences: readonly bigint[]): bigint | undefined => {
  let most: bigint | undefined
  for (const sequence of sequences) if (most === undefined || sequence > most) most = sequence
  return most
}
