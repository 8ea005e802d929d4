/**
 * What accounts sign, parsed and verified once for each message: a store looks at it before it takes
 * locks, and the rules again inside the transaction.
 */
import {
  type ContactBundle,
  grantText,
  parseContactBundle,
  sealingKeySignature,
} from '../../../src/protocol/contact.ts'
import type { Address } from '../../../src/protocol/ids.ts'
import type { Checked } from '../../../src/protocol/result.ts'
import {
  type ParsedRevocation,
  parseRevocation,
  revocationText,
} from '../../../src/protocol/revocation.ts'
import { messageLimitBytes, parseTopic } from '../../../src/protocol/topics.ts'
import {
  verifyAssociation,
  type WalletAssociation,
} from '../../../src/protocol/wallet-association.ts'
import { verifyStrict } from './ed25519.ts'
import type { ContractQuestion, SignatureStatus } from './signature-status.ts'

/** As `parseContactBundle`; the same value for the same bytes in memory. */
export const bundleIn = once(parseContactBundle)

/** As `parseRevocation`; the same value for the same bytes in memory. */
export const revocationIn = once(parseRevocation)

const verified = new WeakMap<WalletAssociation, Checked<Address>>()

/** As `verifyAssociation`, once for each association; its text follows from what it was parsed with. */
export function verifyOnce(association: WalletAssociation, text: string): Checked<Address> {
  const before = verified.get(association)
  if (before !== undefined) return before
  const checked = verifyAssociation(association, text)
  verified.set(association, checked)
  return checked
}

/**
 * Whether wallet and installation signed this grant for each other, as far as is known: a contract's
 * chain may not have been asked yet.
 */
export const isGranted = (bundle: ContactBundle, status: SignatureStatus | undefined): boolean =>
  isSigned(bundle, grantText(bundle), status) && isSealingKeySigned(bundle)

const sealed = new WeakMap<ContactBundle, boolean>()

/** Whether the installation signed its sealing key for this address. */
export function isSealingKeySigned(bundle: ContactBundle): boolean {
  const before = sealed.get(bundle)
  if (before !== undefined) return before
  const isSigned = verifyStrict(sealingKeySignature(bundle))
  sealed.set(bundle, isSigned)
  return isSigned
}

/** The same for a revocation. */
export function isRevocationSigned(
  revocation: ParsedRevocation,
  status: SignatureStatus | undefined,
): boolean {
  const text = revocationText(revocation)
  return text.ok && isSigned(revocation, text.value, status)
}

/** What a chain has to be asked about an envelope; nothing if a contract did not sign it. */
export function questionIn({
  topic,
  message,
}: {
  readonly topic: string
  readonly message: Uint8Array
}): ContractQuestion | undefined {
  const parts = parseTopic(topic)
  if (!parts.ok || message.length > messageLimitBytes[parts.value.kind]) return undefined
  if (parts.value.kind === 'contact') {
    const bundle = bundleIn(message)
    return bundle.ok ? questionOf(bundle.value, grantText(bundle.value)) : undefined
  }
  if (parts.value.kind !== 'revoked') return undefined
  const revocation = revocationIn(message)
  if (!revocation.ok) return undefined
  const text = revocationText(revocation.value)
  return text.ok ? questionOf(revocation.value, text.value) : undefined
}

/** The question about a contract's signature. */
function questionOf(
  { address, signature }: WalletAssociation,
  text: string,
): ContractQuestion | undefined {
  if (signature.kind === 'eip191') return undefined
  return { chainId: signature.chainId, address, text, signature: signature.signature }
}

function isSigned(
  association: WalletAssociation,
  text: string,
  status: SignatureStatus | undefined,
): boolean {
  return association.signature.kind === 'eip191'
    ? verifyOnce(association, text).ok
    : status === 'valid' || status === 'delegated'
}

function once<T>(parse: (bytes: Uint8Array) => T): (bytes: Uint8Array) => T {
  const parsed = new WeakMap<Uint8Array, { readonly value: T }>()
  return (bytes) => {
    const before = parsed.get(bytes)
    if (before !== undefined) return before.value
    const value = parse(bytes)
    parsed.set(bytes, { value })
    return value
  }
}
