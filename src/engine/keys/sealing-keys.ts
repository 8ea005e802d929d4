/**
 * Our own sealing keys (docs/protocol.md sections 2 and 9): the newest is in the contact bundle,
 * the two before it open late envelopes. A new key is stored with the bundle that publishes it,
 * before the bundle is sent.
 */

import { PadlockError } from '../../errors.ts'
import { equalBytes } from '../../protocol/bytes.ts'
import { buildContactBundle, parseContactBundle } from '../../protocol/contact.ts'
import { sealingKeyLifetimeNs } from '../../protocol/limits.ts'
import { sealingKeySigningBytes } from '../../protocol/signing-bytes.ts'
import { contactTopic } from '../../protocol/topics.ts'
import { put, tables } from '../../store/tables.ts'
import { type Change, commit, joinChanges, recordUpdate } from '../runtime/change.ts'
import type { Context } from '../runtime/context.ts'

/** The current key and the two before it (section 2). */
const maxSecrets = 3

interface SealingSecret {
  readonly secret: Uint8Array
  readonly publicKey: Uint8Array
  readonly createdNs: bigint
}

/** A new key, and the bundle that publishes it. */
export interface MadeSealingKey {
  readonly secrets: readonly SealingSecret[]
  readonly bundle: Uint8Array
}

export class SealingKeys {
  readonly #context: Context
  #secrets: readonly SealingSecret[] = []
  #pendingBundle: Uint8Array = new Uint8Array()

  constructor(context: Context) {
    this.#context = context
  }

  async load(): Promise<void> {
    const sealing = await this.#context.store.get(tables.sealing, 'sealing')
    if (!sealing) throw new PadlockError('storage_damaged')
    this.#secrets = sealing.value.secrets
    this.#pendingBundle = sealing.value.pendingBundle
  }

  /** Newest first. */
  get secrets(): readonly Uint8Array[] {
    return this.#secrets.map(({ secret }) => secret)
  }

  /** When the newest key was made, published or not. */
  get newestCreatedNs(): bigint {
    return this.#secrets[0]?.createdNs ?? 0n
  }

  /** Whether no node has accepted the newest key yet. */
  get isPending(): boolean {
    return this.#pendingBundle.length > 0
  }

  /** Whether we have the secret of this public key. */
  has(publicKey: Uint8Array): boolean {
    return this.#secrets.some((secret) => equalBytes(secret.publicKey, publicKey))
  }

  /** Runs while live: publishes a key that was not acknowledged, and rotates after 30 days. */
  async rotateIfDue(): Promise<void> {
    const { time, ratchetLock, store } = this.#context
    const [newest] = this.#secrets
    if (
      this.#pendingBundle.length === 0 &&
      newest &&
      newest.createdNs <= time.passedNs() - sealingKeyLifetimeNs
    ) {
      await ratchetLock.runExclusive(async () => {
        await commit(store, this.newKeyChange(await this.make(0n)), 'strict')
      })
    }
    await this.publishPending()
  }

  /** A new key under the same grant. @param aboveNs its `created_ns` must be above this. */
  async make(aboveNs: bigint): Promise<MadeSealingKey> {
    const { crypto, account, store, time } = this.#context
    const identity = (await store.get(tables.identity, 'identity'))?.value
    const grant = identity && parseContactBundle(identity.contactBundle)
    const [pair] = crypto.createKeyPairs(1)
    if (!grant?.ok || !pair) throw new PadlockError('storage_damaged')
    const last = this.#secrets.reduce(
      (most, { createdNs }) => (createdNs > most ? createdNs : most),
      aboveNs,
    )
    const createdNs = time.createdNs(last)
    const { address, installationId } = account
    const message = sealingKeySigningBytes({
      address,
      installationId,
      createdNs,
      key: pair.publicKey,
    })
    const [signature] = crypto.sign(account.identity, [message])
    if (!signature) throw new PadlockError('internal')
    return {
      secrets: [{ ...pair, createdNs }, ...this.#secrets].slice(0, maxSecrets),
      bundle: buildContactBundle({
        ...grant.value,
        sealingKey: { key: pair.publicKey, createdNs, signature },
      }),
    }
  }

  /** Stores a new key and the bundle that publishes it. Commit this before the bundle is sent. */
  newKeyChange({ secrets, bundle }: MadeSealingKey): Change {
    return {
      writes: [put(tables.sealing, 'sealing', { secrets: [...secrets], pendingBundle: bundle })],
      committed: () => {
        this.#secrets = secrets
        this.#pendingBundle = bundle
      },
    }
  }

  /** Publishes the newest key if no node acknowledged it yet, with the same bytes as before. */
  async publishPending(): Promise<void> {
    const bundle = this.#pendingBundle
    if (bundle.length === 0) return
    const { network, account, closing, store, ratchetLock } = this.#context
    let isTaken = true
    try {
      await network.publish([{ topic: contactTopic(account.address), message: bundle }], closing)
    } catch (error) {
      // The node has a newer key of ours: the database was rolled back, which the next connect
      // detects.
      if (!(error instanceof PadlockError) || error.code !== 'sealing_key_not_newer') throw error
      isTaken = false
    }
    await ratchetLock.runExclusive(() => {
      const acknowledged: Change = {
        writes: [put(tables.sealing, 'sealing', { secrets: [...this.#secrets] })],
        committed: () => {
          this.#pendingBundle = new Uint8Array()
        },
      }
      const taken = recordUpdate(tables.identity, 'identity', (identity) => ({
        ...identity,
        contactBundle: bundle,
      }))
      return commit(store, joinChanges(acknowledged, isTaken ? taken : undefined))
    })
  }
}
