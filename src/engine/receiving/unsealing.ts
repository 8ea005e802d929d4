/**
 * Steps 1 and 2 of receiving (docs/protocol.md section 8): opens the sealed metadata with our
 * sealing secrets, the current one first, and checks that the envelope is for this installation.
 * Uses the platform's curves where it has them and imports the secret.
 */

import type { CryptoResult, EnvelopeToOpen, OpenedEnvelope } from '../../crypto/crypto.ts'
import type { PadlockErrorCode } from '../../errors.ts'
import { checkMetadata, parseInboxMessage } from '../../protocol/envelope.ts'
import { encBytes, envelopeLimitBytes } from '../../protocol/limits.ts'
import type { SealingKeys } from '../keys/sealing-keys.ts'
import type { Context } from '../runtime/context.ts'
import type { Addressed, InboxEnvelope } from './envelope-stages.ts'
import type { RejectionCounts } from './rejection-counts.ts'

export class Unsealing {
  readonly #context: Context
  readonly #keys: SealingKeys
  readonly #rejections: RejectionCounts

  constructor(context: Context, keys: SealingKeys, rejections: RejectionCounts) {
    this.#context = context
    this.#keys = keys
    this.#rejections = rejections
  }

  /** The envelopes that open and are for this installation. */
  async open(envelopes: readonly InboxEnvelope[]): Promise<readonly Addressed[]> {
    const parsed = envelopes.flatMap((envelope) => {
      // Nodes refuse these; reject them here too, in case one does not.
      if (envelope.message.length > envelopeLimitBytes) return this.#reject('too_large')
      const parts = parseInboxMessage(envelope.message)
      return parts.ok ? [{ envelope, parts: parts.value }] : this.#reject(parts.code)
    })
    const opened = await this.#unseal(parsed.map(({ parts }) => parts))
    return parsed.flatMap(({ envelope }, at) => {
      const result = opened[at]
      if (!result?.ok) return this.#reject('unsealing_failed')
      const metadata = checkMetadata(result.metadata, this.#context.account)
      if (!metadata.ok) return this.#reject(metadata.code)
      return [{ envelope, opened: result, metadata: metadata.value }]
    })
  }

  /** Counts a rejected envelope. */
  #reject(code: PadlockErrorCode): never[] {
    this.#rejections.count(code)
    return []
  }

  async #unseal(
    envelopes: readonly EnvelopeToOpen[],
  ): Promise<readonly CryptoResult<OpenedEnvelope>[]> {
    const { crypto, curves, account } = this.#context
    const { secrets } = this.#keys
    const [current, ...previous] = secrets
    if (!current || envelopes.length === 0) return []
    const shared = await curves?.agree(
      current,
      envelopes.map(({ sealedMetadata }) => sealedMetadata.subarray(0, encBytes)),
    )
    if (!shared) return crypto.open(secrets, account.installationId, envelopes)
    const opened = crypto.open(
      [current],
      account.installationId,
      envelopes.map((envelope, at) => ({ ...envelope, shared: [shared[at] ?? new Uint8Array()] })),
    )
    // Late envelopes to an earlier key are rare, and so is garbage.
    const late = envelopes.filter((_, at) => !opened[at]?.ok)
    if (late.length === 0 || previous.length === 0) return opened
    const reopened = crypto.open(previous, account.installationId, late)[Symbol.iterator]()
    return opened.map((result) => (result.ok ? result : (reopened.next().value ?? result)))
  }
}
