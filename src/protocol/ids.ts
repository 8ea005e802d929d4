/**
 * Addresses, and the ids derived from them and from keys: docs/protocol.md section 1. Each has one
 * textual form; a parser accepts that form and nothing else.
 */
import { sha256 } from '@noble/hashes/sha2.js'
import { keccak_256 } from '@noble/hashes/sha3.js'
import type { Brand } from './brand.ts'
import { encodeBase64Url, encodeHex, encodeSigningBytes, encodeUtf8 } from './bytes.ts'
import { keyBytes } from './limits.ts'
import { bad, type Checked, good } from './result.ts'

/** An Ethereum address in canonical form: 0x and 40 lower-case hex digits. */
export type Address = Brand<`0x${string}`, 'Address'>
/** Base64url of the hash of an installation's identity keys: 43 characters. */
export type InstallationId = Brand<string, 'InstallationId'>
/** `dm:` and two canonical addresses, the lower one first. */
export type ConversationId = Brand<string, 'ConversationId'>
/** Base64url of the hash of a message's content, sender and conversation: 43 characters. */
export type MessageId = Brand<string, 'MessageId'>

/** The two public identity keys of an installation, 32 bytes each. */
export interface IdentityKeys {
  readonly curve25519: Uint8Array
  readonly ed25519: Uint8Array
}

const isCanonicalAddress = (text: string): text is Address => /^0x[0-9a-f]{40}$/.test(text)

// 32 bytes are 42 characters and one that carries four bits: its two spare bits are zero.
const isHashText = (text: string): boolean => /^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$/.test(text)

/**
 * The canonical form of an address that a person typed: any case; mixed case needs its EIP-55
 * checksum.
 */
export function parseAddress(text: string): Checked<Address> {
  // Callers in plain JavaScript may pass anything.
  const digits = typeof text === 'string' ? text.slice(2) : ''
  const lower = `0x${digits.toLowerCase()}`
  if (!/^0x[0-9a-fA-F]{40}$/.test(text) || !isCanonicalAddress(lower)) {
    return bad('invalid_address', 'not 0x and 40 hex digits')
  }
  const isMixed = digits !== digits.toLowerCase() && digits !== digits.toUpperCase()
  if (isMixed && formatAddress(lower) !== text) {
    return bad('invalid_address', 'mixed case with a wrong EIP-55 checksum')
  }
  return good(lower)
}

/** An address in its wire form; any other form is `malformed`. */
export function parseCanonicalAddress(text: string): Checked<Address> {
  return isCanonicalAddress(text) ? good(text) : bad('malformed', 'address is not canonical')
}

/** The address in the mixed case of EIP-55, for display only. */
export function formatAddress(address: Address): string {
  const digits = address.slice(2)
  const hash = encodeHex(keccak_256(encodeUtf8(digits)))
  let mixed = '0x'
  for (const [index, digit] of [...digits].entries()) {
    mixed += Number.parseInt(hash.charAt(index), 16) >= 8 ? digit.toUpperCase() : digit
  }
  return mixed
}

/** The id that commits to both keys; `malformed` if one is not 32 bytes. */
export function deriveInstallationId(keys: IdentityKeys): Checked<InstallationId> {
  if (keys.curve25519.length !== keyBytes || keys.ed25519.length !== keyBytes) {
    return bad('malformed', 'identity keys are 32 bytes each')
  }
  const input = encodeSigningBytes(['padlock/installation/1', keys.curve25519, keys.ed25519])
  return good(encodeBase64Url(keccak_256(input)) as InstallationId)
}

/** An installation id in its wire form; any other form is `malformed`. */
export function parseInstallationId(text: string): Checked<InstallationId> {
  return isHashText(text)
    ? good(text as InstallationId)
    : bad('malformed', 'not 43 base64url characters with spare bits zero')
}

/**
 * The id of the conversation between two accounts, or of an account with itself, whoever starts it.
 */
export function buildConversationId(a: Address, b: Address): ConversationId {
  return (a <= b ? `dm:${a}:${b}` : `dm:${b}:${a}`) as ConversationId
}

/** A conversation id and its two accounts; both are the same in a note to oneself. */
export interface Conversation {
  readonly id: ConversationId
  readonly participants: readonly [Address, Address]
}

/**
 * Reads a received conversation id. Any type other than `dm:` is `unsupported_version`, because a
 * later release may know it; a `dm:` that is not the text rebuilt from two canonical addresses is
 * `bad_payload`.
 */
export function parseConversationId(text: string): Checked<Conversation> {
  if (!text.startsWith('dm:')) return bad('unsupported_version', 'unknown conversation type')
  const [lower, higher, ...rest] = text.slice(3).split(':')
  if (lower === undefined || higher === undefined || rest.length > 0) {
    return bad('bad_payload', 'a dm is between two addresses')
  }
  if (!isCanonicalAddress(lower) || !isCanonicalAddress(higher) || lower > higher) {
    return bad('bad_payload', 'not the text rebuilt from two canonical addresses')
  }
  return good({ id: text as ConversationId, participants: [lower, higher] })
}

/** What a message id commits to. */
export interface MessageIdFields {
  readonly convoId: ConversationId
  readonly senderAddress: Address
  readonly senderInstallationId: InstallationId
  readonly composedNs: bigint
  /** The serialised EncodedContent. */
  readonly contentBytes: Uint8Array
}

/** The bytes whose SHA-256 is the message id; for callers that hash in batches elsewhere. */
export function messageIdInput(fields: MessageIdFields): Uint8Array {
  return encodeSigningBytes([
    'padlock/message/1',
    fields.convoId,
    fields.senderAddress,
    fields.senderInstallationId,
    fields.composedNs,
    fields.contentBytes,
  ])
}

/** The id that belongs to the SHA-256 of `messageIdInput`. */
export const messageIdFromDigest = (digest: Uint8Array): MessageId =>
  encodeBase64Url(digest) as MessageId

/** The id of a message: both sides derive it and nobody sends it. */
export const deriveMessageId = (fields: MessageIdFields): MessageId =>
  messageIdFromDigest(sha256(messageIdInput(fields)))

/** SHA-256 of the message bytes of an envelope as published. */
export const digestEnvelope = (message: Uint8Array): Uint8Array => sha256(message)
