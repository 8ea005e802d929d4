/**
 * Step 4 of receiving (docs/protocol.md section 8): finds the session of each envelope, decrypts
 * it, and returns the states to save. A failure saves no session and uses up no prekey.
 */

import type { CryptoCode, PrekeyMessageParts } from '../../crypto/crypto.ts'
import { PadlockError, type PadlockErrorCode } from '../../errors.ts'
import { encodeBase64Url, equalBytes } from '../../protocol/bytes.ts'
import type { Address, InstallationId } from '../../protocol/ids.ts'
import type { Prekeys } from '../keys/prekeys.ts'
import type { Change } from '../runtime/change.ts'
import type { Context } from '../runtime/context.ts'
import { newSession, type Session } from '../sessions/session-rules.ts'
import type { Sessions } from '../sessions/sessions.ts'
import type { Authentic, Decrypted, DecryptionResult } from './envelope-stages.ts'
import type { Seen } from './seen.ts'

/** Envelopes of one session, with their indexes in the batch. */
interface Group {
  readonly known: Session | undefined
  readonly members: { readonly at: number; readonly one: Authentic }[]
}

export class Decryption {
  readonly #context: Context
  readonly #sessions: Sessions
  readonly #prekeys: Prekeys
  readonly #seen: Seen

  constructor(context: Context, sessions: Sessions, prekeys: Prekeys, seen: Seen) {
    this.#context = context
    this.#sessions = sessions
    this.#prekeys = prekeys
    this.#seen = seen
  }

