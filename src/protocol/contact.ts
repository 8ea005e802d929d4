/**
 * The contact bundle: an installation's identity keys, its wallet's grant, and the key that its
 * envelopes are sealed to (docs/protocol.md sections 3 and 4). Parsing checks the shape; the two
 * verifications are separate calls, because a node makes them in a given order (section 13).
 */
import { create, toBinary } from '@bufbuild/protobuf'
import {
  EdDsaSignatureSchema,
  InstallationContactBundleSchema,
  InstallationContactBundleV1Schema,
  type InstallationKeys,
  InstallationKeysSchema,
  SealingKeySchema,
} from '../gen/padlock/v1/contact_pb.ts'
import {
  type Address,
  deriveInstallationId,
  type IdentityKeys,
  type InstallationId,
} from './ids.ts'
import { ed25519SignatureBytes, keyBytes } from './limits.ts'
import { decodeMessage, takeBytes } from './protobuf.ts'
import { bad, type Checked, good } from './result.ts'
import { type SignatureToVerify, sealingKeySigningBytes } from './signing-bytes.ts'
import { buildGrantText } from './signing-texts.ts'
import {
  buildAssociation,
  readAssociation,
  textChainOf,
  verifyAssociation,
  type WalletAssociation,
  type WalletSignature,
} from './wallet-association.ts'

/** A published sealing key. */
export interface SealingKey {
  /** X25519 public key, 32 bytes. */
  readonly key: Uint8Array
  readonly createdNs: bigint
  /** Ed25519, 64 bytes, over `sealingKeySigningBytes`. */
  readonly signature: Uint8Array
}

/** What a contact bundle is built from. */
export interface ContactBundleFields {
  readonly keys: IdentityKeys
  readonly address: Address
  /** The exact string of the signed grant. */
  readonly currentTime: string
  readonly signature: WalletSignature
  readonly sealingKey: SealingKey
}

/** A contact bundle of the right shape; neither of its signatures is verified yet. */
export interface ContactBundle extends ContactBundleFields {
  /** Derived from the keys. */
  readonly installationId: InstallationId
}

/** Reads what lies on a contact topic. Anything amiss in its shape is `malformed`. */
export function parseContactBundle(bytes: Uint8Array): Checked<ContactBundle> {
  const bundle = decodeMessage(InstallationContactBundleSchema, bytes)
  if (bundle === undefined) return bad('malformed', 'not protobuf')
  if (bundle.version.case !== 'v1') return bad('malformed', 'no version 1')
  const { keys: keysMessage, grant, sealingKey } = bundle.version.value

  const keys = readIdentityKeys(keysMessage)
  if (!keys.ok) return keys
  const installationId = deriveInstallationId(keys.value)
  if (!installationId.ok) return installationId
  const association = readAssociation(grant)
  if (!association.ok) return association

  const key = takeBytes(sealingKey?.x25519, keyBytes)
  if (sealingKey === undefined || key === undefined) {
    return bad('malformed', 'sealing key missing or not 32 bytes')
  }
  const signature = takeBytes(sealingKey.signature?.signature, ed25519SignatureBytes)
  if (signature === undefined) {
    return bad('malformed', 'sealing key: signature missing or not 64 bytes')
  }
  return good({
    ...association.value,
    keys: keys.value,
    installationId: installationId.value,
    sealingKey: { key, createdNs: sealingKey.createdNs, signature },
  })
}

/** The bytes of a contact bundle, in the order of the field numbers. Checks nothing. */
export function buildContactBundle(fields: ContactBundleFields): Uint8Array {
  const v1 = create(InstallationContactBundleV1Schema, {
    keys: create(InstallationKeysSchema, fields.keys),
    grant: buildAssociation(fields),
    sealingKey: create(SealingKeySchema, {
      x25519: fields.sealingKey.key,
      createdNs: fields.sealingKey.createdNs,
      signature: create(EdDsaSignatureSchema, { signature: fields.sealingKey.signature }),
    }),
  })
  return toBinary(
    InstallationContactBundleSchema,
    create(InstallationContactBundleSchema, { version: { case: 'v1', value: v1 } }),
  )
}

/**
 * Whether the wallet granted this installation: the address, or `bad_signature`; `not_supported_yet`
 * for a contract account, whose signature only its chain can check.
 */
export const verifyGrant = (bundle: ContactBundleFields): Checked<Address> =>
  verifyAssociation(bundle, grantText(bundle))

/** The text that the grant's signature covers. */
export const grantText = (grant: WalletAssociation & { readonly keys: IdentityKeys }): string =>
  buildGrantText({
    address: grant.address,
    currentTime: grant.currentTime,
    keys: grant.keys,
    chainId: textChainOf(grant.signature),
  })

/** The sealing key's signature, to be verified strictly: it names the wallet. */
export const sealingKeySignature = (bundle: ContactBundle): SignatureToVerify => ({
  ed25519: bundle.keys.ed25519,
  message: sealingKeySigningBytes({
    address: bundle.address,
    installationId: bundle.installationId,
    createdNs: bundle.sealingKey.createdNs,
    key: bundle.sealingKey.key,
  }),
  signature: bundle.sealingKey.signature,
})

/** Identity keys of a received message: 32 bytes each, else `malformed`. */
export function readIdentityKeys(message: InstallationKeys | undefined): Checked<IdentityKeys> {
  const curve25519 = takeBytes(message?.curve25519, keyBytes)
  const ed25519 = takeBytes(message?.ed25519, keyBytes)
  return curve25519 === undefined || ed25519 === undefined
    ? bad('malformed', 'keys missing or not 32 bytes each')
    : good({ curve25519, ed25519 })
}
