/**
 * The part that contact bundles and revocations share: an address, the time of signing and the
 * wallet's signature (docs/protocol.md sections 3 and 4).
 */
import { create } from '@bufbuild/protobuf'
import {
  Eip191SignatureSchema,
  Erc1271SignatureSchema,
  type WalletAssociation as WalletAssociationMessage,
  WalletAssociationSchema,
} from '../gen/padlock/v1/contact_pb.ts'
import { type Address, parseCanonicalAddress } from './ids.ts'
import { contractSignatureLimitBytes } from './limits.ts'
import { bad, type Checked, good } from './result.ts'
import { isCurrentTime } from './signing-texts.ts'
import {
  checkWalletSignatureForm,
  hashPersonalMessage,
  recoverAddress,
} from './wallet-signature.ts'

/** A wallet's signature: of a plain account, or of a contract account on one chain. */
export type WalletSignature =
  | {
      readonly kind: 'eip191'
      readonly signature: Uint8Array
      /** Of the text's last line; absent if it has none. */
      readonly chainId?: bigint | undefined
    }
  | { readonly kind: 'erc1271'; readonly chainId: bigint; readonly signature: Uint8Array }

/** Who signed, at what stated time, and the signature; the caller builds the text. */
export interface WalletAssociation {
  readonly address: Address
  /** The exact string in the signed text. */
  readonly currentTime: string
  readonly signature: WalletSignature
}

/** The shape of a received association; anything amiss is `malformed`. Verifies nothing. */
export function readAssociation(
  message: WalletAssociationMessage | undefined,
): Checked<WalletAssociation> {
  if (message === undefined) return bad('malformed', 'no wallet association')
  const address = parseCanonicalAddress(message.address)
  if (!address.ok) return address
  if (!isCurrentTime(message.currentTime)) return bad('malformed', 'time does not match')
  const signature = readSignature(message.signature)
  if (!signature.ok) return signature
  return good({
    address: address.value,
    currentTime: message.currentTime,
    signature: signature.value,
  })
}

function readSignature(oneof: WalletAssociationMessage['signature']): Checked<WalletSignature> {
  switch (oneof.case) {
    case 'eip191': {
      const form = checkWalletSignatureForm(oneof.value.signature)
      if (!form.ok) return form
      const signature = Uint8Array.from(form.value)
      const { chainId } = oneof.value
      return good({ kind: 'eip191', signature, ...(chainId > 0n && { chainId }) })
    }
    case 'erc1271': {
      const { chainId, signature } = oneof.value
      return signature.length <= contractSignatureLimitBytes
        ? good({ kind: 'erc1271', chainId, signature: Uint8Array.from(signature) })
        : bad('malformed', 'contract signature over 8 KiB')
    }
    case undefined:
      return bad('malformed', 'no wallet signature')
  }
}

/** The association as a protobuf message. */
export function buildAssociation(association: WalletAssociation): WalletAssociationMessage {
  const { signature } = association
  return create(WalletAssociationSchema, {
    address: association.address,
    currentTime: association.currentTime,
    signature:
      signature.kind === 'eip191'
        ? {
            case: 'eip191',
            value: create(Eip191SignatureSchema, {
              signature: signature.signature,
              chainId: signature.chainId ?? 0n,
            }),
          }
        : {
            case: 'erc1271',
            value: create(Erc1271SignatureSchema, {
              chainId: signature.chainId,
              signature: signature.signature,
            }),
          },
  })
}

/** The chain whose contract signed; absent if a key did. */
export const chainOf = (signature: WalletSignature): bigint | undefined =>
  signature.kind === 'erc1271' ? signature.chainId : undefined

/** The chain that the signed text names in its last line; absent if it has none. */
export const textChainOf = (signature: WalletSignature): bigint | undefined => signature.chainId

/**
 * Whether the association's address signed this text: returns the address, or `bad_signature`. A
 * contract's signature cannot be checked without its chain: `not_supported_yet`.
 */
export function verifyAssociation(association: WalletAssociation, text: string): Checked<Address> {
  const { address, signature } = association
  // Section 3: a contract's signature is never tried as ECDSA.
  if (signature.kind !== 'eip191') return bad('not_supported_yet', 'needs the chain')
  const recovered = recoverAddress(hashPersonalMessage(text), signature.signature)
  if (!recovered.ok) return recovered
  return recovered.value === address
    ? recovered
    : bad('bad_signature', 'recovers to another address')
}
