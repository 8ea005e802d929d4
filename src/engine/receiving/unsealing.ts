/**
 * Opens sealed envelopes (docs/protocol.md section 8, step 1) with the own sealing secrets, the
 * current one first; by the platform's curves where it has them and takes the secret.
 */

import type { CryptoResult, EnvelopeToOpen, OpenedEnvelope } from '../../crypto/crypto.ts'
import { encBytes } from '../../protocol/limits.ts'
import type { SealingKeys } from '../keys/sealing-keys.ts'
import type { Context } from '../runtime/context.ts'

export class Unsealing {
  readonly #context: Context
  readonly #keys: SealingKeys

  constructor(context: Context, keys: SealingKeys) {
    this.#context = context
    this.#keys = keys
  }

  async open(
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
    // Late mail to a key before the current one is rare, and so is garbage.
    const late = envelopes.filter((_, at) => !opened[at]?.ok)
    if (late.length === 0 || previous.length === 0) return opened
    const reopened = crypto.open(previous, account.installationId, late)[Symbol.iterator]()
    return opened.map((result) => (result.ok ? result : (reopened.next().value ?? result)))
  }
}
