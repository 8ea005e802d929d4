/**
 * Creates Olm sessions from claimed prekeys (docs/protocol.md sections 5 and 6). A claim is
 * repeated with the same id until the sessions made from it are saved, so that no second key is
 * burnt. Nothing is claimed for an hour from an installation that provides no usable key.
 */

import type { InstallationId } from '../../protocol/ids.ts'
import { claimIdBytes, claimLimitInstallations, hourMs, minuteMs } from '../../protocol/limits.ts'
import { prekeySignature } from '../../protocol/prekey.ts'
import { put, remove, tables } from '../../store/tables.ts'
import type { KnownInstallation } from '../membership/directory.ts'
import { type Change, commit } from '../runtime/change.ts'
import type { Context } from '../runtime/context.ts'
import { newSession, type Session } from '../sessions/session-rules.ts'
import type { Sessions } from '../sessions/sessions.ts'

/** How long nothing is claimed from an installation that provided no usable key (section 6). */
const pauseMs = hourMs
const maxPauses = 10_000
/** A node remembers a claim for ten minutes (section 5); a little less is safe. */
const claimMemoryMs = 9 * minuteMs

/** For all recipients of a request, or for one that gets a new session even if it has one. */
export type ClaimName = 'claim' | 'claim of one'

export class PrekeyClaims {
  readonly #context: Context
  readonly #sessions: Sessions
  readonly #pausedUntilMs = new Map<InstallationId, number>()

  constructor(context: Context, sessions: Sessions) {
    this.#context = context
    this.#sessions = sessions
  }

  /**
   * Sessions with the recipients that provide a usable key; not saved.
   *
   * @throws PadlockError if the node cannot be reached, and storage_*
   */
  async makeSessions(
    name: ClaimName,
    recipients: readonly KnownInstallation[],
  ): Promise<readonly Session[]> {
    // One id for all: a node remembers it with each installation of the claim (section 5).
    const claimId = await this.#claimId(
      name,
      recipients.map(({ id }) => id),
    )
    const made: Session[] = []
    for (let at = 0; at < recipients.length; at += claimLimitInstallations) {
      const some = recipients.slice(at, at + claimLimitInstallations)
      made.push(...(await this.#claim(claimId, some)))
    }
    return made
  }

  /** Commit this with the sessions of a claim: its keys are used up. */
  usedChange(name: ClaimName): Change {
    return { writes: [remove(tables.claim, name)] }
  }

  async #claim(
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
        // Reported once: nothing is claimed from it again for an hour (section 6).
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
      const createdMs = Math.max(platform.nowMs(), this.#sessions.latestMs(recipient.id) + 1)
      return [newSession(recipient, session, createdMs)]
    })
  }

  /** The claim's id, saved before the request: if the answer is lost, the same id is used again. */
  async #claimId(name: ClaimName, ids: readonly InstallationId[]): Promise<Uint8Array> {
    const { platform, store } = this.#context
    const now = platform.nowMs()
    const saved = (await store.get(tables.claim, name))?.value
    const ageMs = now - Number(saved?.askedMs ?? 0n)
    // A clock that was set back does not make a node remember longer.
    const isFresh = saved && ageMs >= 0 && ageMs < claimMemoryMs
    if (isFresh && ids.every((id) => saved.installationIds.includes(id))) return saved.claimId
    const claimId = platform.randomBytes(claimIdBytes)
    const record = { claimId, installationIds: [...ids], askedMs: BigInt(now) }
    await commit(store, { writes: [put(tables.claim, name, record)] })
    return claimId
  }

  /** Whether an installation failed to provide a usable key within the last hour. */
  isPaused(id: InstallationId): boolean {
    return (this.#pausedUntilMs.get(id) ?? 0) > this.#context.platform.monotonicMs()
  }

  #pause(id: InstallationId): void {
    if (this.#pausedUntilMs.size >= maxPauses) this.#pausedUntilMs.clear()
    this.#pausedUntilMs.set(id, this.#context.platform.monotonicMs() + pauseMs)
  }
}
