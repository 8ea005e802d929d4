/**
 * Prekeys (docs/protocol.md section 6): made, uploaded, topped up, used once. The one-time secrets
 * lie apart from the identity, as only prekey messages need them.
 */

import type { Crypto } from '../crypto/crypto.ts'
import { PadlockError } from '../errors.ts'
import { encodeBase64Url, equalBytes } from '../protocol/bytes.ts'
import type { InstallationId } from '../protocol/ids.ts'
import { stockMinimum, stockTarget } from '../protocol/limits.ts'
import { buildPrekeyUpload, parsePrekeyUpload, type SignedPrekey } from '../protocol/prekey.ts'
import { type PrekeyKindName, prekeySigningBytes } from '../protocol/signing-bytes.ts'
import { prekeyTopic } from '../protocol/topics.ts'
import type { Write } from '../store/store.ts'
import { put, tables } from '../store/tables.ts'
import type { Context } from './context.ts'

export interface PrekeySecret {
  readonly secret: Uint8Array
  readonly publicKey: Uint8Array
  readonly createdNs: bigint
}

interface Signer {
  readonly crypto: Crypto
  readonly identity: Uint8Array
  readonly installationId: InstallationId
  readonly createdNs: bigint
}

/** Secrets to store, and the upload that publishes their other halves. */
export const makePrekeys = (
  { crypto, identity, installationId, createdNs }: Signer,
  count: number,
  kind: 'first' | 'more' | 'replacement',
) => {
  const withFallback = kind !== 'more'

  const pairs = crypto.createKeyPairs(count + (withFallback ? 1 : 0))
  const kindOf = (at: number): PrekeyKindName => (at < count ? 'one-time' : 'fallback')
  const signatures = crypto.sign(
    identity,
    pairs.map(({ publicKey }, at) =>
      prekeySigningBytes({ kind: kindOf(at), installationId, createdNs, key: publicKey }),
    ),
  )
  const signed = pairs.map(({ publicKey }, at): SignedPrekey => {
    const signature = signatures[at]
    if (!signature) throw new PadlockError('internal')
    return { kind: kindOf(at), key: publicKey, createdNs, signature }
  })
  const secrets = pairs.map((pair): PrekeySecret => ({ ...pair, createdNs }))
  const fallback = signed[count]
  return {
    oneTime: secrets.slice(0, count),
    fallback: secrets.slice(count),
    upload: buildPrekeyUpload({
      installationId,
      oneTime: signed.slice(0, count),
      ...(fallback ? { fallback } : {}),
      replace: kind === 'replacement',
    }),
  }
}

/** The own prekeys: secrets by public key, and the stock at the node. */
export class Prekeys {
  readonly #context: Context
  #oneTime = new Map<string, PrekeySecret>()
  #fallback: readonly PrekeySecret[] = []
  #pendingUpload: Uint8Array = new Uint8Array()
  #lastCreatedNs = 0n
  #toppingUp = false

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

  /** The secret of a public prekey, or undefined if it is used, dropped or never was. */
  find(publicKey: Uint8Array): Uint8Array | undefined {
    const oneTime = this.#oneTime.get(encodeBase64Url(publicKey))
    if (oneTime) return oneTime.secret
    return this.#fallback.find((fallback) => equalBytes(fallback.publicKey, publicKey))?.secret
  }

  /** Whether it is used up by one session; fallback keys are not. */
  isOneTime(publicKey: Uint8Array): boolean {
    return this.#oneTime.has(encodeBase64Url(publicKey))
  }

  /** What to write when these one-time keys are used; nothing for fallback keys. */
  useWrites(used: readonly Uint8Array[]): readonly Write[] {
    const gone = new Set(used.map(encodeBase64Url).filter((key) => this.#oneTime.has(key)))
    if (gone.size === 0) return []
    return [this.#write([...this.#oneTime].filter(([key]) => !gone.has(key)).map(([, s]) => s))]
  }

  /** To be called when what `useWrites` gave is committed. */
  committed(used: readonly Uint8Array[]): void {
    for (const key of used) this.#oneTime.delete(encodeBase64Url(key))
  }

  /**
   * Fills the node's stock up to 50 if fewer than 25 are left there. One upload at a time; one that
   * was not acknowledged is sent again with the same bytes.
   */
  async topUp(oneTimeLeft: number, newestCreatedNs: bigint): Promise<void> {
    if (this.#toppingUp) return
    if (oneTimeLeft >= stockMinimum && this.#pendingUpload.length === 0) return
    this.#toppingUp = true
    try {
      if (this.#pendingUpload.length === 0) {
        await this.#context.ratchets.run(() =>
          this.#prepareUpload(stockTarget - oneTimeLeft, newestCreatedNs),
        )
      }
      await this.#publishPending()
    } finally {
      this.#toppingUp = false
    }
  }

  /** A full new stock for a node that has none of ours: new one-time keys and a new fallback. */
  async replace(): Promise<void> {
    // One that was not acknowledged goes again with the same bytes (section 6).
    const pending = parsePrekeyUpload(this.#pendingUpload)
    if (!pending.ok || !pending.value.replace) {
      await this.#context.ratchets.run(() => this.#prepareUpload(stockTarget, 0n, 'replacement'))
    }
    await this.#publishPending()
  }

  async #prepareUpload(
    count: number,
    newestCreatedNs: bigint,
    kind: 'more' | 'replacement' = 'more',
  ): Promise<void> {
    const { crypto, account, store, time } = this.#context
    const last = newestCreatedNs > this.#lastCreatedNs ? newestCreatedNs : this.#lastCreatedNs
    const createdNs = time.createdNs(last)
    const made = makePrekeys({ crypto, ...account, createdNs }, count, kind)
    // The one before is kept until the next rotation: mail to it may be under way.
    const fallback = [...made.fallback, ...this.#fallback].slice(0, 2)
    await store.advance(
      [{ table: tables.times, key: 'times' }],
      (rows) => {
        const times = rows.get(tables.times, 'times')
        if (!times) throw new PadlockError('storage_damaged')
        return {
          writes: [
            put(tables.prekeys, 'prekeys', {
              oneTime: [...this.#oneTime.values(), ...made.oneTime],
              fallback,
              pendingUpload: made.upload,
            }),
            put(tables.times, 'times', { ...times.value, lastCreatedNs: createdNs }),
          ],
          result: undefined,
        }
      },
      'strict',
    )
    for (const secret of made.oneTime) this.#oneTime.set(encodeBase64Url(secret.publicKey), secret)
    this.#fallback = fallback
    this.#pendingUpload = made.upload
    this.#lastCreatedNs = createdNs
  }

  async #publishPending(): Promise<void> {
    const { network, store, account, closing } = this.#context
    const message = this.#pendingUpload
    try {
      await network.publish([{ topic: prekeyTopic(account.installationId), message }], closing)
    } catch (error) {
      // The node has a newer upload or is full: these keys are never served, so new ones replace them.
      const final =
        error instanceof PadlockError &&
        (error.code === 'stale_upload' || error.code === 'stock_full')
      if (!final) throw error
    }
    await this.#context.ratchets.run(async () => {
      this.#pendingUpload = new Uint8Array()
      await store.advance([], () => ({
        writes: [this.#write([...this.#oneTime.values()])],
        result: undefined,
      }))
    })
  }

  #write(oneTime: readonly PrekeySecret[]): Write {
    return put(tables.prekeys, 'prekeys', {
      oneTime: [...oneTime],
      fallback: [...this.#fallback],
      pendingUpload: this.#pendingUpload,
    })
  }
}
