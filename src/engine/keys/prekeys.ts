/**
 * Our own prekeys (docs/protocol.md section 6): used once, topped up, rotated, and dropped when
 * nobody can use them any more. One upload at a time; the one-time secrets are stored apart from
 * the identity, as only prekey messages need them.
 */

import { PadlockError } from '../../errors.ts'
import { encodeBase64Url, equalBytes } from '../../protocol/bytes.ts'
import {
  fallbackLifetimeNs,
  stockLimit,
  stockMinimum,
  stockTarget,
  unusedPrekeyLifetimeNs,
} from '../../protocol/limits.ts'
import { parsePrekeyUpload } from '../../protocol/prekey.ts'
import { prekeyTopic } from '../../protocol/topics.ts'
import type { Write } from '../../store/store.ts'
import { put, tables } from '../../store/tables.ts'
import { type Change, commit, joinChanges, recordUpdate } from '../runtime/change.ts'
import type { Context } from '../runtime/context.ts'
import { makePrekeys, type PrekeySecret, type UploadKind } from './prekey-uploads.ts'

/** Limit of one-time secrets, for a node that keeps requesting new keys. */
const maxOneTime = 1_000

/** Our prekeys at the node, as far as is known. */
interface Stock {
  readonly oneTimeLeft: number
  /** `created_ns` of the newest upload it accepted. */
  readonly newestCreatedNs: bigint
}

/** Secrets and bytes of an upload that is not yet stored. */
export interface MadeUpload {
  readonly createdNs: bigint
  readonly upload: Uint8Array
  readonly oneTime: readonly PrekeySecret[]
  readonly fallback: readonly PrekeySecret[]
}

export class Prekeys {
  readonly #context: Context
  #oneTime = new Map<string, PrekeySecret>()
  /** Newest first; the previous key is kept until the next rotation. */
  #fallback: readonly PrekeySecret[] = []
  #pendingUpload: Uint8Array = new Uint8Array()
  #lastCreatedNs = 0n
  #stock: Stock | undefined
  #refilling: Promise<void> | undefined

  constructor(context: Context) {
    this.#context = context
  }

