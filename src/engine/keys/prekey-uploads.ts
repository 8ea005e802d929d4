/** Makes signed prekeys and the upload that publishes them (docs/protocol.md section 6). */

import type { Crypto } from '../../crypto/crypto.ts'
import { PadlockError } from '../../errors.ts'
import type { InstallationId } from '../../protocol/ids.ts'
import { buildPrekeyUpload, type SignedPrekey } from '../../protocol/prekey.ts'
import { type PrekeyKindName, prekeySigningBytes } from '../../protocol/signing-bytes.ts'

export interface PrekeySecret {
  readonly secret: Uint8Array
  readonly publicKey: Uint8Array
  readonly createdNs: bigint
}

/**
 * Why an upload is made; all but `more` carry a fallback key, and a `replacement` drops the stock.
 */
export type UploadKind = 'first' | 'more' | 'rotation' | 'replacement'

interface Signer {
  readonly crypto: Crypto
  readonly identity: Uint8Array
  readonly installationId: InstallationId
  readonly createdNs: bigint
}

interface Wanted {
  /** One-time keys. */
  readonly count: number
  readonly kind: UploadKind
  /**
   * The fallback key of an earlier upload that the node did not accept: the same key, signed again.
   */
  readonly carried?: PrekeySecret | undefined
}

/** Secrets to store, and the upload that publishes their public keys. */
export const makePrekeys = (
  { crypto, identity, installationId, createdNs }: Signer,
  { count, kind, carried }: Wanted,
) => {
  const makesFallback = kind !== 'more' && !carried
  const made = crypto.createKeyPairs(count + (makesFallback ? 1 : 0))
  const secrets: readonly PrekeySecret[] = [
    ...made.map((pair) => ({ ...pair, createdNs })),
    ...(carried ? [{ ...carried, createdNs }] : []),
  ]
  const kindOf = (at: number): PrekeyKindName => (at < count ? 'one-time' : 'fallback')
  const signatures = crypto.sign(
    identity,
    secrets.map(({ publicKey }, at) =>
      prekeySigningBytes({ kind: kindOf(at), installationId, createdNs, key: publicKey }),
    ),
  )
  const signed = secrets.map(({ publicKey }, at): SignedPrekey => {
    const signature = signatures[at]
    if (!signature) throw new PadlockError('internal')
    return { kind: kindOf(at), key: publicKey, createdNs, signature }
  })
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
