/**
 * Asking for what could not be decrypted (docs/protocol.md section 10): noted in the transaction that
 * failed it, asked for a minute later on a new session, once more after an hour, then no more. Timers
 * are times in the store, so they survive a restart.
 */

import { encodeRetransmitRequest } from '../../content/retransmit.ts'
import { PadlockError } from '../../errors.ts'
import { encodeBase64Url } from '../../protocol/bytes.ts'
import { type Address, buildConversationId, type InstallationId } from '../../protocol/ids.ts'
import { retransmitLimitDigests } from '../../protocol/limits.ts'
import type { Write } from '../../store/store.ts'
import { put, remove, tables } from '../../store/tables.ts'
import type { Directory } from '../membership/directory.ts'
import type { Decrypted } from '../receiving/envelope-stages.ts'
import type { Context } from '../runtime/context.ts'
import type { Fanout } from '../sending/fanout.ts'
import type { Outbox } from '../sending/outbox.ts'
import type { Sessions } from '../sessions/sessions.ts'

const firstWaitMs = 60_000
const secondWaitMs = 3_600_000
const maxAsks = 2
const maxRequestsPerHour = 20
const hourMs = 3_600_000
/** Nobody answers later than this (section 10). */
const memoryMs = 14 * 86_400_000
/** Of one installation, and installations: what goes beyond is counted and not asked for. */
const maxMissing = 2_000
const maxInstallations = 1_000

interface Missing {
  readonly digest: Uint8Array
  /** The digest as text: thousands are compared when much fails. */
  readonly name: string
  readonly nodeNs: bigint
  readonly failedMs: number
  readonly asks: number
  readonly askedMs: number
}

interface Peer {
  readonly id: InstallationId
  readonly address: Address
  readonly missing: readonly Missing[]
}

/** What a batch changes, to be written with it. */
export interface NotedFailures {
  readonly writes: readonly Write[]
  readonly peers: readonly Peer[]
}

/** What asking and answering work with. */
export interface RecoveryParts {
  readonly directory: Directory
  readonly sessions: Sessions
  readonly fanout: Fanout
  readonly outbox: Outbox
}

export class Requester {
  readonly #context: Context
  readonly #parts: RecoveryParts
  readonly #peers = new Map<InstallationId, Peer>()
  #isLive = false
  #pause = new AbortController()

  constructor(context: Context, parts: RecoveryParts) {
    this.#context = context
    this.#parts = parts
  }

