/**
 * The byte strings that an installation signs with its Ed25519 key: sealing keys, prekeys, envelope
 * headers and inbox proofs (docs/protocol.md sections 1, 4 and 5). Each begins with its own domain,
 * so that a signature means nothing anywhere else.
 */
import { encodeSigningBytes, type SigningPart } from './bytes.ts'
import type { Address, InstallationId } from './ids.ts'

/**
 * An Ed25519 signature that the caller must verify strictly (section 1). It has the shape of the
 * one in src/crypto, which this folder does not import.
 */
export interface SignatureToVerify {
  /** The signer's public key, 32 bytes. */
  readonly ed25519: Uint8Array
  readonly message: Uint8Array
  /** 64 bytes. */
  readonly signature: Uint8Array
}

/** What a sealing key's signature covers. */
export const sealingKeySigningBytes = (fields: {
  readonly address: Address
  readonly installationId: InstallationId
  readonly createdNs: bigint
  /** X25519 public key. */
  readonly key: Uint8Array
}): Uint8Array =>
  encodeSigningBytes([
    'padlock/sealing-key/1',
    fields.address,
    fields.installationId,
    fields.createdNs,
    fields.key,
  ])

/** What a vouch's signature covers. */
export const vouchSigningBytes = (fields: {
  readonly address: Address
  readonly voucherId: InstallationId
  readonly installationId: InstallationId
}): Uint8Array =>
  encodeSigningBytes(['padlock/vouch/1', fields.address, fields.voucherId, fields.installationId])

/** The two kinds of prekeys. */
export type PrekeyKindName = 'one-time' | 'fallback'

// The numbers of the PrekeyKind enum (section 4): an enum is signed as its number in 8 bytes.
const prekeyKindNumbers: { readonly [kind in PrekeyKindName]: bigint } = {
  'one-time': 1n,
  fallback: 2n,
}

/** What a prekey's signature covers. */
export const prekeySigningBytes = (fields: {
  readonly kind: PrekeyKindName
  readonly installationId: InstallationId
  readonly createdNs: bigint
  /** Curve25519 public key. */
  readonly key: Uint8Array
}): Uint8Array =>
  encodeSigningBytes([
    'padlock/prekey/1',
    prekeyKindNumbers[fields.kind],
    fields.installationId,
    fields.createdNs,
    fields.key,
  ])

/** Fields 1 to 4 of the sealed metadata: sender and recipient. */
export interface HeaderFields {
  readonly senderAddress: Address
  readonly senderInstallationId: InstallationId
  readonly recipientAddress: Address
  readonly recipientInstallationId: InstallationId
}

const headerParts = (fields: HeaderFields): readonly SigningPart[] => [
  fields.senderAddress,
  fields.senderInstallationId,
  fields.recipientAddress,
  fields.recipientInstallationId,
]

/** The four fields in signing form, each after its length: wasm adds the rest around them. */
export const headerSigningFields = (fields: HeaderFields): Uint8Array =>
  encodeSigningBytes(headerParts(fields))

/** What a header signature covers; `enc` binds it to one envelope. */
export const headerSigningBytes = (
  enc: Uint8Array,
  metadata: HeaderFields & {
    readonly isPrekeyMessage: boolean
    readonly sessionId: Uint8Array
  },
): Uint8Array =>
  encodeSigningBytes([
    'padlock/header/1',
    enc,
    ...headerParts(metadata),
    metadata.isPrekeyMessage,
    metadata.sessionId,
  ])

/** What an inbox proof's signature covers. */
export const inboxSigningBytes = (fields: {
  readonly nodeId: Uint8Array
  readonly installationId: InstallationId
  readonly expiresNs: bigint
}): Uint8Array =>
  encodeSigningBytes(['padlock/inbox/1', fields.nodeId, fields.installationId, fields.expiresNs])
