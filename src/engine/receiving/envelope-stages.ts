/** The stages of a received envelope, by what was checked (docs/protocol.md section 8, In). */

import type { OpenedEnvelope } from '../../crypto/crypto.ts'
import type { PadlockErrorCode } from '../../errors.ts'
import type { SealedMetadata } from '../../protocol/envelope.ts'
import type { Address } from '../../protocol/ids.ts'
import type { KnownInstallation } from '../membership/directory.ts'

/** An envelope of our inbox topic. */
export interface InboxEnvelope {
  readonly message: Uint8Array
  readonly sequence: bigint
  readonly nodeNs: bigint
}

/** An opened batch that waits to be committed. */
export interface Prepared {
  readonly addressed: readonly Addressed[]
  /** Sender accounts whose cached state may be stale. */
  readonly unsure: ReadonlySet<Address>
  /** The newest sequence number; undefined if nothing was new. */
  readonly last: bigint | undefined
}

/** An envelope for this installation, whose sealed metadata was opened. */
export interface Addressed {
  readonly envelope: InboxEnvelope
  readonly opened: OpenedEnvelope
  readonly metadata: SealedMetadata
}

/** An envelope whose known sender signed its header. */
export interface Authentic extends Addressed {
  readonly sender: KnownInstallation
}

/** A decrypted payload, before step 5. */
export type Decrypted = DecryptionResult & {
  /** The envelope's digest, 32 bytes. */
  readonly digest: Uint8Array
}

export type DecryptionResult =
  | { readonly ok: true; readonly from: Authentic; readonly payload: Uint8Array }
  | { readonly ok: false; readonly from: Authentic; readonly code: PadlockErrorCode }
