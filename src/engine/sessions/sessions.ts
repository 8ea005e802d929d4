/**
 * Olm sessions (docs/protocol.md section 7) in the store and in memory. Memory is updated only
 * after the store has committed.
 */

import { encodeBase64Url } from '../../protocol/bytes.ts'
import type { Address, InstallationId } from '../../protocol/ids.ts'
import {
  allRequestSessionsLimit,
  dayNs,
  prunedRequestSessionsLimit,
  prunedSessionsLimit,
  requestSessionsLimit,
  sessionsInMemoryBytes,
  sessionsLimit,
} from '../../protocol/limits.ts'
import type { Fields, Store, Write } from '../../store/store.ts'
import { joinKey, put, remove, type SessionRecord, tables } from '../../store/tables.ts'
import { type Change, commit } from '../runtime/change.ts'
import type { Mutex } from '../runtime/mutex.ts'
import { chooseBeyond, chooseToPrune, lastUsedMs, type Session } from './session-rules.ts'

/** Peer installations whose sessions stay in memory. */
const maxInstallations = 2_000
/** So many are new before they are counted again. */
const requestsBetweenPrunings = 500
/** Sessions that one transaction removes. */
const removedAtOnce = 500
/** About what a session, and the id of a removed one, take in memory. */
const sessionBytes = 2_048
const prunedBytes = 128

type IsAccepted = (address: Address) => boolean

/** The sessions with one installation, by their ids as text. */
interface Known {
  readonly live: ReadonlyMap<string, Session>
  /** When the removed ones were made, in milliseconds. */
  readonly pruned: ReadonlyMap<string, number>
}

const nothing: Known = { live: new Map(), pruned: new Map() }

export class Sessions {
  readonly #store: Store
  readonly #byInstallation = new Map<InstallationId, Known>()
  #bytes = 0
  /** Sessions with accounts that were not accepted since the last pruning; before the first, enough. */
  #requestsMade = requestsBetweenPrunings

  constructor(store: Store) {
    this.#store = store
  }

  /** Loads the sessions with these installations into memory. */
  async load(ids: Iterable<InstallationId>): Promise<void> {
    const wanted = new Set(ids)
    await Promise.all(
      Array.from(wanted, async (id) => {
        const read = this.#byInstallation.has(id) ? undefined : await this.#read(id)
        // Set again to keep the map in order of last use.
        this.#set(id, this.#byInstallation.get(id) ?? read ?? nothing)
      }),
    )
    this.#evict(wanted)
  }

