/**
 * The two texts that a wallet signs: grant and revocation (docs/protocol.md section 3).
 * wallet-signature.ts checks the signatures of these texts.
 */
import { PadlockError } from '../errors.ts'
import { encodeBase64 } from './bytes.ts'
import { type Address, deriveInstallationId, type IdentityKeys } from './ids.ts'
import { bad, type Checked, good } from './result.ts'

/** What a grant names. */
export interface GrantTextFields {
  readonly address: Address
  /** The exact string of the time line; see `isCurrentTime`. */
  readonly currentTime: string
  readonly keys: IdentityKeys
  /** For contract accounts only: adds the last line. */
  readonly chainId?: bigint | undefined
}

/** What a revocation names. */
export interface RevocationTextFields {
  readonly address: Address
  readonly currentTime: string
  /** In strictly ascending order of installation id, at least one. */
  readonly installations: readonly IdentityKeys[]
  readonly chainId?: bigint | undefined
}

/** Whether this is a time in the form of both texts; no calendar is consulted. */
export const isCurrentTime = (text: string): boolean =>
  /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}(?:Z|[+-]\d\d:\d\d)$/.test(text)

/** The time line's string for milliseconds since the Unix epoch, in UTC. */
export const formatCurrentTime = (timeMs: number): string => new Date(timeMs).toISOString()

/**
 * The text that grants one installation.
 * @throws PadlockError `invalid_argument` if `isCurrentTime` does not accept the time: a line break
 * in it would let one text say what another means.
 */
export function buildGrantText(fields: GrantTextFields): string {
  return buildText('XMTP: Grant Messaging Access', fields, [fields.keys])
}

/**
 * The text that revokes installations; `malformed` if there are none, or if they are not in
 * strictly ascending order of their ids, so that a list has only one text.
 * @throws PadlockError `invalid_argument`, as `buildGrantText` does.
 */
export function buildRevocationText(fields: RevocationTextFields): Checked<string> {
  if (fields.installations.length === 0) return bad('malformed', 'revokes nothing')
  let previous = ''
  for (const keys of fields.installations) {
    const id = deriveInstallationId(keys)
    if (!id.ok) return id
    if (id.value <= previous) return bad('malformed', 'not in ascending order of installation id')
    previous = id.value
  }
  return good(buildText('XMTP: Revoke Messaging Access', fields, fields.installations))
}

function buildText(
  title: string,
  fields: {
    readonly address: Address
    readonly currentTime: string
    readonly chainId?: bigint | undefined
  },
  installations: readonly IdentityKeys[],
): string {
  if (!isCurrentTime(fields.currentTime)) {
    throw new PadlockError('invalid_argument', { message: 'The time to sign has another form.' })
  }
  const lines = [
    title,
    '',
    `Current Time: ${fields.currentTime}`,
    `Account Address: ${fields.address}`,
    ...installations.map(
      (keys) => `Installation Key: ${encodeBase64(keys.curve25519)}:${encodeBase64(keys.ed25519)}`,
    ),
  ]
  if (fields.chainId !== undefined) lines.push(`Chain ID: ${fields.chainId}`)
  return lines.join('\n')
}
