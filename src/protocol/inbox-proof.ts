/**
 * The proof that a reader owns an inbox: a short-lived signature over node, installation and expiry
 * (docs/protocol.md sections 5 and 11). All refusals are `bad_proof`.
 */
import { create, toBinary } from '@bufbuild/protobuf'
import { EdDsaSignatureSchema, InstallationKeysSchema } from '../gen/padlock/v1/contact_pb.ts'
import {
  type InboxProof as InboxProofMessage,
  InboxProofSchema,
} from '../gen/padlock/v1/node_pb.ts'
import { readIdentityKeys } from './contact.ts'
import { deriveInstallationId, type IdentityKeys, type InstallationId } from './ids.ts'
import { ed25519SignatureBytes, proofLifetimeLimitNs } from './limits.ts'
import { decodeMessage, takeBytes } from './protobuf.ts'
import { bad, type Checked, good } from './result.ts'
import { inboxSigningBytes, type SignatureToVerify } from './signing-bytes.ts'

/** A proof of the right shape. */
export interface InboxProof {
  readonly keys: IdentityKeys
  readonly expiresNs: bigint
  /** Ed25519, 64 bytes, over `inboxSigningBytes`. */
  readonly signature: Uint8Array
}

/** The bytes of a proof. Checks nothing. */
export const buildInboxProof = (proof: InboxProof): Uint8Array =>
  toBinary(
    InboxProofSchema,
    create(InboxProofSchema, {
      keys: create(InstallationKeysSchema, proof.keys),
      expiresNs: proof.expiresNs,
      signature: create(EdDsaSignatureSchema, { signature: proof.signature }),
    }),
  )

/** Reads the bytes of a proof. */
export function parseInboxProof(bytes: Uint8Array): Checked<InboxProof> {
  const message = decodeMessage(InboxProofSchema, bytes)
  return message === undefined ? bad('bad_proof', 'not protobuf') : readInboxProof(message)
}

/** The same check for a proof inside a request. */
export function readInboxProof(message: InboxProofMessage): Checked<InboxProof> {
  const keys = readIdentityKeys(message.keys)
  if (!keys.ok) return bad('bad_proof', keys.why)
  const signature = takeBytes(message.signature?.signature, ed25519SignatureBytes)
  if (signature === undefined) return bad('bad_proof', 'signature missing or not 64 bytes')
  return good({ keys: keys.value, expiresNs: message.expiresNs, signature })
}

/**
 * Checks everything but the signature: the keys are the installation's, and the proof is valid now.
 * The caller must verify the returned signature strictly.
 */
export function checkInboxProof(check: {
  readonly proof: InboxProof
  readonly nodeId: Uint8Array
  readonly installationId: InstallationId
  readonly nowNs: bigint
}): Checked<SignatureToVerify> {
  const { proof, nodeId, installationId, nowNs } = check
  const id = deriveInstallationId(proof.keys)
  if (!id.ok || id.value !== installationId) return bad('bad_proof', 'keys do not hash to the id')
  if (proof.expiresNs <= nowNs) return bad('bad_proof', 'expired')
  if (proof.expiresNs > nowNs + proofLifetimeLimitNs) {
    return bad('bad_proof', 'expires more than 10 minutes ahead')
  }
  return good({
    ed25519: proof.keys.ed25519,
    message: inboxSigningBytes({ nodeId, installationId, expiresNs: proof.expiresNs }),
    signature: proof.signature,
  })
}