  /** The sessions with an installation, which must have been loaded. */
  of(id: InstallationId): readonly Session[] {
    return [...this.#known(id).live.values()]
  }

  /** The session of this id with a loaded installation. */
  find(id: InstallationId, sessionId: Uint8Array): Session | undefined {
    return this.#known(id).live.get(encodeBase64Url(sessionId))
  }

  /** When a session with a loaded installation was last created or last decrypted. */
  latestMs(id: InstallationId): number {
    return this.of(id).reduce(
      (most, { createdMs, lastDecryptedMs }) => Math.max(most, createdMs, lastDecryptedMs),
      0,
    )
  }

  /** Whether a session was removed: a prekey message never creates it again. */
  wasPruned(id: InstallationId, sessionId: Uint8Array): boolean {
    return this.#known(id).pruned.has(encodeBase64Url(sessionId))
  }

  /**
   * Whether so many sessions with an installation were removed that it gets no further ones on a
   * fallback key: their ids have to be kept, and it can make any number of them.
   */
  isFull(
    { id, address }: { readonly id: InstallationId; readonly address: Address },
    isAccepted: IsAccepted = () => true,
  ): boolean {
    const limit = isAccepted(address) ? prunedSessionsLimit : prunedRequestSessionsLimit
    return this.#known(id).pruned.size >= limit
  }

  /**
   * Saves the next states of these sessions, and removes what exceeds the limit with them.
   *
   * @param isAccepted of which accounts: of others fewer are kept (section 9)
   */
  statesChange(sessions: readonly Session[], isAccepted: IsAccepted = () => true): Change {
    const next = new Map<InstallationId, Map<string, Session>>()
    for (const session of sessions) {
      const { installationId: id } = session
      const live = next.get(id) ?? new Map(this.#known(id).live)
      const name = nameOf(session)
      // Set again to keep them in order of their last change.
      live.delete(name)
      next.set(id, live.set(name, session))
    }
    const removed: Session[] = []
    for (const live of next.values()) {
      const [{ address } = {}] = live.values()
      const isOfRequest = address !== undefined && !isAccepted(address)
      const limit = isOfRequest ? requestSessionsLimit : sessionsLimit
      if (isOfRequest) this.#requestsMade += 1
      if (live.size <= limit) continue
      for (const session of chooseBeyond([...live.values()], limit)) {
        live.delete(nameOf(session))
        removed.push(session)
      }
    }
    const kept = sessions.filter((session) => !removed.includes(session))
    return {
      writes: [
        ...kept.map((session) => sessionWrite(session, false)),
        ...removed.map((session) => sessionWrite(session, true)),
      ],
      committed: () => {
        for (const [id, live] of next) this.#set(id, { live, pruned: this.#known(id).pruned })
        for (const session of removed) this.#onPruned(session)
        this.#evict(new Set(next.keys()))
      },
    }
  }

  /**
   * Puts right what earlier runs left: loads into memory the sessions with installations that have
   * some to remove, and deletes ids that need not be kept any longer.
   *
   * @param oldestFallbackNs of the fallback keys whose secrets are here
   */
  async loadLeftOver(nowMs: number, oldestFallbackNs: bigint): Promise<void> {
    const all = new Map<InstallationId, Session[]>()
    for await (const page of this.#store.pages(tables.sessions)) {
      const expired: Write[] = []
      for (const { value } of page) {
        if (!value.pruned) {
          // Without its state, as there may be many.
          const session = { ...toSession(value), state: new Uint8Array() }
          const others = all.get(session.installationId)
          if (others) others.push(session)
          else all.set(session.installationId, [session])
        } else if (isExpired(Number(value.createdMs), oldestFallbackNs)) {
          expired.push(remove(tables.sessions, keyOf(value)))
        }
      }
      if (expired.length > 0) await commit(this.#store, { writes: expired })
    }
    const crowded = [...all].filter(([, sessions]) => chooseToPrune(sessions, nowMs).length > 0)
    await this.load(crowded.map(([id]) => id))
  }

  /**
   * Removes sessions by section 7, of the installations in memory: those of others have not changed
   * since they were in memory. The ids stay for a while.
   */
  async prune(nowMs: number, oldestFallbackNs: bigint): Promise<void> {
    for (const id of [...this.#byInstallation.keys()]) {
      const old = chooseToPrune(this.of(id), nowMs)
      const { pruned } = this.#known(id)
      const expired = [...pruned].filter(([, createdMs]) => isExpired(createdMs, oldestFallbackNs))
      if (old.length + expired.length === 0) continue
      await commit(this.#store, {
        writes: [
          ...old.map((session) => sessionWrite(session, true)),
          ...expired.map(([name]) => remove(tables.sessions, joinKey(id, name))),
        ],
        committed: () => {
          const left = new Map(this.#known(id).pruned)
          for (const [name] of expired) left.delete(name)
          this.#set(id, { live: this.#known(id).live, pruned: left })
          for (const session of old) this.#onPruned(session)
        },
      })
    }
  }

  /** Whether so many were made with accounts that were not accepted that some may have to go. */
  get hasManyRequests(): boolean {
    return this.#requestsMade >= requestsBetweenPrunings
  }

  /**
   * Of sessions with accounts that were not accepted, keeps those used last: anyone can make any number
   * of them, each with an installation of its own. Reads all sessions, so only when enough are new.
   *
   * @param lock the context's `ratchetLock`: no session moves on while some are removed
   */
  async pruneRequests(
    accepted: (addresses: ReadonlySet<Address>) => Promise<ReadonlySet<Address>>,
    lock: Mutex,
  ): Promise<void> {
    if (!this.hasManyRequests) return
    this.#requestsMade = 0
    const ofRequests: Session[] = []
    for await (const page of this.#store.pages(tables.sessions)) {
      const some = page.flatMap(({ value }) => (value.address === '' ? [] : toSession(value)))
      const allowed = await accepted(new Set(some.flatMap(({ address }) => address ?? [])))
      for (const session of some) {
        if (session.address && allowed.has(session.address)) continue
        // Without its state, as there may be many.
        ofRequests.push({ ...session, state: new Uint8Array() })
      }
    }
    ofRequests.sort((a, b) => lastUsedMs(b) - lastUsedMs(a))
    const old = ofRequests.slice(allRequestSessionsLimit)
    for (let at = 0; at < old.length; at += removedAtOnce) {
      await lock.runExclusive(async () => {
        const some = await this.#stillOld(old.slice(at, at + removedAtOnce), accepted)
        await commit(this.#store, {
          writes: some.map((one) =>
            remove(tables.sessions, joinKey(one.installationId, nameOf(one))),
          ),
          committed: () => {
            for (const one of some) this.#forget(one)
          },
        })
      })
    }
  }

  /** Without those that decrypted since they were read, or whose account was accepted meanwhile. */
  async #stillOld(
    some: readonly Session[],
    accepted: (addresses: ReadonlySet<Address>) => Promise<ReadonlySet<Address>>,
  ): Promise<readonly Session[]> {
    const allowed = await accepted(new Set(some.flatMap(({ address }) => address ?? [])))
    const now = await Promise.all(
      some.map((one) => this.#store.get(tables.sessions, joinKey(one.installationId, nameOf(one)))),
    )
    return some.filter((one, at) => {
      const row = now[at]
      const isUsed = row && lastUsedMs(toSession(row.value)) > lastUsedMs(one)
      return !isUsed && !(one.address && allowed.has(one.address))
    })
  }

  #forget(session: Session): void {
    if (!this.#byInstallation.has(session.installationId)) return
    const { live, pruned } = this.#known(session.installationId)
    const [others, otherIds] = [new Map(live), new Map(pruned)]
    others.delete(nameOf(session))
    otherIds.delete(nameOf(session))
    this.#set(session.installationId, { live: others, pruned: otherIds })
  }

  /** Closes every session, because the database was rolled back (section 10). */
  async closingChange(): Promise<Change> {
    const records = await this.#store.all(tables.sessions)
    return {
      writes: records.flatMap(({ value }) =>
        value.pruned || value.closed ? [] : [recordWrite({ ...value, closed: true })],
      ),
      committed: () => {
        this.#byInstallation.clear()
        this.#bytes = 0
      },
    }
  }

  #known(id: InstallationId): Known {
    return this.#byInstallation.get(id) ?? nothing
  }

  #onPruned(session: Session): void {
    const { live, pruned } = this.#known(session.installationId)
    const name = nameOf(session)
    const others = new Map(live)
    others.delete(name)
    this.#set(session.installationId, {
      live: others,
      pruned: new Map(pruned).set(name, session.createdMs),
    })
  }

  #set(id: InstallationId, known: Known): void {
    this.#bytes += weightOf(known) - weightOf(this.#known(id))
    this.#byInstallation.delete(id)
    this.#byInstallation.set(id, known)
  }

  #evict(kept: ReadonlySet<InstallationId>): void {
    for (const [id, known] of this.#byInstallation) {
      const { size } = this.#byInstallation
      if (size <= maxInstallations && this.#bytes <= sessionsInMemoryBytes) break
      if (kept.has(id)) continue
      this.#byInstallation.delete(id)
      this.#bytes -= weightOf(known)
    }
  }

  async #read(group: InstallationId): Promise<Known> {
    const live = new Map<string, Session>()
    const pruned = new Map<string, number>()
    for await (const page of this.#store.pages(tables.sessions, group)) {
      for (const { value } of page) {
        const name = encodeBase64Url(value.sessionId)
        if (value.pruned) pruned.set(name, Number(value.createdMs))
        else live.set(name, toSession(value))
      }
    }
    return { live, pruned }
  }
}