  async load(): Promise<void> {
    const { store } = this.#context
    const prekeys = await store.get(tables.prekeys, 'prekeys')
    const times = await store.get(tables.times, 'times')
    if (!prekeys || !times) throw new PadlockError('storage_damaged')
    this.#oneTime = new Map(
      prekeys.value.oneTime.map((secret) => [encodeBase64Url(secret.publicKey), secret]),
    )
    this.#fallback = prekeys.value.fallback
    this.#pendingUpload = prekeys.value.pendingUpload
    this.#lastCreatedNs = times.value.lastCreatedNs
  }

  /** The secret of a public prekey, or undefined if it was used, dropped or never ours. */
  find(publicKey: Uint8Array): Uint8Array | undefined {
    const oneTime = this.#oneTime.get(encodeBase64Url(publicKey))
    if (oneTime) return oneTime.secret
    return this.#fallback.find((fallback) => equalBytes(fallback.publicKey, publicKey))?.secret
  }

  /** When the oldest fallback key whose secret is still here was made; 0 if there is none. */
  get oldestFallbackNs(): bigint {
    return this.#fallback.at(-1)?.createdNs ?? 0n
  }

  /** Whether one session uses the key up; fallback keys are not used up. */
  isOneTime(publicKey: Uint8Array): boolean {
    return this.#oneTime.has(encodeBase64Url(publicKey))
  }

  /** Deletes the one-time keys among these, which sessions have used. */
  usedChange(used: readonly Uint8Array[]): Change {
    const gone = new Set(used.map(encodeBase64Url).filter((key) => this.#oneTime.has(key)))
    if (gone.size === 0) return { writes: [] }
    const left = [...this.#oneTime].filter(([key]) => !gone.has(key)).map(([, secret]) => secret)
    return {
      writes: [this.#prekeysWrite(left)],
      committed: () => {
        for (const key of gone) this.#oneTime.delete(key)
        this.#onClaimed(gone.size)
      },
    }
  }

  /** A peer that used a key had claimed it: the node has that many fewer. */
  #onClaimed(count: number): void {
    if (!this.#stock) return
    const { oneTimeLeft, newestCreatedNs } = this.#stock
    this.#stock = { oneTimeLeft: Math.max(0, oneTimeLeft - count), newestCreatedNs }
    if (this.#isLow()) void this.refill()
  }

  /** The node reported its stock. */
  onStock(oneTimeLeft: number, newestCreatedNs: bigint): Promise<void> {
    const isTrue = this.#context.time.mayBeCreated(newestCreatedNs)
    this.#stock = { oneTimeLeft, newestCreatedNs: isTrue ? newestCreatedNs : 0n }
    return this.#isLow() || this.#pendingUpload.length > 0 ? this.refill() : Promise.resolve()
  }

  /** Whether the node accepted an upload that is not known here: the database was rolled back. */
  isBehind(newestCreatedNs: bigint): boolean {
    return newestCreatedNs > this.#lastCreatedNs
  }

  /** Runs while live: drops keys that nobody can use any more, and rotates the fallback key. */
  async rotateIfDue(): Promise<void> {
    const { time } = this.#context
    const now = time.passedNs()
    await this.#context.ratchetLock.runExclusive(() =>
      this.#dropUnused(now - unusedPrekeyLifetimeNs),
    )
    const [newest] = this.#fallback
    if (!newest || newest.createdNs <= now - fallbackLifetimeNs) await this.refill('rotation')
  }

  /**
   * Sends the upload that was not acknowledged, with the same bytes; without one, fills the stock
   * up to 50. A failure is retried at the next notice, connect or hour.
   */
  refill(kind: UploadKind = 'more'): Promise<void> {
    this.#refilling ??= this.#refill(kind)
      .catch((error: unknown) => {
        if (this.#context.closing.aborted) return
        this.#context.status.warnOf(error)
      })
      .finally(() => {
        this.#refilling = undefined
      })
    return this.#refilling
  }

  /** Publishes a full new stock to a node that has none: new one-time keys and a new fallback. */
  async replace(): Promise<void> {
    await this.#refilling
    // A replacement that was not acknowledged is sent again with the same bytes (section 6).
    const pending = parsePrekeyUpload(this.#pendingUpload)
    if (!pending.ok || !pending.value.replace) {
      // An unacknowledged fallback is kept: a new one would push out the one before, perhaps in
      // use.
      const carried = this.#pendingFallback()
      await this.#context.ratchetLock.runExclusive(() => this.#prepare('replacement', carried))
    }
    await this.#publishPending()
  }

  /**
   * A replacement, for a transaction that does more (section 10, restored client). The next
   * `refill` sends it.
   *
   * @param newestCreatedNs the new `created_ns` must be above this.
   */
  makeReplacement(newestCreatedNs: bigint): MadeUpload {
    return this.#make('replacement', stockTarget, newestCreatedNs)
  }

  #isLow(): boolean {
    return this.#stock !== undefined && this.#stock.oneTimeLeft < stockMinimum
  }

  async #refill(kind: UploadKind): Promise<void> {
    if (this.#pendingUpload.length === 0) {
      await this.#context.ratchetLock.runExclusive(() => this.#prepare(kind))
    }
    await this.#publishPending()
  }

  async #prepare(kind: UploadKind, carried?: PrekeySecret): Promise<void> {
    const left =
      kind === 'replacement' ? 0 : Math.min(this.#stock?.oneTimeLeft ?? stockTarget, stockLimit)
    const count = this.#wanted(kind, left)
    if (count === 0 && kind === 'more') return
    await this.#save(this.#make(kind, count, this.#stock?.newestCreatedNs ?? 0n, carried))
  }

  /** How many one-time keys to make. Those of a replacement push out the oldest. */
  #wanted(kind: UploadKind, left: number): number {
    const room = kind === 'replacement' ? stockTarget : maxOneTime - this.#oneTime.size
    return Math.max(0, Math.min(stockTarget - left, room))
  }

  #make(
    kind: UploadKind,
    count: number,
    newestCreatedNs: bigint,
    carried?: PrekeySecret,
  ): MadeUpload {
    const { crypto, account, time } = this.#context
    const last = newestCreatedNs > this.#lastCreatedNs ? newestCreatedNs : this.#lastCreatedNs
    const createdNs = time.createdNs(last)
    const made = makePrekeys({ crypto, ...account, createdNs }, { count, kind, carried })
    const others = this.#fallback.filter((old) =>
      made.fallback.every((secret) => !equalBytes(secret.publicKey, old.publicKey)),
    )
    return {
      createdNs,
      upload: made.upload,
      oneTime: made.oneTime,
      // The previous key is kept until the next rotation: prekey messages to it may be in flight.
      fallback: [...made.fallback, ...others].slice(0, 2),
    }
  }

  /** Secrets are on disk before their public keys are sent. */
  async #save(made: MadeUpload): Promise<void> {
    await commit(this.#context.store, this.uploadChange(made), 'strict')
  }

  /** Stores the secrets of an upload and its bytes. Commit this before the upload is sent. */
  uploadChange(made: MadeUpload): Change {
    const { createdNs, upload } = made
    const oneTime = [...this.#oneTime.values(), ...made.oneTime].slice(-maxOneTime)
    const fallback = [...made.fallback]
    const secrets: Change = {
      writes: [put(tables.prekeys, 'prekeys', { oneTime, fallback, pendingUpload: upload })],
      committed: () => this.#remember(made),
    }
    return joinChanges(
      secrets,
      recordUpdate(tables.times, 'times', (times) => ({ ...times, lastCreatedNs: createdNs })),
    )
  }

  #remember(made: MadeUpload): void {
    for (const secret of made.oneTime) this.#oneTime.set(encodeBase64Url(secret.publicKey), secret)
    for (const key of this.#oneTime.keys()) {
      if (this.#oneTime.size <= maxOneTime) break
      this.#oneTime.delete(key)
    }
    this.#fallback = made.fallback
    this.#pendingUpload = made.upload
    this.#lastCreatedNs = made.createdNs
  }

  async #publishPending(tries = 2): Promise<void> {
    const upload = parsePrekeyUpload(this.#pendingUpload)
    if (!upload.ok) return
    const { network, account, closing } = this.#context
    const topic = prekeyTopic(account.installationId)
    try {
      await network.publish([{ topic, message: this.#pendingUpload }], closing)
    } catch (error) {
      const code = error instanceof PadlockError ? error.code : undefined
      if (code !== 'stale_upload' && code !== 'stock_full') throw error
      await this.#context.ratchetLock.runExclusive(() => this.#discard(upload.value.createdNs))
      if (tries === 1) throw error
      return this.#publishPending(tries - 1)
    }
    await this.#context.ratchetLock.runExclusive(() => this.#acknowledged())
    const before = upload.value.replace ? 0 : (this.#stock?.oneTimeLeft ?? 0)
    this.#stock = {
      oneTimeLeft: before + upload.value.oneTime.length,
      newestCreatedNs: upload.value.createdNs,
    }
  }

  async #acknowledged(): Promise<void> {
    const pendingUpload = new Uint8Array()
    await commit(this.#context.store, {
      writes: [this.#prekeysWrite([...this.#oneTime.values()], pendingUpload)],
      committed: () => {
        this.#pendingUpload = pendingUpload
      },
    })
  }

  /**
   * Deletes the secrets of keys that the node will never serve. A fallback among them goes into the
   * next upload, signed again (section 6).
   */
  async #discard(createdNs: bigint): Promise<void> {
    const pending = parsePrekeyUpload(this.#pendingUpload)
    const carried = this.#pendingFallback()
    for (const [key, secret] of this.#oneTime) {
      if (secret.createdNs === createdNs) this.#oneTime.delete(key)
    }
    this.#pendingUpload = new Uint8Array()
    // The stock that a replacement was to drop is still at the node.
    const replaces = pending.ok && pending.value.replace
    const left = replaces ? 0 : (this.#stock?.oneTimeLeft ?? 0)
    const kind = replaces ? 'replacement' : carried ? 'rotation' : 'more'
    const count = this.#wanted(kind, left)
    if (count === 0 && !carried) return this.#acknowledged()
    const made = this.#make(kind, count, this.#stock?.newestCreatedNs ?? 0n, carried)
    await this.#save(made)
  }

  /** The fallback key of the unacknowledged upload. */
  #pendingFallback(): PrekeySecret | undefined {
    const pending = parsePrekeyUpload(this.#pendingUpload)
    const key = pending.ok ? pending.value.fallback?.key : undefined
    return key && this.#fallback.find(({ publicKey }) => equalBytes(publicKey, key))
  }

  async #dropUnused(untilNs: bigint): Promise<void> {
    const kept = [...this.#oneTime].filter(([, { createdNs }]) => createdNs > untilNs)
    if (kept.length === this.#oneTime.size) return
    await commit(this.#context.store, {
      writes: [this.#prekeysWrite(kept.map(([, secret]) => secret))],
      committed: () => {
        this.#oneTime = new Map(kept)
      },
    })
  }

  #prekeysWrite(
    oneTime: readonly PrekeySecret[],
    pendingUpload: Uint8Array = this.#pendingUpload,
  ): Write {
    const fallback = [...this.#fallback]
    return put(tables.prekeys, 'prekeys', { oneTime: [...oneTime], fallback, pendingUpload })
  }
}
