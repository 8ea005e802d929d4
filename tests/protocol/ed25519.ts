/**
 * Ed25519 for tests of the pure protocol, from Node's crypto: RFC 8032, but not strict. Vectors
 * that need strictness run where the strict verifier is.
 */
import { createPrivateKey, createPublicKey, sign, verify } from 'node:crypto'
import type { SignatureToVerify } from '../../src/protocol/signing-bytes.ts'

// RFC 8410: what stands before the 32 bytes of a seed, and of a public key.
const pkcs8Prefix = Buffer.from('302e020100300506032b657004220420', 'hex')
const spkiPrefix = Buffer.from('302a300506032b6570032100', 'hex')

const privateKey = (seed: Uint8Array) =>
  createPrivateKey({ key: Buffer.concat([pkcs8Prefix, seed]), format: 'der', type: 'pkcs8' })

export const ed25519PublicKey = (seed: Uint8Array): Uint8Array =>
  new Uint8Array(
    createPublicKey(privateKey(seed))
      .export({ format: 'der', type: 'spki' })
      .subarray(spkiPrefix.length),
  )

export const ed25519Sign = (seed: Uint8Array, message: Uint8Array): Uint8Array =>
  new Uint8Array(sign(null, message, privateKey(seed)))

export function ed25519Verify({ ed25519, message, signature }: SignatureToVerify): boolean {
  const key = createPublicKey({
    key: Buffer.concat([spkiPrefix, ed25519]),
    format: 'der',
    type: 'spki',
  })
  return verify(null, message, key, signature)
}
