/**
 * Heads: the hash chain over a contact or revoked topic by which two clients notice that a node shows
 * them different histories (docs/protocol.md section 8).
 */
import { sha256 } from '@noble/hashes/sha2.js'
import { encodeSigningBytes } from './bytes.ts'
import { digestBytes } from './limits.ts'

/** H(0): 32 zero bytes. */
export const emptyHead: Uint8Array = new Uint8Array(digestBytes)

/** H(n) of H(n-1) and the digest of the n-th envelope. */
export const nextHead = (previous: Uint8Array, envelopeDigest: Uint8Array): Uint8Array =>
  sha256(encodeSigningBytes(['padlock/log/1', previous, envelopeDigest]))
