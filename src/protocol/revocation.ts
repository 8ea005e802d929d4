/** Revocations: a wallet permanently revokes installations (docs/protocol.md sections 3 and 4). */
import { create, toBinary } from '@bufbuild/protobuf'
import { InstallationKeysSchema, RevocationSchema } from '../gen/padlock/v1/contact_pb.ts'
import { readIdentityKeys } from './contact.ts'
import {
  type Address,
  deriveInstallationId,
  type IdentityKeys,
  type InstallationId,
} from './ids.ts'
import { decodeMessage } from './protobuf.ts'
import { bad, type Checked, good } from './result.ts'
import { buildRevocationText } from './signing-texts.ts'
import {
  buildAssociation,
  readAssociation,
  textChainOf,
  verifyAssociation,
  type WalletAssociation,
} from './wallet-association.ts'

/** What a revocation is built from. */
export interface RevocationFields extends WalletAssociation {
  /** In strictly ascending order of installation id, at least one. */
  readonly installations: readonly IdentityKeys[]
}

/** A revocation of the right shape; its signature is not verified yet. */
export interface ParsedRevocation extends RevocationFields {
  /** Derived from the keys, in the same, ascending order. */
  readonly installationIds: readonly InstallationId[]
}

/** Reads what lies on a revoked topic. Anything amiss in its shape or order is `malformed`. */
export function parseRevocation(bytes: Uint8Array): Checked<ParsedRevocation> {
  const message = decodeMessage(RevocationSchema, bytes)
  if (message === undefined) return bad('malformed', 'not protobuf')
  const association = readAssociation(message.association)
  if (!association.ok) return association
  const installations: IdentityKeys[] = []
  const installationIds: InstallationId[] = []
  for (const keysMessage of message.installations) {
    const keys = readIdentityKeys(keysMessage)
    if (!keys.ok) return keys
    const id = deriveInstallationId(keys.value)
    if (!id.ok) return id
    const previous = installationIds.at(-1)
    if (previous !== undefined && id.value <= previous) {
      return bad('malformed', 'not in ascending order of installation id')
    }
    installations.push(keys.value)
    installationIds.push(id.value)
  }
  if (installations.length === 0) return bad('malformed', 'revokes nothing')
  return good({ ...association.value, installations, installationIds })
}

/** The bytes of a revocation, in the order of the field numbers. Checks nothing. */
export const buildRevocation = (fields: RevocationFields): Uint8Array =>
  toBinary(
    RevocationSchema,
    create(RevocationSchema, {
      installations: fields.installations.map((keys) => create(InstallationKeysSchema, keys)),
      association: buildAssociation(fields),
    }),
  )

/**
 * Whether the wallet signed this revocation: the address, or `bad_signature`, or `malformed` if the
 * list is not in order; `not_supported_yet` for a contract account.
 */
export function verifyRevocation(revocation: RevocationFields): Checked<Address> {
  const text = revocationText(revocation)
  return text.ok ? verifyAssociation(revocation, text.value) : text
}

/** The text that the revocation's signature covers; `malformed` if the list is not in order. */
export const revocationText = (revocation: RevocationFields): Checked<string> =>
  buildRevocationText({
    address: revocation.address,
    currentTime: revocation.currentTime,
    installations: revocation.installations,
    chainId: textChainOf(revocation.signature),
  })
