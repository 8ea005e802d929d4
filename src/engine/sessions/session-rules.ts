/**
 * Which session to send on and which to remove (docs/protocol.md section 7). Pure: times are
 * arguments, nothing is read or changed.
 */

import type { Address, InstallationId } from '../../protocol/ids.ts'
import { dayMs } from '../../protocol/limits.ts'

/** After this many sends without an answer a session is spent; Olm receivers bridge 2,000. */
const spentAfterSends = 1_000
const maxPerInstallation = 5

export interface Session {
  readonly installationId: InstallationId
  /** The account of the installation; undefined if an earlier release made the session. */
  readonly address?: Address | undefined
  /** 32 bytes. */
  readonly sessionId: Uint8Array
  /** Opaque and secret. */
  readonly state: Uint8Array
  readonly createdMs: number
  /** 0 if nothing decrypted yet. */
  readonly firstDecryptedMs: number
  readonly lastDecryptedMs: number
  /** Sends since the last decryption. */
  readonly sentSince: number
  /** Never sent on again, as its state was rolled back; still decrypts. */
  readonly isClosed: boolean
  /** Digests of the heads already sent on it (heads.ts); none if absent. */
  readonly headsTold?: Uint8Array | undefined
}

/** A new session; nothing decrypted on it yet. @param createdMs later than all earlier times */
export const newSession = (
  { id: installationId, address }: { readonly id: InstallationId; readonly address: Address },
  { sessionId, state }: Pick<Session, 'sessionId' | 'state'>,
  createdMs: number,
): Session => ({
  installationId,
  address,
  sessionId,
  state,
  createdMs,
  firstDecryptedMs: 0,
  lastDecryptedMs: 0,
  isClosed: false,
  sentSince: 0,
})

/** How many sends without an answer are left until the session is spent. */
export const sendsLeft = ({ sentSince }: Session): number =>
  Math.max(0, spentAfterSends - sentSince)

/** The session to send on; undefined if a new one is needed. */
export const chooseSession = (sessions: readonly Session[]): Session | undefined => {
  let best: Session | undefined
  for (const session of sessions) {
    if (session.isClosed || session.sentSince >= spentAfterSends) continue
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

/**
 * The sessions with one installation to remove now: those inactive for a day once a newer one has
 * been decrypting for a day; and if more than five remain, those that never decrypted, then the
 * least recently used. Never the one to send on: which is newer, the two sides may see differently,
 * and then each would remove the one that the other sends on. Call this only while live, so that a
 * backlog finds its sessions.
 */
export const chooseToPrune = (sessions: readonly Session[], nowMs: number): readonly Session[] => {
  const current = chooseSession(sessions)
  const isSuperseded = (session: Session) =>
    session !== current &&
    lastUsedMs(session) <= nowMs - dayMs &&
    sessions.some(
      (newer) =>
        newer.createdMs > session.createdMs &&
        newer.firstDecryptedMs > 0 &&
        newer.firstDecryptedMs <= nowMs - dayMs,
    )
  const old = sessions.filter(isSuperseded)
  const rest = sessions.filter((session) => !old.includes(session))
  return [...old, ...chooseBeyond(rest, maxPerInstallation, current)]
}

/**
 * The sessions that exceed a number: those that never decrypted go first, then the least recently
 * used. The one to send on is kept whatever its rank: without it the next message would need a new
 * one, which ranks no better.
 */
export const chooseBeyond = (
  sessions: readonly Session[],
  limit: number,
  current = chooseSession(sessions),
): readonly Session[] =>
  [...sessions]
    .sort(
      (a, b) =>
        Number(b === current) - Number(a === current) ||
        Number(b.lastDecryptedMs > 0) - Number(a.lastDecryptedMs > 0) ||
        lastUsedMs(b) - lastUsedMs(a),
    )
    .slice(limit)

export const lastUsedMs = ({
  createdMs,
  lastDecryptedMs,
}: Pick<Session, 'createdMs' | 'lastDecryptedMs'>): number => Math.max(createdMs, lastDecryptedMs)
