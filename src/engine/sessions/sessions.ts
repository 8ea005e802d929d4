/**
 * Olm sessions (docs/protocol.md section 7) in the store and in memory. Memory is updated only
 * after the store has committed.
 */

import { encodeBase64Url } from '../../protocol/bytes.ts'
import type { InstallationId } from '../../protocol/ids.ts'
import type { Fields, Store, Write } from '../../store/store.ts'
import { joinKey, put, type SessionRecord, tables } from '../../store/tables.ts'
import { type Change, commit } from '../runtime/change.ts'
import { chooseToPrune, type Session } from './session-rules.ts'

/** Peer installations whose sessions stay in memory. */
const maxInstallations = 2_000
/** Sessions of one installation, with the ids of removed ones; a peer has no reason for more. */
const maxOfInstallation = 10_000

/** The sessions with one installation. */
interface Known {
  readonly live: readonly Session[]
  /** Ids of removed sessions. */
  readonly pruned: ReadonlySet<string>
}

const nothing: Known = { live: [], pruned: new Set() }

export class Sessions {
  readonly #store: Store
  readonly #byInstallation = new Map<InstallationId, Known>()

  constructor(store: Store) {
    this.#store = store
  }

  /** Loads the sessions with these installations into memory. */
  async load(ids: Iterable<InstallationId>): Promise<void> {
    await Promise.all(
      Array.from(new Set(ids), async (id) => {
        const read = this.#byInstallation.has(id) ? undefined : await this.#read(id)
        const known = this.#byInstallation.get(id) ?? read ?? nothing
        // Set again to keep the map in order of last use.
        this.#byInstallation.delete(id)
        this.#byInstallation.set(id, known)
      }),
    )
  }

  /** The sessions with an installation, which must have been loaded. */
  of(id: InstallationId): readonly Session[] {
    return this.#byInstallation.get(id)?.live ?? []
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
    return this.#byInstallation.get(id)?.pruned.has(encodeBase64Url(sessionId)) === true
  }

  /** Saves the next states of these sessions. */
  statesChange(sessions: readonly Session[]): Change {
    return {
      writes: sessions.map((session) => sessionWrite(session, false)),
      committed: () => this.#replace(sessions),
    }
  }

  #replace(sessions: readonly Session[]): void {
    for (const session of sessions) {
      const { live, pruned } = this.#byInstallation.get(session.installationId) ?? nothing
      const others = live.filter((other) => !isSame(other, session))
      this.#byInstallation.set(session.installationId, { live: [...others, session], pruned })
    }
    for (const id of this.#byInstallation.keys()) {
      if (this.#byInstallation.size <= maxInstallations) break
      this.#byInstallation.delete(id)
    }
  }

  /** Loads into memory the sessions that an earlier run ended too early to remove. */
  async loadLeftOver(nowMs: number): Promise<void> {
    const all = new Map<InstallationId, Session[]>()
    for (const { value } of await this.#store.all(tables.sessions)) {
      if (value.pruned) continue
      const session = toSession(value)
      const others = all.get(session.installationId)
      if (others) others.push(session)
      else all.set(session.installationId, [session])
    }
    const crowded = [...all].filter(([, sessions]) => chooseToPrune(sessions, nowMs).length > 0)
    await this.load(crowded.map(([id]) => id))
  }

  /**
   * Removes sessions by section 7, of the installations in memory: those of others have not changed
   * since they were in memory. The ids stay.
   */
  async prune(nowMs: number): Promise<void> {
    for (const id of [...this.#byInstallation.keys()]) {
      const old = chooseToPrune(this.of(id), nowMs)
      if (old.length === 0) continue
      await commit(this.#store, this.#pruningChange(id, old))
    }
  }

  #pruningChange(id: InstallationId, old: readonly Session[]): Change {
    return {
      writes: old.map((session) => sessionWrite(session, true)),
      committed: () => {
        const { live, pruned } = this.#byInstallation.get(id) ?? nothing
        this.#byInstallation.set(id, {
          live: live.filter((session) => !old.includes(session)),
          pruned: new Set([...pruned, ...old.map(({ sessionId }) => encodeBase64Url(sessionId))]),
        })
      },
    }
  }

  /** Closes every session, because the database was rolled back (section 10). */
  async closingChange(): Promise<Change> {
    const records = await this.#store.all(tables.sessions)
    return {
      writes: records.flatMap(({ value }) =>
        value.pruned || value.closed ? [] : [recordWrite({ ...value, closed: true })],
      ),
      committed: () => this.#byInstallation.clear(),
    }
  }

  async #read(group: InstallationId): Promise<Known> {
    const rows = await this.#store.list(tables.sessions, { group, limit: maxOfInstallation })
    const live: Session[] = []
    const pruned = new Set<string>()
    for (const { value } of rows) {
      if (value.pruned) pruned.add(encodeBase64Url(value.sessionId))
      else {
        live.push(toSession(value))
      }
    }
    return { live, pruned }
  }
}

const toSession = (record: SessionRecord): Session => ({
  installationId: record.installationId as InstallationId,
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

const isSame = (a: Session, b: Session): boolean =>
  encodeBase64Url(a.sessionId) === encodeBase64Url(b.sessionId)

const recordWrite = (record: Fields<SessionRecord>): Write =>
  put(tables.sessions, joinKey(record.installationId, encodeBase64Url(record.sessionId)), record)
