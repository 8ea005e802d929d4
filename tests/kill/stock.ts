/**
 * The prekeys of one installation as its owner knows them. Uploads go one after another, so the
 * owner knows which keys can still be given out; others' claims show which were.
 */
import { bytesFor, type TestInstallation } from '../node/support.ts'
import type { NewEnvelope } from './ledger.ts'

export interface UploadOptions {
  readonly oneTime: number
  readonly fallback: boolean
  readonly replace: boolean
}

export interface Upload {
  readonly envelope: NewEnvelope
  readonly replace: boolean
  readonly createdNs: bigint
  /** Its one-time keys, as text. */
  readonly keys: readonly string[]
}

interface Key {
  state: 'sent' | 'stored' | 'replaced' | 'refused'
  /** When the upload that replaced it was acknowledged. */
  replacedMs: number
  /** The claim that got it. */
  claim?: string
}

export class Stock {
  /** The time inside the newest upload that was acknowledged. */
  newestCreatedNs = 0n
  readonly #installation: TestInstallation
  #createdNs = BigInt(Date.now()) * 1_000_000n
  readonly #keys = new Map<string, Key>()

  constructor(installation: TestInstallation) {
    this.#installation = installation
  }

  /** The next upload, later than all before. */
  next(options: UploadOptions): Upload {
    this.#createdNs += 1n
    const createdNs = this.#createdNs
    const envelope = this.#installation.upload({ createdNs, ...options })
    const keys = Array.from({ length: options.oneTime }, (_, n) =>
      keyText(bytesFor(`prekey ${this.#installation.name} ${createdNs} ${n}`)),
    )
    for (const key of keys) {
      this.#keys.set(key, { state: 'sent', replacedMs: Number.POSITIVE_INFINITY })
    }
    return { envelope, keys, createdNs, replace: options.replace }
  }

  /** The upload was acknowledged. */
  stored(upload: Upload): void {
    if (upload.replace) {
      for (const key of this.#keys.values()) {
        if (key.state === 'stored') {
          key.state = 'replaced'
          key.replacedMs = performance.now()
        }
      }
    }
    this.newestCreatedNs = upload.createdNs
    this.#mark(upload, 'stored')
  }

  refused(upload: Upload): void {
    this.#mark(upload, 'refused')
  }

  /** A claim that began then was answered with this one-time key; says what is wrong with that. */
  claimed(text: string, claim: string, startMs: number): string | undefined {
    const key = this.#keys.get(text)
    if (key === undefined) return 'was never uploaded'
    if (key.claim !== undefined && key.claim !== claim) return `was given to claim ${key.claim}`
    if (key.claim === undefined && key.replacedMs < startMs) return 'had been replaced'
    key.claim = claim
    return key.state === 'refused' ? 'came with a refused upload' : undefined
  }

  /** How many one-time keys must be there when nothing is under way. */
  get left(): number {
    let left = 0
    for (const { state, claim } of this.#keys.values()) {
      if (state === 'stored' && claim === undefined) left += 1
    }
    return left
  }

  #mark(upload: Upload, state: Key['state']): void {
    for (const text of upload.keys) {
      const key = this.#keys.get(text)
      if (key !== undefined) key.state = state
    }
  }
}

/** A key as logs name it. */
export const keyText = (key: Uint8Array): string => Buffer.from(key).toString('hex')