const weightOf = ({ live, pruned }: Known): number =>
  live.size * sessionBytes + pruned.size * prunedBytes

/** Whether every fallback key that is still here is newer than a session, by a day for the clocks. */
const isExpired = (createdMs: number, oldestFallbackNs: bigint): boolean =>
  BigInt(createdMs) * 1_000_000n + dayNs < oldestFallbackNs

const toSession = (record: SessionRecord): Session => ({
  installationId: record.installationId as InstallationId,
  address: record.address === '' ? undefined : (record.address as Address),
  sessionId: record.sessionId,
  state: record.state,
  createdMs: Number(record.createdMs),
  firstDecryptedMs: Number(record.firstDecryptedMs),
  lastDecryptedMs: Number(record.lastDecryptedMs),
  sentSince: record.sentSince,
  isClosed: record.closed,
  headsTold: record.headsTold,
})

const sessionWrite = (session: Session, pruned: boolean): Write =>
  recordWrite({
    installationId: session.installationId,
    address: session.address ?? '',
    sessionId: session.sessionId,
    state: pruned ? new Uint8Array() : session.state,
    createdMs: BigInt(session.createdMs),
    firstDecryptedMs: BigInt(session.firstDecryptedMs),
    lastDecryptedMs: BigInt(session.lastDecryptedMs),
    sentSince: session.sentSince,
    closed: session.isClosed,
    pruned,
    headsTold: session.headsTold ?? new Uint8Array(),
  })

const nameOf = ({ sessionId }: Pick<Session, 'sessionId'>): string => encodeBase64Url(sessionId)

const keyOf = ({ installationId, sessionId }: Fields<SessionRecord>): string =>
  joinKey(installationId, encodeBase64Url(sessionId))

const recordWrite = (record: Fields<SessionRecord>): Write =>
  put(tables.sessions, keyOf(record), record)
