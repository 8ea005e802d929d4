/**
 * The envelope on an inbox topic, and the metadata sealed in its header (docs/protocol.md sections
 * 4 and 8). wasm seals and opens; this is the shape of what goes in and comes out.
 */
import { create, toBinary } from '@bufbuild/protobuf'
import {
  InboxMessageSchema,
  PadlockMessageHeaderSchema,
  PadlockMessageSealedMetadataSchema,
} from '../gen/padlock/v1/message_pb.ts'
import {
  type Address,
  type InstallationId,
  parseCanonicalAddress,
  parseInstallationId,
} from './ids.ts'
import { ed25519SignatureBytes, sealedMetadataBytes, sessionIdBytes } from './limits.ts'
import { decodeMessage, takeBytes } from './protobuf.ts'
import { bad, type Checked, good } from './result.ts'
import { type HeaderFields, headerSigningBytes, type SignatureToVerify } from './signing-bytes.ts'

/** The parts of an envelope, as `Crypto.open` takes them. Views into the envelope's bytes. */
export interface EnvelopeParts {
  /** Hashed and authenticated exactly as these bytes. */
  readonly headerBytes: Uint8Array
  /** enc and the first sealed part: 368 bytes. */
  readonly sealedMetadata: Uint8Array
  /** The second sealed part. Its form counts only in step 4, so it is not checked here. */
  readonly ciphertext: Uint8Array
}

/** Reads what lies on an inbox topic; anything amiss in its shape is `malformed`. */
export function parseInboxMessage(bytes: Uint8Array): Checked<EnvelopeParts> {
  const message = decodeMessage(InboxMessageSchema, bytes)
  if (message === undefined) return bad('malformed', 'not protobuf')
  if (message.version.case !== 'v1') return bad('malformed', 'no version 1')
  const { headerBytes, ciphertext } = message.version.value
  const header = decodeMessage(PadlockMessageHeaderSchema, headerBytes)
  if (header === undefined) return bad('malformed', 'header is not protobuf')
  const { sealedMetadata } = header
  if (sealedMetadata.length !== sealedMetadataBytes) {
    return bad('malformed', 'sealed_metadata is not 368 bytes')
  }
  return good({ headerBytes, sealedMetadata, ciphertext })
}

/** The metadata of an envelope; every field is well formed, nothing is verified yet. */
export interface SealedMetadata extends HeaderFields {
  readonly isPrekeyMessage: boolean
  /** The Olm session to decrypt with, 32 bytes. */
  readonly sessionId: Uint8Array
  /** Ed25519, 64 bytes, over `headerSigningBytes`. */
  readonly headerSignature: Uint8Array
}

/** Reads unpadded metadata; anything amiss in its shape is `malformed`. */
export function parseSealedMetadata(bytes: Uint8Array): Checked<SealedMetadata> {
  const message = decodeMessage(PadlockMessageSealedMetadataSchema, bytes)
  if (message === undefined) return bad('malformed', 'not protobuf')
  const senderAddress = parseCanonicalAddress(message.senderUserAddress)
  if (!senderAddress.ok) return senderAddress
  const senderInstallationId = parseInstallationId(message.senderInstallationId)
  if (!senderInstallationId.ok) return senderInstallationId
  const recipientAddress = parseCanonicalAddress(message.recipientUserAddress)
  if (!recipientAddress.ok) return recipientAddress
  const recipientInstallationId = parseInstallationId(message.recipientInstallationId)
  if (!recipientInstallationId.ok) return recipientInstallationId
  const sessionId = takeBytes(message.sessionId, sessionIdBytes)
  if (sessionId === undefined) return bad('malformed', 'session_id is not 32 bytes')
  const headerSignature = takeBytes(message.headerSignature?.signature, ed25519SignatureBytes)
  if (headerSignature === undefined) {
    return bad('malformed', 'header_signature missing or of wrong length')
  }
  return good({
    senderAddress: senderAddress.value,
    senderInstallationId: senderInstallationId.value,
    recipientAddress: recipientAddress.value,
    recipientInstallationId: recipientInstallationId.value,
    isPrekeyMessage: message.isPrekeyMessage,
    sessionId,
    headerSignature,
  })
}

/** Fields 1 to 4 of the metadata; wasm appends 5 to 7, which exist only once it has encrypted. */
export const buildMetadataPart = (fields: HeaderFields): Uint8Array =>
  toBinary(
    PadlockMessageSealedMetadataSchema,
    create(PadlockMessageSealedMetadataSchema, {
      senderUserAddress: fields.senderAddress,
      senderInstallationId: fields.senderInstallationId,
      recipientUserAddress: fields.recipientAddress,
      recipientInstallationId: fields.recipientInstallationId,
    }),
  )

/** The header's signature, to be verified under the sender installation's Ed25519 key (step 3). */
export const headerSignature = (
  enc: Uint8Array,
  metadata: SealedMetadata,
  ed25519: Uint8Array,
): SignatureToVerify => ({
  ed25519,
  message: headerSigningBytes(enc, metadata),
  signature: metadata.headerSignature,
})

/** This installation and its account. */
export interface Recipient {
  readonly address: Address
  readonly installationId: InstallationId
}

/**
 * Steps 1 and 2: the metadata is well formed, else `malformed`, and addressed to us, else
 * `not_for_us`.
 */
export function checkMetadata(bytes: Uint8Array, recipient: Recipient): Checked<SealedMetadata> {
  const metadata = parseSealedMetadata(bytes)
  if (!metadata.ok) return metadata
  const { recipientAddress, recipientInstallationId } = metadata.value
  const isForUs =
    recipientAddress === recipient.address && recipientInstallationId === recipient.installationId
  return isForUs ? good(metadata.value) : bad('not_for_us', 'addressed to another')
}
