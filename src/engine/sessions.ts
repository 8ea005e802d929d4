/**
 * Olm sessions (docs/protocol.md section 7): which one to send on, which one to decrypt with, and
 * their states in memory. What memory holds is replaced only after the store has committed.
 */

import { encodeBase64Url } from '../protocol/bytes.ts'
import type { InstallationId } from '../protocol/ids.ts'
import type { Store, Write } from '../store/store.ts'
import { joinKey, put, tables } from '../store/tables.ts'

/** From that many sends without an answer a session is spent; Olm receivers bridge 2,000. */
const spentAfterSends = 1_000
/** Peer installations whose sessions stay in memory. */
const maxInstallations = 2_000

export interface Session {
  readonly installationId: InstallationId
  /** 32 bytes. */
  readonly sessionId: Uint8Array
  /** Opaque and secret. */
  readonly state: Uint8Array
  readonly createdMs: number
  /** 0: nothing decrypted yet. */
  readonly lastDecryptedMs: number
  /** Sends with nothing decrypted since. */
  readonly sentSince: number
}

/** Of these the one to send on; undefined if a new one is needed. Pure. */
export const chooseSession = (sessions: readonly Session[]): Session | undefined => {
  let best: Session | undefined
  for (const session of sessions) {
    if (session.sentSince >= spentAfterSends) continue
    const isBetter =
      best === undefined ||
      session.lastDecryptedMs > best.lastDecryptedMs ||
      (session.lastDecryptedMs === 0 &&
        best.lastDecryptedMs === 0 &&
        session.createdMs >= best.createdMs)
    if (isBetter) best = session
  }
  return best
}

export class Sessions {
  readonly #store: Store
  readonly #byInstallation = new Map<InstallationId, readonly Session[]>()

  constructor(store: Store) {
    this.#store = store
  }

  /** Brings the sessions with these installations into memory. */
  async load(ids: Iterable<InstallationId>): Promise<void> {
    await Promise.all(
      Array.from(new Set(ids), async (id) => {
        const read = this.#byInstallation.has(id) ? undefined : await this.#read(id)
        const known = this.#byInstallation.get(id) ?? read ?? []
        // Set again, so that the map's order is the order of last use.
        this.#byInstallation.delete(id)
        this.#byInstallation.set(id, known)
      }),
    )
  }

  /** Those of an installation that was loaded. */
  of(id: InstallationId): readonly Session[] {
    return this.#byInstallation.get(id) ?? []
  }

  writes(sessions: Iterable<Session>): readonly Write[] {
    return Array.from(sessions, (session) =>
      put(tables.sessions, joinKey(session.installationId, encodeBase64Url(session.sessionId)), {
        installationId: session.installationId,
        sessionId: session.sessionId,
        state: session.state,
        createdMs: BigInt(session.createdMs),
        lastDecryptedMs: BigInt(session.lastDecryptedMs),
        sentSince: session.sentSince,
      }),
    )
  }

  /** To be called when what `writes` gave is committed. */
  committed(sessions: Iterable<Session>): void {
    for (const session of sessions) {
      const others = this.of(session.installationId).filter(
        (other) => encodeBase64Url(other.sessionId) !== encodeBase64Url(session.sessionId),
      )
      this.#byInstallation.set(session.installationId, [...others, session])
    }
    for (const id of this.#byInstallation.keys()) {
      if (this.#byInstallation.size <= maxInstallations) break
      this.#byInstallation.delete(id)
    }
  }

  async #read(group: InstallationId): Promise<readonly Session[]> {
    const rows = await this.#store.list(tables.sessions, { group, limit: 1_000 })
    return rows.map(({ value }) => ({
      installationId: group,
      sessionId: value.sessionId,
      state: value.state,
      createdMs: Number(value.createdMs),
      lastDecryptedMs: Number(value.lastDecryptedMs),
      sentSince: value.sentSince,
    }))
  }
}
