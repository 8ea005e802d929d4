/**
 * Requests envelopes that could not be decrypted (docs/protocol.md section 10). A failure is
 * recorded in the transaction of its batch, requested a minute later on a new session, and once
 * more after an hour. Timers are times in the store, so they survive a restart.
 */

import { encodeRetransmitRequest } from '../../content/retransmit.ts'
import { encodeBase64Url } from '../../protocol/bytes.ts'
import type { Address, InstallationId } from '../../protocol/ids.ts'
import {
  hourMs,
  redeliveryMs,
  retransmitLimitDigests,
  retransmitRequestsPerHour,
} from '../../protocol/limits.ts'
import { tables } from '../../store/tables.ts'
import type { Directory, KnownInstallation } from '../membership/directory.ts'
import { directConversation } from '../messages/audience.ts'
import type { Consent } from '../model.ts'
import { type Change, commit, joinChanges, recordUpdate } from '../runtime/change.ts'
import type { Context } from '../runtime/context.ts'
import { TaskLoop } from '../runtime/task-loop.ts'
import type { Dispatch } from '../sending/dispatch.ts'
import type { Fanout } from '../sending/fanout.ts'
import type { Session } from '../sessions/session-rules.ts'
import {
  datedAtMost,
  firstDueMs,
  firstWaitMs,
  isDue,
  isSame,
  lastAskedMs,
  type Missing,
  newMissing,
  type Peer,
  peerWrite,
  readPeer,
  withinHour,
} from './missing-envelopes.ts'

/**
 * Failures noted of one installation, and installations; those beyond are counted, not requested. Of
 * accounts that were not accepted they are kept for when they are, in places of their own.
 */
const places = {
  ofAccepted: { missing: 2_000, installations: 1_000 },
  ofOthers: { missing: 100, installations: 100 },
}

/** An envelope that could not be decrypted. */
export interface UndecryptableEnvelope {
  readonly from: Pick<KnownInstallation, 'id' | 'address'>
  readonly digest: Uint8Array
  readonly nodeNs: bigint
}

/** A requested envelope that came again; `digest` is that of the missed one. */
export interface RetransmittedEnvelope {
  readonly id: InstallationId
  readonly digest: Uint8Array
}

export interface RequesterParts {
  readonly directory: Directory
  readonly fanout: Fanout
  readonly dispatch: Dispatch
}

export class Requester {
  readonly #context: Context
  readonly #parts: RequesterParts
  readonly #peers = new Map<InstallationId, Peer>()
  readonly #loop: TaskLoop
  #isLive = false

  constructor(context: Context, parts: RequesterParts) {
    this.#context = context
    this.#parts = parts
    this.#loop = new TaskLoop(context, () => this.#askWhoIsDue(), { restMs: () => firstWaitMs })
  }

  async load(): Promise<void> {
    for (const { value } of await this.#context.store.all(tables.recovery)) {
      const peer = readPeer(value)
      this.#peers.set(peer.id, peer)
    }
  }

  /** The node time of an envelope requested from this installation; undefined if it was not. */
  askedFor(id: InstallationId, digest: Uint8Array): bigint | undefined {
    const name = encodeBase64Url(digest)
    const missing = this.#peers.get(id)?.missing ?? []
    return missing.find((one) => one.asks > 0 && one.name === name)?.nodeNs
  }

