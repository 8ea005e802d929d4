/**
 * Prekeys: signed Curve25519 keys that sessions start from, one by one or as an upload
 * (docs/protocol.md sections 4, 5 and 6).
 */
import { create, toBinary } from '@bufbuild/protobuf'
import {
  EdDsaSignatureSchema,
  PrekeyKind,
  PrekeyUploadSchema,
  type SignedPrekey as SignedPrekeyMessage,
  SignedPrekeySchema,
} from '../gen/padlock/v1/contact_pb.ts'
import { type InstallationId, parseInstallationId } from './ids.ts'
import { ed25519SignatureBytes, keyBytes } from './limits.ts'
import { decodeMessage, takeBytes } from './protobuf.ts'
import { bad, type Checked, good } from './result.ts'
import { type PrekeyKindName, prekeySigningBytes, type SignatureToVerify } from './signing-bytes.ts'

/** A prekey of the right shape; its signature is not verified yet. */
export interface SignedPrekey {
  readonly kind: PrekeyKindName
  /** Curve25519 public key, 32 bytes. */
  readonly key: Uint8Array
  readonly createdNs: bigint
  /** Ed25519, 64 bytes, over `prekeySigningBytes`. */
  readonly signature: Uint8Array
}

/** What an upload is built from. */
export interface PrekeyUploadFields {
  readonly installationId: InstallationId
  readonly oneTime: readonly SignedPrekey[]
  readonly fallback?: SignedPrekey | undefined
  /** Drop the stock first; requires a fallback. */
  readonly replace: boolean
}

/** An upload of the right shape; its signatures are not verified yet. */
export interface PrekeyUpload extends PrekeyUploadFields {
  /** The one created_ns of all its keys. */
  readonly createdNs: bigint
}

/**
 * Reads what is published on a prekey topic. `malformed`: empty, a kind in the wrong place, more
 * than one created_ns, `replace` without a fallback, or a wrong length. How many keys a node keeps
 * is the node's own rule (`stock_full`).
 */
export function parsePrekeyUpload(bytes: Uint8Array): Checked<PrekeyUpload> {
  const message = decodeMessage(PrekeyUploadSchema, bytes)
  if (message === undefined) return bad('malformed', 'not protobuf')
  const installationId = parseInstallationId(message.installationId)
  if (!installationId.ok) return installationId

  const oneTime: SignedPrekey[] = []
  for (const prekeyMessage of message.oneTime) {
    const prekey = readSignedPrekey(prekeyMessage)
    if (!prekey.ok) return prekey
    if (prekey.value.kind !== 'one-time') return bad('malformed', 'kind does not fit its place')
    oneTime.push(prekey.value)
  }
  let fallback: SignedPrekey | undefined
  if (message.fallback !== undefined) {
    const prekey = readSignedPrekey(message.fallback)
    if (!prekey.ok) return prekey
    if (prekey.value.kind !== 'fallback') return bad('malformed', 'kind does not fit its place')
    fallback = prekey.value
  }

  const first = fallback ?? oneTime[0]
  if (first === undefined) return bad('malformed', 'empty upload')
  const { createdNs } = first
  if (oneTime.some((prekey) => prekey.createdNs !== createdNs)) {
    return bad('malformed', 'more than one created_ns')
  }
  if (message.replace && fallback === undefined) {
    return bad('malformed', 'replace without a fallback')
  }
  return good({
    installationId: installationId.value,
    oneTime,
    fallback,
    replace: message.replace,
    createdNs,
  })
}

/** The bytes of an upload, in the order of the field numbers. Checks nothing. */
export const buildPrekeyUpload = (fields: PrekeyUploadFields): Uint8Array =>
  toBinary(
    PrekeyUploadSchema,
    create(PrekeyUploadSchema, {
      installationId: fields.installationId,
      oneTime: fields.oneTime.map(toMessage),
      ...(fields.fallback === undefined ? {} : { fallback: toMessage(fields.fallback) }),
      replace: fields.replace,
    }),
  )

/** Reads the bytes of one prekey; anything amiss in its shape is `malformed`. */
export function parseSignedPrekey(bytes: Uint8Array): Checked<SignedPrekey> {
  const message = decodeMessage(SignedPrekeySchema, bytes)
  return message === undefined ? bad('malformed', 'not protobuf') : readSignedPrekey(message)
}

/** The bytes of one prekey, as `parseSignedPrekey` reads them. Checks nothing. */
export const buildSignedPrekey = (prekey: SignedPrekey): Uint8Array =>
  toBinary(SignedPrekeySchema, toMessage(prekey))

/** The same check for a prekey inside another message, such as a claimed one. */
export function readSignedPrekey(message: SignedPrekeyMessage): Checked<SignedPrekey> {
  const kind = readKind(message.kind)
  if (kind === undefined) return bad('malformed', 'unknown kind of prekey')
  const key = takeBytes(message.curve25519, keyBytes)
  if (key === undefined) return bad('malformed', 'prekey is not 32 bytes')
  const signature = takeBytes(message.signature?.signature, ed25519SignatureBytes)
  if (signature === undefined) return bad('malformed', 'prekey: signature missing or not 64 bytes')
  return good({ kind, key, createdNs: message.createdNs, signature })
}

function readKind(kind: PrekeyKind): PrekeyKindName | undefined {
  if (kind === PrekeyKind.ONE_TIME) return 'one-time'
  return kind === PrekeyKind.FALLBACK ? 'fallback' : undefined
}

const toMessage = (prekey: SignedPrekey): SignedPrekeyMessage =>
  create(SignedPrekeySchema, {
    kind: prekey.kind === 'fallback' ? PrekeyKind.FALLBACK : PrekeyKind.ONE_TIME,
    curve25519: prekey.key,
    createdNs: prekey.createdNs,
    signature: create(EdDsaSignatureSchema, { signature: prekey.signature }),
  })

/** One prekey's signature, to be verified strictly under the installation's Ed25519 key. */
export const prekeySignature = (
  prekey: SignedPrekey,
  installationId: InstallationId,
  ed25519: Uint8Array,
): SignatureToVerify => ({
  ed25519,
  message: prekeySigningBytes({ ...prekey, installationId }),
  signature: prekey.signature,
})

/** All signatures of an upload: the one-time keys' in their order, then the fallback's. */
export function prekeySignatures(
  upload: PrekeyUploadFields,
  ed25519: Uint8Array,
): SignatureToVerify[] {
  const prekeys =
    upload.fallback === undefined ? upload.oneTime : [...upload.oneTime, upload.fallback]
  return prekeys.map((prekey) => prekeySignature(prekey, upload.installationId, ed25519))
}
