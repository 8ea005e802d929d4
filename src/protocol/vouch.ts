/** A vouch: one installation of an account says that another is genuine (docs/protocol.md section 3). */
import { create, toBinary } from '@bufbuild/protobuf'
import {
  EdDsaSignatureSchema,
  InstallationContactBundleSchema,
  VouchSchema,
} from '../gen/padlock/v1/contact_pb.ts'
import { type Address, type InstallationId, parseInstallationId } from './ids.ts'
import { ed25519SignatureBytes } from './limits.ts'
import { decodeMessage, takeBytes } from './protobuf.ts'
import { bad, type Checked, good } from './result.ts'
import { type SignatureToVerify, vouchSigningBytes } from './signing-bytes.ts'

export interface Vouch {
  /** Who is genuine. */
  readonly installationId: InstallationId
  /** Who says so. */
  readonly voucherId: InstallationId
  /** Ed25519, 64 bytes, over `vouchSigningBytes`. */
  readonly signature: Uint8Array
}

/** Whether these bytes of a contact topic are a vouch, of whatever shape. */
export const isVouch = (bytes: Uint8Array): boolean =>
  decodeMessage(InstallationContactBundleSchema, bytes)?.version.case === 'vouch'

/** Anything amiss in its shape is `malformed`; its signature is not verified. */
export function parseVouch(bytes: Uint8Array): Checked<Vouch> {
  const message = decodeMessage(InstallationContactBundleSchema, bytes)
  if (message?.version.case !== 'vouch') return bad('malformed', 'no vouch')
  const { value } = message.version
  const installationId = parseInstallationId(value.installationId)
  if (!installationId.ok) return installationId
  const voucherId = parseInstallationId(value.voucherId)
  if (!voucherId.ok) return voucherId
  if (voucherId.value === installationId.value) return bad('malformed', 'vouches for itself')
  const signature = takeBytes(value.signature?.signature, ed25519SignatureBytes)
  if (signature === undefined) return bad('malformed', 'signature missing or not 64 bytes')
  return good({ installationId: installationId.value, voucherId: voucherId.value, signature })
}

/** The bytes of a vouch, in the order of the field numbers. Checks nothing. */
export const buildVouch = ({ installationId, voucherId, signature }: Vouch): Uint8Array =>
  toBinary(
    InstallationContactBundleSchema,
    create(InstallationContactBundleSchema, {
      version: {
        case: 'vouch',
        value: create(VouchSchema, {
          installationId,
          voucherId,
          signature: create(EdDsaSignatureSchema, { signature }),
        }),
      },
    }),
  )

/** The signature, to be verified strictly under the voucher's key. */
export const vouchSignature = (
  vouch: Vouch,
  address: Address,
  ed25519: Uint8Array,
): SignatureToVerify => ({
  ed25519,
  message: vouchSigningBytes({ ...vouch, address }),
  signature: vouch.signature,
})