  /**
   * Decrypts a batch; nothing is saved until the caller commits `changes`.
   *
   * @param isAccepted of which accounts the person wants to hear
   */
  async decrypt(
    batch: readonly Authentic[],
    isAccepted: (address: Address) => boolean,
  ): Promise<{ readonly results: readonly Decrypted[]; readonly changes: readonly Change[] }> {
    const { crypto, platform } = this.#context
    await this.#sessions.load(batch.map(({ sender }) => sender.id))
    const groups = new Map<string, Group>()
    for (const [at, one] of batch.entries()) {
      const name = `${one.sender.id} ${encodeBase64Url(one.metadata.sessionId)}`
      const group = groups.get(name) ?? { known: this.#find(one), members: [] }
      group.members.push({ at, one })
      groups.set(name, group)
    }

    const results: (DecryptionResult | undefined)[] = batch.map(() => undefined)
    const changed: Session[] = []
    const decrypting: { readonly session: Session; readonly lastAt: number }[] = []
    const used: Uint8Array[] = []
    const fail = (at: number, from: Authentic, code: PadlockErrorCode) => {
      results[at] = { ok: false, from, code }
    }
    for (const { known, members } of groups.values()) {
      let session = known
      let rest = members
      // A prekey message for an unknown id creates the session; until one does, the others fail.
      while (!session && rest.length > 0) {
        const [first, ...later] = rest
        if (!first) break
        rest = later
        const made = this.#createSession(first.one, used, isAccepted)
        if (!made.ok) {
          fail(first.at, first.one, made.code)
          continue
        }
        session = made.session
        if (made.usedOneTime) used.push(made.usedOneTime)
        results[first.at] = { ok: true, from: first.one, payload: made.payload }
      }
      if (session && rest.length > 0) {
        session = this.#decryptWith(session, rest, fail, results) ?? session
      }
      const lastAt = members.filter(({ at }) => results[at]?.ok).at(-1)?.at
      if (session && lastAt !== undefined) decrypting.push({ session, lastAt })
    }
    // In the order of their last envelopes: the session to send on is the one that decrypted last.
    decrypting.sort((a, b) => a.lastAt - b.lastAt)
    const latestMs = new Map<InstallationId, number>()
    for (const { session } of decrypting) {
      const { installationId } = session
      const before = latestMs.get(installationId) ?? this.#sessions.latestMs(installationId)
      // Always later than all earlier times, even if the clock was set back (section 7).
      const now = Math.max(platform.nowMs(), before + 1)
      latestMs.set(installationId, now)
      const first = session.firstDecryptedMs > 0 ? session.firstDecryptedMs : now
      changed.push({ ...session, firstDecryptedMs: first, lastDecryptedMs: now, sentSince: 0 })
    }

    const digests = crypto.digest(batch.map(({ envelope }) => envelope.message))
    await this.#markReplays(results, digests)
    const processed = digests.filter((_, at) => results[at]?.ok)
    return {
      results: results.flatMap((result, at): Decrypted[] => {
        const digest = digests[at]
        return result && digest ? [{ ...result, digest }] : []
      }),
      changes: [
        this.#sessions.statesChange(changed, isAccepted),
        ...(used.length > 0 ? [this.#prekeys.usedChange(used)] : []),
        this.#seen.additionChange(processed, batch.at(-1)?.envelope.nodeNs ?? 0n),
      ],
    }
  }

  #find({ sender, metadata }: Authentic): Session | undefined {
    return this.#sessions.find(sender.id, metadata.sessionId)
  }

  #createSession(
    one: Authentic,
    used: readonly Uint8Array[],
    isAccepted: (address: Address) => boolean,
  ) {
    const { crypto, account, platform } = this.#context
    const failed = (code: PadlockErrorCode) => ({ ok: false, code }) as const
    const olmMessage = one.opened.olmMessage
    if (!olmMessage) return failed('decryption_failed')
    if (!one.metadata.isPrekeyMessage) return failed('session_unknown')
    const [parts] = crypto.inspectPrekeyMessages([olmMessage])
    if (!parts?.ok) return failed('decryption_failed')
    if (!belongs(parts, one)) return failed('session_mismatch')
    if (this.#sessions.wasPruned(one.sender.id, parts.sessionId)) return failed('session_unknown')
    const prekeySecret = used.some((key) => equalBytes(key, parts.prekey))
      ? undefined
      : this.#prekeys.find(parts.prekey)
    if (!prekeySecret) return failed('prekey_gone')
    const isOneTime = this.#prekeys.isOneTime(parts.prekey)
    if (!isOneTime && this.#sessions.isFull(one.sender, isAccepted))
      return failed('session_unknown')
    const made = crypto.createInboundSession({
      identity: account.identity,
      prekeySecret,
      senderIdentityKey: one.sender.keys.curve25519,
      olmMessage,
      headerHash: one.opened.headerHash,
    })
    if (!made.ok) return failed(made.code === 'bad_mac' ? 'bad_mac' : codeOf(made.code))
    const createdMs = Math.max(platform.nowMs(), this.#sessions.latestMs(one.sender.id) + 1)
    const session = newSession(one.sender, made, createdMs)
    const usedOneTime = isOneTime ? parts.prekey : undefined
    return { ok: true, session, payload: made.payload, usedOneTime } as const
  }

  /** @returns the session's next state, or undefined if nothing decrypted */
  #decryptWith(
    session: Session,
    members: Group['members'],
    fail: (at: number, from: Authentic, code: PadlockErrorCode) => void,
    results: (DecryptionResult | undefined)[],
  ): Session | undefined {
    const { crypto } = this.#context
    const ready = members.flatMap(({ at, one }) => {
      const olmMessage = one.opened.olmMessage
      if (!olmMessage) {
        fail(at, one, 'decryption_failed')
        return []
      }
      return [{ at, one, olmMessage }]
    })
    const prekeyMessages = ready.filter(({ one }) => one.metadata.isPrekeyMessage)
    const messages = prekeyMessages.map(({ olmMessage }) => olmMessage)
    const inspected = messages.length > 0 ? crypto.inspectPrekeyMessages(messages) : []
    const foreign = new Set<number>()
    for (const [nth, { at, one }] of prekeyMessages.entries()) {
      const parts = inspected[nth]
      if (parts?.ok && belongs(parts, one)) continue
      foreign.add(at)
      fail(at, one, 'session_mismatch')
    }
    const own = ready.filter(({ at }) => !foreign.has(at))
    const decrypted = crypto.decrypt(
      session.state,
      own.map(({ one, olmMessage }) => ({
        olmMessage,
        isPrekeyMessage: one.metadata.isPrekeyMessage,
        headerHash: one.opened.headerHash,
      })),
    )
    if (!decrypted.ok) throw new PadlockError('storage_damaged')
    let any = false
    for (const [nth, { at, one }] of own.entries()) {
      const result = decrypted.results[nth]
      if (result?.ok) {
        any = true
        results[at] = { ok: true, from: one, payload: result.payload }
      } else fail(at, one, codeOf(result?.code))
    }
    return any ? { ...session, state: decrypted.state } : undefined
  }

  /** A failed envelope that was processed before is a duplicate (section 7, Replays). */
  async #markReplays(
    results: (DecryptionResult | undefined)[],
    digests: readonly Uint8Array[],
  ): Promise<void> {
    const isFailed = (at: number) => {
      const result = results[at]
      return result !== undefined && !result.ok && result.code !== 'bad_mac'
    }
    const failed = digests.flatMap((digest, at) => (isFailed(at) ? [{ at, digest }] : []))
    if (failed.length === 0) return
    const now = new Set(
      digests.flatMap((digest, at) => (results[at]?.ok ? [encodeBase64Url(digest)] : [])),
    )
    const before = await this.#seen.find(failed.map(({ digest }) => digest))
    for (const [nth, { at, digest }] of failed.entries()) {
      const result = results[at]
      if (!result || !(before[nth] || now.has(encodeBase64Url(digest)))) continue
      results[at] = { ok: false, from: result.from, code: 'duplicate_message' }
    }
  }
}

/** Whether a prekey message's session id and identity key are those that the metadata claims. */
const belongs = (parts: PrekeyMessageParts, { metadata, sender }: Authentic): boolean =>
  equalBytes(parts.sessionId, metadata.sessionId) &&
  equalBytes(parts.identityKey, sender.keys.curve25519)

const codeOf = (code: CryptoCode | undefined): PadlockErrorCode => {
  switch (code) {
    case 'header_mismatch':
    case 'message_key_gone':
      return code
    case 'missing_prekey':
      return 'prekey_gone'
    case 'identity_mismatch':
      return 'session_mismatch'
    default:
      return 'decryption_failed'
  }
}