  /**
   * Records the failures of a batch, and removes the requested envelopes that came with it.
   *
   * @param accepted those of the senders' accounts that were accepted
   */
  failuresChange(
    failed: readonly UndecryptableEnvelope[],
    came: readonly RetransmittedEnvelope[],
    accepted: ReadonlySet<Address>,
  ): Change {
    const peers = new Map<InstallationId, Peer>()
    const nowMs = this.#context.time.stampMs()
    for (const { from, digest, nodeNs } of failed) {
      const { id, address } = from
      const noted = peers.get(id) ?? this.#peers.get(id)
      const isAccepted = accepted.has(address)
      const peer = { ...(noted ?? { id, address, missing: [] }), isAccepted }
      const most = placesOf(peer)
      const isFull =
        peer.missing.length >= most.missing ||
        (!noted && this.#countOf(isAccepted, peers) >= most.installations)
      const one = newMissing(digest, nodeNs, nowMs)
      if (isFull || peer.missing.some((other) => isSame(other, one))) continue
      peers.set(id, { ...peer, missing: [...peer.missing, one] })
    }
    for (const { id, digest } of came) {
      const peer = peers.get(id) ?? this.#peers.get(id)
      if (!peer) continue
      const name = encodeBase64Url(digest)
      const missing = peer.missing.filter((one) => one.name !== name)
      peers.set(id, { ...peer, missing })
    }
    if (peers.size === 0) return { writes: [] }
    const changes = Array.from(peers.values(), (peer) => this.#peerChange(peer))
    return joinChanges(...changes, { writes: [], committed: () => this.#loop.wake() })
  }

  /** What becomes of the failures of an account of which the person says this from now on. */
  consentChange(address: Address, consent: Consent): Change {
    const noted = [...this.#peers.values()].filter((peer) => peer.address === address)
    if (noted.length === 0) return { writes: [] }
    const changed = noted.map((peer) => ({
      ...peer,
      isAccepted: consent === 'allowed',
      ...(consent === 'denied' ? { missing: [] } : {}),
    }))
    const changes = changed.map((peer) => this.#peerChange(peer))
    return joinChanges(...changes, { writes: [], committed: () => this.#loop.wake() })
  }

  /** Installations that are noted, of accounts that were accepted or of others. */
  #countOf(isAccepted: boolean, changed: ReadonlyMap<InstallationId, Peer>): number {
    const all = new Map([...this.#peers, ...changed])
    return [...all.values()].filter((peer) => peer.isAccepted === isAccepted).length
  }

  /** The connection was established or lost. */
  setLive(isLive: boolean): void {
    this.#isLive = isLive
    if (isLive) this.#loop.wake()
  }

  /** Runs until the client closes. */
  run(): Promise<void> {
    return this.#loop.run()
  }

  /** @returns how long to rest, in milliseconds */
  async #askWhoIsDue(): Promise<number> {
    if (!this.#isLive) return hourMs
    const { time } = this.#context
    await this.#dateAgain()
    let nextMs = Number.POSITIVE_INFINITY
    // The peer asked longest ago goes first: peers that always fail must not use up all requests.
    const inTurn = [...this.#peers.values()].sort((a, b) => lastAskedMs(a) - lastAskedMs(b))
    for (const { id } of inTurn) {
      await this.#forget(id, time.passedMs() - redeliveryMs)
      const nowMs = time.stampMs()
      const peer = this.#peers.get(id)
      if (!peer || firstDueMs(peer) > nowMs) continue
      if (!(await this.#ask(peer, nowMs))) return firstWaitMs
    }
    for (const peer of this.#peers.values()) nextMs = Math.min(nextMs, firstDueMs(peer))
    return Math.max(1, Math.min(nextMs - time.stampMs(), hourMs))
  }

  /**
   * Requests everything due from one installation, together with what failed since: one timer per
   * installation, not one per envelope.
   *
   * @returns false if too many requests were sent
   */
  async #ask(peer: Peer, nowMs: number): Promise<boolean> {
    const { platform, ratchetLock, store } = this.#context
    const { directory, fanout } = this.#parts
    const earlier = (await store.get(tables.times, 'times'))?.value.askedMs ?? []
    // Checked before a prekey is claimed, so that none is wasted.
    if (withinHour(earlier, platform.nowMs()).length >= retransmitRequestsPerHour) return false
    const recipients = await directory.recipients(peer.address)
    const recipient = recipients.find(({ id }) => id === peer.id)
    // Without a recipient (revoked since, or not seen yet) nothing is requested.
    const fresh = recipient && (await fanout.prepareNew(recipient))
    await ratchetLock.runExclusive(async () => {
      const now = this.#peers.get(peer.id)
      const due = (now?.missing ?? [])
        .filter((one) => isDue(one, nowMs))
        .slice(0, retransmitLimitDigests)
      // The missing envelopes came meanwhile.
      if (!now || due.length === 0) return
      // An installation that provides no key is tried again in an hour: nothing was requested.
      const isSent = recipient === undefined || fresh !== undefined
      const asked = due.map((one) => ({ ...one, asks: one.asks + Number(isSent), askedMs: nowMs }))
      const others = now.missing.filter((one) => !due.some((each) => isSame(each, one)))
      const noted = this.#peerChange({ ...now, missing: [...others, ...asked] })
      if (!recipient || !fresh) await commit(store, noted)
      else await this.#send(recipient, fresh, due, noted)
    })
    return true
  }

  async #send(
    recipient: KnownInstallation,
    fresh: Session,
    missing: readonly Missing[],
    noted: Change,
  ): Promise<void> {
    const { account, platform, store, time } = this.#context
    const request = {
      conversationId: directConversation(account.address, recipient.address),
      content: encodeRetransmitRequest(missing.map(({ digest }) => digest)),
      composedNs: time.clockNs(),
      recipients: [recipient],
    }
    const asked = joinChanges(noted, this.#parts.fanout.claimOfOneUsed())
    const nowMs = platform.nowMs()
    const counted = recordUpdate(tables.times, 'times', (times) => ({
      ...times,
      askedMs: [...withinHour(times.askedMs, nowMs), BigInt(nowMs)].slice(
        -retransmitRequestsPerHour,
      ),
    }))
    const on = new Map([[fresh.installationId, fresh]])
    const isSent = await this.#parts.dispatch.send([request], { on }, joinChanges(asked, counted))
    // An installation that turned out unusable is asked again in an hour.
    if (!isSent) await commit(store, asked)
  }

  /** Stops requesting what failed before this time. */
  async #forget(id: InstallationId, oldestMs: number): Promise<void> {
    const isOld = ({ failedMs }: Missing) => failedMs <= oldestMs
    if (!this.#peers.get(id)?.missing.some(isOld)) return
    const { ratchetLock, store } = this.#context
    await ratchetLock.runExclusive(async () => {
      const peer = this.#peers.get(id)
      if (!peer) return
      const missing = peer.missing.filter((one) => !isOld(one))
      await commit(store, this.#peerChange({ ...peer, missing }))
    })
  }

  /** A clock that was ahead has given times that would put everything off until they come. */
  async #dateAgain(): Promise<void> {
    const { ratchetLock, store, time } = this.#context
    const isAhead = ({ failedMs, askedMs }: Missing) =>
      time.isStartAhead(Math.max(failedMs, askedMs))
    if (![...this.#peers.values()].some(({ missing }) => missing.some(isAhead))) return
    await ratchetLock.runExclusive(async () => {
      const latestMs = time.stampMs()
      const dated = Array.from(this.#peers.values(), (peer) => datedAtMost(peer, latestMs))
      await commit(store, joinChanges(...dated.map((peer) => this.#peerChange(peer))))
    })
  }

  #peerChange(peer: Peer): Change {
    return {
      writes: [peerWrite(peer)],
      committed: () => {
        if (peer.missing.length === 0) this.#peers.delete(peer.id)
        else this.#peers.set(peer.id, peer)
      },
    }
  }
}

const placesOf = ({ isAccepted }: Pick<Peer, 'isAccepted'>) =>
  isAccepted ? places.ofAccepted : places.ofOthers