  async load(): Promise<void> {
    for (const { value } of await this.#context.store.all(tables.recovery)) {
      const id = value.installationId as InstallationId
      this.#peers.set(id, {
        id,
        address: value.address as Address,
        missing: value.missing.map((one) => ({
          digest: one.digest,
          name: encodeBase64Url(one.digest),
          nodeNs: one.nodeNs,
          failedMs: Number(one.failedMs),
          asks: one.asks,
          askedMs: Number(one.askedMs),
        })),
      })
    }
  }

  /** The node time of an envelope that was asked of this installation; undefined if none was. */
  askedFor(id: InstallationId, digest: Uint8Array): bigint | undefined {
    const name = encodeBase64Url(digest)
    const missing = this.#peers.get(id)?.missing ?? []
    return missing.find((one) => one.asks > 0 && one.name === name)?.nodeNs
  }

  /** Notes the failures of a batch, and what it brought of what was asked for. */
  note(
    failed: readonly Decrypted[],
    came: readonly { readonly id: InstallationId; readonly digest: Uint8Array }[],
  ): NotedFailures {
    const peers = new Map<InstallationId, Peer>()
    const nowMs = this.#context.platform.nowMs()
    for (const { from, digest } of failed) {
      const { id, address } = from.sender
      const peer = peers.get(id) ?? this.#peers.get(id) ?? { id, address, missing: [] }
      const isFull =
        peer.missing.length >= maxMissing ||
        (!this.#peers.has(id) && this.#peers.size + peers.size >= maxInstallations)
      const name = encodeBase64Url(digest)
      if (isFull || peer.missing.some((one) => one.name === name)) continue
      const { nodeNs } = from.envelope
      const one: Missing = { digest, name, nodeNs, failedMs: nowMs, asks: 0, askedMs: 0 }
      peers.set(id, { ...peer, missing: [...peer.missing, one] })
    }
    for (const { id, digest } of came) {
      const peer = peers.get(id) ?? this.#peers.get(id)
      if (!peer) continue
      const name = encodeBase64Url(digest)
      const missing = peer.missing.filter((one) => one.name !== name)
      peers.set(id, { ...peer, missing })
    }
    return { writes: [...peers.values()].map(writePeer), peers: [...peers.values()] }
  }

  /** To be called when what `note` gave is committed. */
  committed({ peers }: NotedFailures): void {
    if (peers.length === 0) return
    for (const peer of peers) this.#keep(peer)
    this.#pause.abort()
  }

  /** The connection came or went. */
  setLive(isLive: boolean): void {
    this.#isLive = isLive
    if (isLive) this.#pause.abort()
  }

  /** Works until the client closes. */
  async run(): Promise<void> {
    const { closing, platform, status } = this.#context
    const end = () => this.#pause.abort()
    closing.addEventListener('abort', end, { once: true })
    while (!closing.aborted) {
      this.#pause = new AbortController()
      let waitMs = hourMs
      try {
        if (this.#isLive) waitMs = await this.#askWhoIsDue()
      } catch (error) {
        if (closing.aborted) return
        status.warnOf(error)
        waitMs = firstWaitMs
      }
      if (!closing.aborted) await platform.wait(waitMs, this.#pause.signal)
    }
  }

  /** @returns when to look again, in milliseconds. */
  async #askWhoIsDue(): Promise<number> {
    const { platform, time } = this.#context
    let nextMs = Number.POSITIVE_INFINITY
    // Who was asked longest ago goes first: some that fail for ever must not use up all requests.
    const inTurn = [...this.#peers.values()].sort((a, b) => lastAskedMs(a) - lastAskedMs(b))
    for (const { id } of inTurn) {
      await this.#forget(id, time.passedMs() - memoryMs)
      const nowMs = platform.nowMs()
      const peer = this.#peers.get(id)
      if (!peer || firstDueMs(peer) > nowMs) continue
      if (!(await this.#ask(peer, nowMs))) return firstWaitMs
    }
    for (const peer of this.#peers.values()) nextMs = Math.min(nextMs, firstDueMs(peer))
    return Math.max(1, Math.min(nextMs - platform.nowMs(), hourMs))
  }

  /**
   * One request for all that is due of one installation, and with it for what failed since: one timer
   * an installation, not one an envelope. @returns false if too many were sent.
   */
  async #ask(peer: Peer, nowMs: number): Promise<boolean> {
    const { account, ratchetLock, store } = this.#context
    const { directory, fanout, outbox, sessions } = this.#parts
    const isLately = (ms: bigint) => Number(ms) > nowMs - hourMs
    const earlier = (await store.get(tables.times, 'times'))?.value.askedMs ?? []
    // Before a prekey is claimed, which would be claimed for nothing.
    if (earlier.filter(isLately).length >= maxRequestsPerHour) return false
    const recipients = await directory.recipients(peer.address)
    const recipient = recipients.find(({ id }) => id === peer.id)
    // Revoked since, or not seen yet: what it sent is not asked for.
    const fresh = recipient && (await fanout.prepareNew(recipient))
    return ratchetLock.runExclusive(async () => {
      const now = this.#peers.get(peer.id)
      const due = (now?.missing ?? [])
        .filter((one) => one.askedMs === 0 || dueMs(one) <= nowMs)
        .slice(0, retransmitLimitDigests)
      // It came meanwhile.
      if (!now || due.length === 0) return true
      // Who is there and gives no key is tried again in an hour; nothing was asked.
      const isSent = recipient === undefined || fresh !== undefined
      const asked = due.map((one) => ({ ...one, asks: one.asks + Number(isSent), askedMs: nowMs }))
      const others = now.missing.filter((one) => !due.some((each) => isSame(each, one)))
      const next: Peer = { ...now, missing: [...others, ...asked] }
      const sealed =
        recipient &&
        fresh &&
        fanout.seal(
          [
            {
              conversationId: buildConversationId(account.address, peer.address),
              content: encodeRetransmitRequest(due.map(({ digest }) => digest)),
              composedNs: this.#context.time.clockNs(),
              recipients: [recipient],
            },
          ],
          new Map(),
          new Map([[fresh.installationId, fresh]]),
        )
      const entry = sealed && outbox.internalEntry(peer.address, sealed.rows[0] ?? [])
      await store.transaction(
        [{ table: tables.times, key: 'times' }],
        (rows) => {
          // Composing writes its times there too, at any moment.
          const current = rows.get(tables.times, 'times')?.value
          if (!current) throw new PadlockError('storage_damaged')
          const askedMs = [...current.askedMs.filter(isLately), ...(sealed ? [BigInt(nowMs)] : [])]
          return {
            writes: [
              writePeer(next),
              put(tables.times, 'times', {
                ...current,
                askedMs: askedMs.slice(-maxRequestsPerHour),
              }),
              ...(fresh ? [fanout.forgetClaimWrite()] : []),
              ...(sealed ? [...sessions.writes(sealed.sessions), ...sealed.writes] : []),
              ...(entry ? [put(tables.outbox, entry.number, entry.record)] : []),
            ],
            result: undefined,
          }
        },
        // As in sealing: a ratchet never falls behind bytes that left.
        'strict',
      )
      if (sealed) sessions.committed(sealed.sessions)
      this.#keep(next)
      if (entry) outbox.enqueue(entry)
      return true
    })
  }

  /** Whatever failed before that time is not asked for any more. */
  async #forget(id: InstallationId, oldestMs: number): Promise<void> {
    const isOld = ({ failedMs }: Missing) => failedMs <= oldestMs
    if (!this.#peers.get(id)?.missing.some(isOld)) return
    await this.#context.ratchetLock.runExclusive(async () => {
      const peer = this.#peers.get(id)
      if (!peer) return
      const next = { ...peer, missing: peer.missing.filter((one) => !isOld(one)) }
      await this.#context.store.transaction([], () => ({
        writes: [writePeer(next)],
        result: undefined,
      }))
      this.#keep(next)
    })
  }

  #keep(peer: Peer): void {
    if (peer.missing.length === 0) this.#peers.delete(peer.id)
    else this.#peers.set(peer.id, peer)
  }
}

/** When this is to be asked for next; never again after the second time. */
const dueMs = ({ asks, failedMs, askedMs }: Missing): number => {
  if (asks >= maxAsks) return Number.POSITIVE_INFINITY
  return askedMs === 0 ? failedMs + firstWaitMs : askedMs + secondWaitMs
}

const lastAskedMs = ({ missing }: Peer): number =>
  Math.max(0, ...missing.map(({ askedMs }) => askedMs))

const firstDueMs = ({ missing }: Peer): number => Math.min(...missing.map(dueMs))

const isSame = (a: Missing, b: Missing): boolean => a.name === b.name

const writePeer = ({ id, address, missing }: Peer): Write =>
  missing.length === 0
    ? remove(tables.recovery, id)
    : put(tables.recovery, id, {
        installationId: id,
        address,
        missing: missing.map((one) => ({
          digest: one.digest,
          nodeNs: one.nodeNs,
          failedMs: BigInt(one.failedMs),
          asks: one.asks,
          askedMs: BigInt(one.askedMs),
        })),
      })
